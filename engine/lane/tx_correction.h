#pragma once
// How much later than our own clock reading datagrams really leave, learned from the few that the kernel
// stamps.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace todd::lane {

class TxCorrection {
 public:
  // Cheap: exact stamps come once per probe and are seldom asked about.
  void learn(int64_t later_ns) {
    last_[n_++ % kKept] = later_ns;
    stale_ = true;
  }
  // The median of the last ones; 0 until the first was learned.
  int64_t ns() {
    if (std::exchange(stale_, false)) median_ns_ = median();
    return median_ns_;
  }

 private:
  static constexpr size_t kKept = 31;
  int64_t median() const {
    auto sorted = last_;
    const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(n_, kKept));
    const auto middle = sorted.begin() + (end - sorted.begin()) / 2;
    std::nth_element(sorted.begin(), middle, end);
    return *middle;
  }
  std::array<int64_t, kKept> last_{};
  size_t n_ = 0;
  bool stale_ = false;
  int64_t median_ns_ = 0;
};

}  // namespace todd::lane
