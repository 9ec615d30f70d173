#include "coordinator/model/yaml.h"

#include <memory>
#include <set>

#include <fmt/format.h>
#include <yaml.h>

namespace todd::model {

std::string at(const std::string& origin, Position position, const std::string& what) {
  return fmt::format("{}:{}:{}: {}", origin, position.line, position.column, what);
}

bool Node::is_null() const {
  return is_scalar() && !quoted && (text.empty() || text == "null" || text == "~");
}

const Node* Node::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].text == key) return &items[i];
  }
  return nullptr;
}

const char* kind_name(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::scalar: return "text";
    case Node::Kind::list: return "list";
    case Node::Kind::map: return "map";
  }
  return "text";
}

namespace {

Position position_of(const yaml_mark_t& mark) {
  return {static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
}

std::string_view view_of(const yaml_char_t* text, size_t length) {
  return {reinterpret_cast<const char*>(text), length};
}

// One event, freed when it goes out of scope.
struct Event {
  yaml_event_t value{};
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&value); }
  yaml_event_type_t type() const { return value.type; }
  Position position() const { return position_of(value.start_mark); }
};

class Loader {
 public:
  Loader(std::string_view text, const std::string& origin, const YamlLimits& limits)
      : text_(text), origin_(origin), limits_(limits) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    line_starts_.push_back(0);
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') line_starts_.push_back(i + 1);
    }
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader() { yaml_parser_delete(&parser_); }

  Result<std::vector<Node>> documents() {
    std::vector<Node> result;
    size_t first_byte = 0;
    while (true) {
      Event event;
      if (auto got = next(event); !got) return tl::unexpected(got.error());
      if (event.type() == YAML_STREAM_END_EVENT) return result;
      if (event.type() == YAML_DOCUMENT_START_EVENT) {
        // The first document also owns the comments above it.
        first_byte = result.empty() ? 0 : byte_of_line(event.value.start_mark.line);
        continue;
      }
      if (event.type() == YAML_STREAM_START_EVENT || event.type() == YAML_DOCUMENT_END_EVENT) continue;
      Node root;
      if (auto made = build(event, root, 1); !made) return tl::unexpected(made.error());
      root.first_byte = first_byte;
      if (!root.is_null()) result.push_back(std::move(root));
    }
  }

 private:
  tl::unexpected<Error> refuse(Position position, const std::string& what, Errc code = Errc::invalid) const {
    return fail(code, at(origin_, position, what));
  }

  size_t byte_of_line(size_t line) const {
    return line < line_starts_.size() ? line_starts_[line] : text_.size();
  }

  Status next(Event& event) {
    if (yaml_parser_parse(&parser_, &event.value)) return {};
    std::string what = parser_.problem ? parser_.problem : "cannot be read";
    if (parser_.context) what += fmt::format(" {}", parser_.context);
    // Errors of the reader (bad UTF-8, control characters) carry an offset in place of a mark.
    if (parser_.error == YAML_READER_ERROR) {
      size_t line = 0;
      while (line + 1 < line_starts_.size() && line_starts_[line + 1] <= parser_.problem_offset) ++line;
      const auto column = static_cast<int>(parser_.problem_offset - line_starts_[line]) + 1;
      return refuse({static_cast<int>(line) + 1, column}, what);
    }
    return refuse(position_of(parser_.problem_mark), what);
  }

  Status check(const Event& event, int depth) {
    if (++nodes_ > limits_.max_nodes) {
      return refuse(event.position(), fmt::format("more than {} values: split the file", limits_.max_nodes),
                    Errc::exhausted);
    }
    if (depth > limits_.max_depth) {
      return refuse(event.position(), fmt::format("nested deeper than {}", limits_.max_depth),
                    Errc::exhausted);
    }
    const yaml_char_t* anchor = nullptr;
    const yaml_char_t* tag = nullptr;
    switch (event.type()) {
      case YAML_ALIAS_EVENT:
        return refuse(event.position(), "aliases (*name) are not allowed: write the value out");
      case YAML_SCALAR_EVENT:
        anchor = event.value.data.scalar.anchor;
        tag = event.value.data.scalar.tag;
        break;
      case YAML_SEQUENCE_START_EVENT:
        anchor = event.value.data.sequence_start.anchor;
        tag = event.value.data.sequence_start.tag;
        break;
      case YAML_MAPPING_START_EVENT:
        anchor = event.value.data.mapping_start.anchor;
        tag = event.value.data.mapping_start.tag;
        break;
      default: return refuse(event.position(), "a value was expected");
    }
    if (anchor) return refuse(event.position(), "anchors (&name) are not allowed: write the value out");
    if (tag)
      return refuse(event.position(), "tags (!name) are not allowed: values take the type their field has");
    return {};
  }

  // Builds the node that begins with the event. The depth limit bounds this recursion.
  Status build(const Event& event, Node& node, int depth) {
    if (auto checked = check(event, depth); !checked) return checked;
    node.position = event.position();
    if (event.type() == YAML_SCALAR_EVENT) {
      const auto& scalar = event.value.data.scalar;
      node.text = view_of(scalar.value, scalar.length);
      node.quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE;
      return {};
    }
    if (event.type() == YAML_SEQUENCE_START_EVENT) {
      node.kind = Node::Kind::list;
      return build_list(node, depth);
    }
    node.kind = Node::Kind::map;
    return build_map(node, depth);
  }

  Status build_list(Node& node, int depth) {
    while (true) {
      Event event;
      if (auto got = next(event); !got) return got;
      if (event.type() == YAML_SEQUENCE_END_EVENT) return {};
      if (auto made = build(event, node.items.emplace_back(), depth + 1); !made) return made;
    }
  }

  Status build_map(Node& node, int depth) {
    std::set<std::string> seen;
    while (true) {
      Event key_event;
      if (auto got = next(key_event); !got) return got;
      if (key_event.type() == YAML_MAPPING_END_EVENT) return {};
      Node key;
      if (auto made = build(key_event, key, depth + 1); !made) return made;
      if (!key.is_scalar())
        return refuse(key.position, fmt::format("a key must be text, not a {}", kind_name(key.kind)));
      if (!seen.insert(key.text).second)
        return refuse(key.position, fmt::format("\"{}\" is given twice", key.text));
      node.keys.push_back({std::move(key.text), key.position});

      Event event;
      if (auto got = next(event); !got) return got;
      if (auto made = build(event, node.items.emplace_back(), depth + 1); !made) return made;
    }
  }

  std::string_view text_;
  const std::string& origin_;
  YamlLimits limits_;
  yaml_parser_t parser_{};
  std::vector<size_t> line_starts_;
  size_t nodes_ = 0;
};

}  // namespace

Result<std::vector<Node>> parse_yaml(std::string_view text, const std::string& origin,
                                     const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(Errc::exhausted, at(origin, {1, 1},
                                    fmt::format("{} bytes are more than the limit of {}: split the file",
                                                text.size(), limits.max_bytes)));
  }
  return Loader(text, origin, limits).documents();
}

}  // namespace todd::model
