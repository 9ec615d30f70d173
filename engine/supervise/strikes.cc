#include "engine/supervise/strikes.h"

#include <fmt/format.h>

namespace todd::supervise {
namespace {

constexpr size_t kMost = 3;
constexpr int64_t kWithinNs = 600'000'000'000;

}  // namespace

bool Strikes::add(const std::string& testlet, const std::string& why, int64_t now_ns) {
  if (quarantined_.contains(testlet)) return false;
  auto& deaths = deaths_[testlet];
  deaths.push_back(now_ns);
  while (now_ns - deaths.front() > kWithinNs) deaths.pop_front();
  if (deaths.size() < kMost) return false;
  quarantined_[testlet] = fmt::format(
      "{} crashed {} times in 10 min, the last time its worker {}; mend it, then restart the agent", testlet,
      deaths.size(), why);
  return true;
}

std::string Strikes::quarantine_of(const std::string& testlet) const {
  const auto it = quarantined_.find(testlet);
  return it == quarantined_.end() ? "" : it->second;
}

}  // namespace todd::supervise
