#include "coordinator/fleet/facts.h"

#include "todd/v1/link.pb.h"

namespace todd::fleet {
namespace {
constexpr size_t kMostItems = 64;
constexpr size_t kLongestText = 256;

std::string cut(const std::string& text) { return text.substr(0, kLongestText); }

template <class Repeated>
std::vector<std::string> cut_list(const Repeated& items) {
  std::vector<std::string> result;
  for (const std::string& item : items) {
    if (result.size() == kMostItems) break;
    result.push_back(cut(item));
  }
  return result;
}

bool is_label_key(const std::string& key) {
  return !key.empty() && key.size() <= 63 &&
         key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-") ==
             std::string::npos;
}
}  // namespace

model::Facts facts_of(const v1::Facts& facts) {
  model::Facts result;
  result.hostname = cut(facts.hostname());
  result.os = cut(facts.os());
  result.kernel = cut(facts.kernel());
  result.version = cut(facts.version());
  result.addresses = cut_list(facts.addresses());
  result.test_addresses = cut_list(facts.test_addresses());
  for (const auto& [key, value] : facts.labels()) {
    if (is_label_key(key) && result.labels.size() < kMostItems) result.labels[key] = cut(value);
  }
  if (facts.listen_first() > 0 && facts.listen_first() <= facts.listen_last() &&
      facts.listen_last() <= UINT16_MAX) {
    result.listen_first = static_cast<uint16_t>(facts.listen_first());
    result.listen_last = static_cast<uint16_t>(facts.listen_last());
  }
  return result;
}

}  // namespace todd::fleet
