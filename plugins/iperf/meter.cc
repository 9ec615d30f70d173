#include "plugins/iperf/meter.h"

#include <algorithm>
#include <cstdlib>

namespace todd::iperf {

namespace {
constexpr double kMaxLateNs = 10e6;
}

void View::advance(Sink& sink, int64_t to_ns) {
  if (to_ns <= until_ns_) return;
  sink.add(sending_ ? Count::kSentTime : Count::kTime, edge_, static_cast<uint64_t>(to_ns - until_ns_));
  until_ns_ = to_ns;
}

void View::bytes(Sink& sink, uint64_t n, int64_t at_ns) {
  if (first_ns_ == 0) first_ns_ = until_ns_ = at_ns;
  sink.add(sending_ ? Count::kSentBytes : Count::kBytes, edge_, n);
  advance(sink, at_ns);
}

void View::tick(Sink& sink, int64_t now_ns, int64_t duration_ns) {
  if (first_ns_ != 0) advance(sink, std::min(now_ns, first_ns_ + duration_ns));
}

bool Sequence::arrived(uint64_t number, int64_t sent_ns, int64_t arrived_ns) {
  if (number >= numbered_) {
    const uint64_t ahead = number + 1 - numbered_;
    recent_ = ahead < 64 ? recent_ << ahead | 1 : 1;
    numbered_ = number + 1;
  } else {
    const uint64_t behind = numbered_ - 1 - number;
    if (behind < 64) {
      if ((recent_ >> behind & 1) != 0) return false;
      recent_ |= uint64_t{1} << behind;
    }
    ++out_of_order_;
  }
  // The two clocks differ by an unknown offset, which cancels out. Wrapping is fine: it is the network's
  // number.
  const auto transit =
      static_cast<int64_t>(static_cast<uint64_t>(arrived_ns) - static_cast<uint64_t>(sent_ns));
  if (received_ != 0) {
    const auto difference = static_cast<double>(transit) - static_cast<double>(transit_);
    jitter_ += (std::abs(difference) - jitter_) / 16;
  }
  transit_ = transit;
  ++received_;
  return true;
}

void Sequence::ended(uint64_t numbered, uint64_t unsent) {
  numbered_ = std::max(numbered_, numbered);
  unsent_ = unsent;
}

Pacer::Pacer(uint64_t bits_per_s, uint32_t length, int64_t start_ns)
    : gap_ns_(bits_per_s != 0 ? static_cast<double>(length) * 8e9 / static_cast<double>(bits_per_s) : 0),
      exact_ns_(static_cast<double>(start_ns)),
      next_ns_(start_ns) {}

void Pacer::sent(int64_t now_ns) {
  exact_ns_ = std::max(exact_ns_, static_cast<double>(now_ns) - kMaxLateNs) + gap_ns_;
  next_ns_ = static_cast<int64_t>(exact_ns_);
}

}  // namespace todd::iperf
