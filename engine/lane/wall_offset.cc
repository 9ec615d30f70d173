#include "engine/lane/wall_offset.h"

#include "engine/base/clock.h"

namespace todd::lane {

void WallOffset::refresh() {
  const int64_t before = monotonic_ns();
  const int64_t wall = wall_ns();
  take(before, wall, monotonic_ns());
}

void WallOffset::take(int64_t before_ns, int64_t wall_ns, int64_t after_ns) {
  const int64_t gap = after_ns - before_ns, offset = wall_ns - (before_ns + gap / 2);
  const bool first = gap_ns_ == INT64_MAX;
  const int64_t change = offset > offset_ns_ ? offset - offset_ns_ : offset_ns_ - offset;
  // Two readings of the same difference are apart by at most half of both gaps; a lane taken off its core
  // widens one. The rest is for the clocks' own grain.
  constexpr int64_t kGrainNs = 1000;
  const bool stepped = !first && change > (gap + gap_ns_) / 2 + kGrainNs;
  if (stepped) stepped_ns_ = after_ns;
  if (!first && !stepped && gap >= gap_ns_) return;
  offset_ns_ = offset;
  gap_ns_ = gap;
}

}  // namespace todd::lane
