#pragma once
// The headers of one message, of either version of HTTP.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace todd::http {

inline constexpr uint32_t kMaxHead = 16 * 1024;  // start line and headers of a message together

// A letter of ASCII in lower case; anything else as it is.
inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
// Equal but for the case of ASCII letters.
bool same_word(std::string_view a, std::string_view b);

// Names and values in the order they came, in two blocks of memory that are kept from message to message. A
// value type. At most kMaxHead bytes of names and values.
class Headers {
 public:
  struct Field {
    std::string_view name, value;  // the name in lower case
  };

  // Forgets the fields; the memory stays.
  void clear();
  // False: there is no room for it, and nothing was added.
  bool add(std::string_view name, std::string_view value);

  size_t size() const { return fields_.size(); }
  // Valid until add() or clear(). Requires: i < size().
  Field operator[](size_t i) const;
  // The value of the first field of that name, in any case.
  std::optional<std::string_view> find(std::string_view name) const;

 private:
  struct Place {
    uint16_t at, name, value;  // kMaxHead fits
  };
  std::string text_;
  std::vector<Place> fields_;
};

}  // namespace todd::http
