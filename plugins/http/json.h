#pragma once
// A value in a JSON text, by its pointer (RFC 6901). simdjson, hidden.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace todd::http {

inline constexpr size_t kMaxJsonDepth = 1000;  // arrays and objects in each other

// Where a text stops being JSON.
struct JsonFault {
  size_t at;  // the byte; the text's size where it ends too early
  const char* what;
};

// None: the text is JSON (RFC 8259, UTF-8), not deeper than kMaxJsonDepth, and each of its numbers fits into
// 64 bits or a double. No recursion; time linear in the text.
std::optional<JsonFault> find_fault(std::string_view text);

// The names and indices of a pointer, unescaped; empty: the whole text. None: it is no pointer.
std::optional<std::vector<std::string>> parse_pointer(std::string_view text);

struct JsonValue {
  enum class Kind { kMissing, kNull, kBoolean, kNumber, kText, kArray, kObject };
  Kind kind = Kind::kMissing;
  // Exact: the 64 bits of its fraction have room for int64_t, uint64_t and double.
  long double number = 0;
  // Of a text itself; of a number, true, false and null how they are written, as short as can be; of all
  // else, for people, what there is: "an array of 3", "no member \"b\" in /a".
  std::string text;
};

// Reads one text after another; keeps its memory: up to 15 times the longest text.
class JsonReader {
 public:
  JsonReader();
  ~JsonReader();
  JsonReader(const JsonReader&) = delete;
  JsonReader& operator=(const JsonReader&) = delete;

  // Forgets the last text, and copies this one. None, or why it cannot be read, with the place: "not JSON at
  // line 2, column 7: a value is missing".
  std::optional<std::string> read(std::string_view text);
  // Requires: read() returned none. Of several members of a name the first counts.
  JsonValue at(const std::vector<std::string>& pointer) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace todd::http
