#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace todd::fleet {

// Token buckets by key. Memory is bounded: full buckets are dropped, and when too many are not full, new keys
// are refused.
class RateLimit {
 public:
  RateLimit(double per_s, double burst) : per_s_(per_s), burst_(burst) {}

  // May key go ahead at now? Takes one from its bucket if so.
  bool take(const std::string& key, int64_t now_ns);

  static constexpr size_t kMostKeys = 10'000;

 private:
  struct Bucket {
    double level = 0;
    int64_t at_ns = 0;
  };
  double level(const Bucket& bucket, int64_t now_ns) const;

  double per_s_;
  double burst_;
  std::unordered_map<std::string, Bucket> buckets_;
};

}  // namespace todd::fleet
