#include "plugins/ping/one_way.h"

#include <algorithm>
#include <cstdlib>

namespace todd::ping {

std::optional<Delays> one_way_of(PathClock& clock, const BlockAnswer& answer, int64_t left_ns,
                                 int64_t came_ns) {
  const int64_t total_ns = came_ns - left_ns - answer.processing_ns;
  if (clock.error_ns < 0 || answer.processing_ns == UINT32_MAX || total_ns < 0) return {};
  int64_t forward_ns = 0;  // the stamp is of another host and may be anything
  if (__builtin_sub_overflow(answer.received_ns, clock.offset_ns, &forward_ns) ||
      __builtin_sub_overflow(forward_ns, left_ns, &forward_ns))
    return {};
  const int64_t possible_ns = std::clamp<int64_t>(forward_ns, 0, total_ns);
  int64_t beyond_ns = 0;
  if (__builtin_sub_overflow(forward_ns, possible_ns, &beyond_ns) || beyond_ns == INT64_MIN) return {};
  if (std::abs(beyond_ns) > clock.error_ns) {
    clock.error_ns = std::abs(beyond_ns);
    clock.told = false;
  }
  return Delays{possible_ns, total_ns - possible_ns};
}

}  // namespace todd::ping
