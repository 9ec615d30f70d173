#pragma once
// How much later than our own clock reading datagrams really leave, learned from the few that the kernel stamps.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace todd::lane {

class TxCorrection {
 public:
  void learn(int64_t later_ns) {
    last_[n_++ % kKept] = later_ns;
    auto sorted = last_;
    const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(n_, kKept));
    const auto middle = sorted.begin() + (end - sorted.begin()) / 2;
    std::nth_element(sorted.begin(), middle, end);
    median_ns_ = *middle;
  }
  int64_t ns() const { return median_ns_; }  // 0 until the first was learned

 private:
  static constexpr size_t kKept = 31;
  std::array<int64_t, kKept> last_{};
  size_t n_ = 0;
  int64_t median_ns_ = 0;
};

}  // namespace todd::lane
