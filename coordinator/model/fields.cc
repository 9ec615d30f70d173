#include "coordinator/model/fields.h"

#include <fmt/format.h>

#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

namespace todd::model {

void Problems::add(Position position, const std::string& what) {
  add(Error{Errc::invalid, 0, at(origin_, position, what)});
}

void Problems::add(Error error) {
  if (!first_) first_ = std::move(error);
}

Status Problems::status() const {
  if (first_) return tl::unexpected(*first_);
  return {};
}

Fields::Fields(const Node& node, std::string what, Problems& problems)
    : node_(node), what_(std::move(what)), problems_(problems) {
  if (!node.is_map()) {
    problems_.add(node.position, fmt::format("{} must be a map of keys and values, not {}", what_,
                                             node.is_list() ? "a list" : "text"));
  }
}

const Node* Fields::take(std::string_view key) {
  known_.emplace(key);
  return node_.find(key);
}

const Node* Fields::need(std::string_view key) {
  const Node* value = take(key);
  if (!value && node_.is_map()) problems_.add(node_.position, fmt::format("{} needs \"{}\"", what_, key));
  return value;
}

void Fields::wrong_kind(const Node& node, std::string_view key, const char* wanted) {
  const char* found = node.is_null() ? "nothing" : kind_name(node.kind);
  problems_.add(node.position, fmt::format("\"{}\" of {} must be {}, not {}", key, what_, wanted, found));
}

std::string Fields::text(std::string_view key, std::string fallback) {
  auto value = optional_text(key);
  return value ? std::move(*value) : std::move(fallback);
}

std::optional<std::string> Fields::optional_text(std::string_view key) {
  const Node* value = take(key);
  if (!value) return std::nullopt;
  if (!value->is_scalar() || value->is_null()) {
    wrong_kind(*value, key, "text");
    return std::nullopt;
  }
  return value->text;
}

std::string Fields::required_text(std::string_view key) {
  if (!need(key)) return "";
  std::string value = text(key);
  if (value.empty()) problems_.add(position_of(key), fmt::format("\"{}\" of {} is empty", key, what_));
  return value;
}

int64_t Fields::integer(std::string_view key, int64_t fallback, int64_t least, int64_t most) {
  const Node* value = take(key);
  if (!value) return fallback;
  if (!value->is_scalar() || value->quoted || value->is_null()) {
    wrong_kind(*value, key, "a number");
    return fallback;
  }
  auto number = manifest::parse_integer(value->text);
  if (!number || *number < least || *number > most) {
    problems_.add(value->position,
                  fmt::format("\"{}\" of {} must be a whole number from {} to {}, not \"{}\"", key, what_,
                              least, most, value->text));
    return fallback;
  }
  return *number;
}

bool Fields::boolean(std::string_view key, bool fallback) {
  const Node* value = take(key);
  if (!value) return fallback;
  if (value->is_scalar() && !value->quoted) {
    if (value->text == "true") return true;
    if (value->text == "false") return false;
  }
  wrong_kind(*value, key, "true or false");
  return fallback;
}

const Node* Fields::list(std::string_view key) {
  const Node* value = take(key);
  if (!value) return nullptr;
  if (value->is_list()) return value;
  wrong_kind(*value, key, "a list");
  return nullptr;
}

const Node* Fields::map(std::string_view key) {
  const Node* value = take(key);
  if (!value) return nullptr;
  if (value->is_map()) return value;
  wrong_kind(*value, key, "a map");
  return nullptr;
}

std::vector<std::string> Fields::texts(std::string_view key) {
  const Node* value = take(key);
  std::vector<std::string> result;
  if (!value) return result;
  const std::string what = fmt::format("\"{}\" of {}", key, what_);
  if (!value->is_list()) {
    result.push_back(scalar_text(*value, what, problems_));
    return result;
  }
  if (value->items.empty()) problems_.add(value->position, what + " is an empty list");
  for (const Node& item : value->items) result.push_back(scalar_text(item, "each of " + what, problems_));
  return result;
}

Position Fields::position_of(std::string_view key) const {
  for (const auto& candidate : node_.keys) {
    if (candidate.text == key) return candidate.position;
  }
  return node_.position;
}

void Fields::finish() {
  for (const auto& key : node_.keys) {
    if (known_.contains(key.text)) continue;
    const std::vector<std::string> names(known_.begin(), known_.end());
    std::string hint = manifest::did_you_mean(key.text, names);
    if (hint.empty()) hint = fmt::format(": it takes {}", fmt::join(names, ", "));
    problems_.add(key.position, fmt::format("{} has no key \"{}\"{}", what_, key.text, hint));
    return;
  }
}

std::string scalar_text(const Node& node, const std::string& what, Problems& problems) {
  if (node.is_scalar() && !node.is_null() && !node.text.empty()) return node.text;
  const char* found = node.is_scalar() ? "nothing" : kind_name(node.kind);
  problems.add(node.position, fmt::format("{} must be text, not {}", what, found));
  return "";
}

}  // namespace todd::model
