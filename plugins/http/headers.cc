#include "plugins/http/headers.h"

#include <algorithm>

namespace todd::http {

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

void Headers::clear() {
  text_.clear();
  fields_.clear();
}

bool Headers::add(std::string_view name, std::string_view value) {
  if (name.size() > kMaxHead || value.size() > kMaxHead ||
      text_.size() + name.size() + value.size() > kMaxHead || fields_.size() >= kMaxHead / 4) {
    return false;
  }
  fields_.push_back({static_cast<uint16_t>(text_.size()), static_cast<uint16_t>(name.size()),
                     static_cast<uint16_t>(value.size())});
  std::transform(name.begin(), name.end(), std::back_inserter(text_), lower);
  text_ += value;
  return true;
}

Headers::Field Headers::operator[](size_t i) const {
  const Place& p = fields_[i];
  const std::string_view text = text_;
  return {text.substr(p.at, p.name), text.substr(p.at + p.name, p.value)};
}

std::optional<std::string_view> Headers::find(std::string_view name) const {
  for (size_t i = 0; i < size(); ++i) {
    if (same_word((*this)[i].name, name)) return (*this)[i].value;
  }
  return std::nullopt;
}

}  // namespace todd::http
