#include "coordinator/fleet/rate_limit.h"

#include <algorithm>

namespace todd::fleet {

double RateLimit::level(const Bucket& bucket, int64_t now_ns) const {
  return std::min(burst_, bucket.level + static_cast<double>(now_ns - bucket.at_ns) * 1e-9 * per_s_);
}

bool RateLimit::take(const std::string& key, int64_t now_ns) {
  auto it = buckets_.find(key);
  if (it == buckets_.end()) {
    if (buckets_.size() >= kMostKeys) {
      std::erase_if(buckets_, [&](const auto& entry) { return level(entry.second, now_ns) >= burst_; });
      if (buckets_.size() >= kMostKeys) return false;
    }
    it = buckets_.emplace(key, Bucket{burst_, now_ns}).first;
  }
  Bucket& bucket = it->second;
  bucket = {level(bucket, now_ns), now_ns};
  if (bucket.level < 1) return false;
  bucket.level -= 1;
  return true;
}

}  // namespace todd::fleet
