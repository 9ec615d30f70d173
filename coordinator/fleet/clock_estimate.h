#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

#include "coordinator/run/transport.h"

namespace todd::fleet {

// One four-timestamp exchange, all wall clocks: t1 sent here, t2 received there, t3 sent there, t4 received
// here.
struct Exchange {
  int64_t t1 = 0, t2 = 0, t3 = 0, t4 = 0;
};

// Offset of the other side's wall clock from the last 16 exchanges: that of the smallest round trip, whose
// error is at most half of it (the paths' asymmetry is unknown). Value.
class ClockEstimate {
 public:
  // Exchanges that cannot be (negative round trip: a clock was set meanwhile) start the estimate over.
  void add(const Exchange& exchange);
  bool known() const { return count_ > 0; }
  run::ClockQuality quality() const;

 private:
  struct Sample {
    int64_t offset_ns = 0;
    int64_t rtt_ns = 0;
  };
  std::array<Sample, 16> samples_{};
  size_t count_ = 0;  // ever added since the last start over
};

}  // namespace todd::fleet
