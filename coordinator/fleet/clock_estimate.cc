#include "coordinator/fleet/clock_estimate.h"

#include <algorithm>

namespace todd::fleet {

void ClockEstimate::add(const Exchange& exchange) {
  const int64_t rtt = (exchange.t4 - exchange.t1) - (exchange.t3 - exchange.t2);
  if (rtt < 0 || exchange.t4 < exchange.t1 || exchange.t3 < exchange.t2) {
    count_ = 0;
    return;
  }
  // Each difference is halved by itself: their sum of two far apart clocks could overflow.
  const int64_t offset = (exchange.t2 - exchange.t1) / 2 + (exchange.t3 - exchange.t4) / 2;
  samples_[count_ % samples_.size()] = {offset, rtt};
  ++count_;
}

run::ClockQuality ClockEstimate::quality() const {
  if (count_ == 0) return {};
  const auto end = samples_.begin() + static_cast<std::ptrdiff_t>(std::min(count_, samples_.size()));
  const auto by_rtt = [](const Sample& a, const Sample& b) { return a.rtt_ns < b.rtt_ns; };
  const auto [best, worst] = std::minmax_element(samples_.begin(), end, by_rtt);
  return {.offset_ns = best->offset_ns, .error_ns = best->rtt_ns / 2, .worst_rtt_ns = worst->rtt_ns};
}

}  // namespace todd::fleet
