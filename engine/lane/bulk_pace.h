#pragma once
// When the next send of a job with a bitrate is due: by arithmetic from the first one on, so that rounding
// adds up to nothing. What was missed for more than 10 ms is forgotten.

#include <algorithm>
#include <cstdint>

namespace todd::lane {

class BulkPace {
 public:
  static constexpr int64_t kMadeGoodNs = 10'000'000;
  // bits_per_s 0: as fast as it goes, everything is due at once.
  BulkPace(uint64_t bits_per_s, int64_t from_ns) : bits_per_s_(bits_per_s), origin_ns_(from_ns) {}

  bool paced() const { return bits_per_s_ != 0; }
  int64_t due_ns() const { return paced() ? origin_ns_ + time_of(bytes_) : origin_ns_; }
  // How late a send is that happens now, >= 0; forgets what is not made good.
  int64_t late_ns(int64_t now_ns) {
    const int64_t late = std::max<int64_t>(now_ns - due_ns(), 0);
    if (late > kMadeGoodNs) {
      origin_ns_ = now_ns - kMadeGoodNs;
      bytes_ = 0;
    }
    return late;
  }
  void sent(uint64_t bytes) { bytes_ += bytes; }
  // How long so many bytes take at the rate.
  int64_t time_of(uint64_t bytes) const {
    return static_cast<int64_t>(static_cast<unsigned __int128>(bytes) * 8 * 1'000'000'000 / bits_per_s_);
  }
  uint64_t bytes_in(int64_t ns) const {
    return static_cast<uint64_t>(static_cast<unsigned __int128>(bits_per_s_) * static_cast<uint64_t>(ns) /
                                 8'000'000'000);
  }

 private:
  uint64_t bits_per_s_;
  int64_t origin_ns_;
  uint64_t bytes_ = 0;  // sent since then
};

}  // namespace todd::lane
