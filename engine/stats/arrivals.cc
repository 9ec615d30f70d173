#include "engine/stats/arrivals.h"

#include <algorithm>
#include <cmath>

namespace todd::stats {

uint64_t Arrivals::widen(uint32_t low) const {
  const auto ahead = static_cast<int32_t>(low - static_cast<uint32_t>(next_));
  return next_ + static_cast<uint64_t>(static_cast<int64_t>(ahead));
}

// `number` is the highest now: those between are missing so far.
void Arrivals::advance(uint64_t number) {
  const uint64_t gap = number - next_;
  if (gap != 0) {
    ++bursts_;
    longest_burst_ = std::max(longest_burst_, gap);
  }
  if (gap >= kWindow) {
    seen_.fill(0);
  } else {
    // By whole words: the sender says how far it jumps with each datagram.
    for (uint64_t missing = next_; missing != number;) {
      const uint64_t offset = missing % 64, many = std::min(64 - offset, number - missing);
      const uint64_t bits = many == 64 ? ~uint64_t{0} : (uint64_t{1} << many) - 1;
      word(missing) &= ~(bits << offset);
      missing += many;
    }
  }
  next_ = number + 1;
}

bool Arrivals::take(uint64_t number, int64_t sent_ns, int64_t arrived_ns) {
  if (number < first_ || number == UINT64_MAX) return false;
  if (number >= next_) {
    advance(number);
  } else if ((next_ - number <= kWindow && seen(number)) || lost() == 0) {
    ++duplicates_;
    return false;
  } else {
    ++out_of_order_;
  }
  if (next_ - number <= kWindow) word(number) |= bit(number);
  // The clocks' difference cancels out. Wrapping is fine: it is the network's number.
  const auto transit =
      static_cast<int64_t>(static_cast<uint64_t>(arrived_ns) - static_cast<uint64_t>(sent_ns));
  if (received_ != 0) {
    const double difference = std::abs(static_cast<double>(transit) - static_cast<double>(transit_));
    jitter_ += (difference - jitter_) / 16;
  }
  transit_ = transit;
  ++received_;
  return true;
}

}  // namespace todd::stats
