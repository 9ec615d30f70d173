#pragma once
// YAML text (JSON is a subset) to a tree that remembers where everything stood. Built on libyaml's events
// with limits
// of our own, because hostile YAML is quadratic in its depth and exponential in its aliases.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace todd::model {

// Where something stood in a text; both count from 1.
struct Position {
  int line = 0;
  int column = 0;
  bool operator==(const Position&) const = default;
};

// "origin:line:column: what", the form of every message about a file.
std::string at(const std::string& origin, Position position, const std::string& what);

// One value of a document. Value type.
struct Node {
  enum class Kind { scalar, list, map };
  struct Key {
    std::string text;
    Position position;
  };

  Kind kind = Kind::scalar;
  std::string text;     // of a scalar, unescaped
  bool quoted = false;  // a scalar in quotes or a block: text even if it reads "true" or "10"
  Position position;
  size_t first_byte = 0;    // of a document's root only: where the document begins in the text
  std::vector<Key> keys;    // of a map, in the order of the file; keys[i] names items[i]
  std::vector<Node> items;  // of a list or a map

  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }
  // An empty value or an unquoted null or ~.
  bool is_null() const;
  // The value under a key, or nullptr.
  const Node* find(std::string_view key) const;
};

// "text", "list", "map": for messages.
const char* kind_name(Node::Kind kind);

// What a document that is applied or run may have; a list of hosts has a value or key every 7 bytes.
struct YamlLimits {
  size_t max_bytes = 8 << 20;
  int max_depth = 64;
  size_t max_nodes = 1'500'000;
};

// Every non-empty document of a text. Refused: broken YAML, anything above the limits, aliases and anchors,
// tags, two
// equal keys in one map, keys that are not text. Errors: Errc::invalid, or Errc::exhausted above a limit.
Result<std::vector<Node>> parse_yaml(std::string_view text, const std::string& origin,
                                     const YamlLimits& limits = {});

}  // namespace todd::model
