#pragma once
#include <algorithm>
#include <cstdint>
#include <random>

namespace todd::agent {

// Full jitter: a random delay within a bound that doubles with each attempt. Value.
class Backoff {
 public:
  Backoff(int64_t first_ns, int64_t longest_ns, uint64_t seed)
      : first_(first_ns), longest_(longest_ns), random_(seed) {}

  int64_t bound_ns() const {
    constexpr int kMostDoublings = 40;
    const int doublings = std::min(attempts_, kMostDoublings);
    return first_ > (longest_ >> doublings) ? longest_ : first_ << doublings;
  }
  int64_t next_ns() {
    const int64_t delay = std::uniform_int_distribution<int64_t>(0, bound_ns())(random_);
    ++attempts_;
    return delay;
  }
  int attempts() const { return attempts_; }
  void reset() { attempts_ = 0; }

 private:
  int64_t first_;
  int64_t longest_;
  int attempts_ = 0;
  std::mt19937_64 random_;
};

}  // namespace todd::agent
