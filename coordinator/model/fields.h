#pragma once
// Strict reading of one map: each known key is taken once, finish() complains about the rest. The first
// problem wins; later
// calls return their fallbacks, so that a reader is straight-line code without an if per field.

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/model/yaml.h"
#include "engine/base/result.h"

namespace todd::model {

// The first problem found in one text. Given by reference to every reader of that text.
class Problems {
 public:
  explicit Problems(std::string origin) : origin_(std::move(origin)) {}

  void add(Position position, const std::string& what);
  // For a message that already names its place.
  void add(Error error);
  bool ok() const { return !first_; }
  Status status() const;
  const std::string& origin() const { return origin_; }

 private:
  std::string origin_;
  std::optional<Error> first_;
};

class Fields {
 public:
  // what names the map in messages ("test", "spec"). A node that is no map is a problem, and reads as an
  // empty map.
  // The node and problems must outlive this.
  Fields(const Node& node, std::string what, Problems& problems);

  // The value under a key or nullptr; marks the key as known.
  const Node* take(std::string_view key);
  // As take, but a missing key is a problem.
  const Node* need(std::string_view key);
  bool has(std::string_view key) const { return node_.find(key) != nullptr; }

  std::string text(std::string_view key, std::string fallback = "");
  std::optional<std::string> optional_text(std::string_view key);
  std::string required_text(std::string_view key);
  int64_t integer(std::string_view key, int64_t fallback, int64_t least, int64_t most);
  bool boolean(std::string_view key, bool fallback);
  // nullptr where missing or of another kind (then a problem).
  const Node* list(std::string_view key);
  const Node* map(std::string_view key);
  // A scalar, or a list of scalars. Empty where missing.
  std::vector<std::string> texts(std::string_view key);

  Position position() const { return node_.position; }
  // Where the key stood, or the map itself.
  Position position_of(std::string_view key) const;
  // Reports the first key that nobody took, with the nearest known name.
  void finish();

 private:
  void wrong_kind(const Node& node, std::string_view key, const char* wanted);

  const Node& node_;
  std::string what_;
  Problems& problems_;
  std::set<std::string, std::less<>> known_;
};

// The scalar's text; a problem for anything else.
std::string scalar_text(const Node& node, const std::string& what, Problems& problems);

}  // namespace todd::model
