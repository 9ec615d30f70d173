#pragma once
// From a round trip and what the responder says of it to the time of each way. No sockets, no clock.

#include <cstdint>
#include <optional>

#include "plugins/ping/block.h"

namespace todd::ping {

// What is known of a responder's wall clock.
struct PathClock {
  int64_t offset_ns = 0;  // ahead of ours
  int64_t error_ns = -1;  // bound of the error of that; negative = not known
  bool shared = false;    // it is the same clock
  bool told = false;      // the error has been recorded
};

struct Delays {
  int64_t forward_ns = 0, back_ns = 0;
};

// When the probe left and its reply came, on our wall clock. Nothing if the clock is not known, or if the
// responder had the probe for longer than the round trip took. Neither time is ever negative: if one were by
// x, the clock's error is at least x; the clock is then known by that much worse, and the way takes 0 and the
// other way all of the time there was.
std::optional<Delays> one_way_of(PathClock& clock, const BlockAnswer& answer, int64_t left_ns,
                                 int64_t came_ns);

}  // namespace todd::ping
