#pragma once
// The wall clock (CLOCK_REALTIME, of kernel stamps) against the lane's own (CLOCK_MONOTONIC). Both are slewed
// alike, so their difference changes only when somebody sets the clock: a step, across which kernel stamps
// prove nothing.

#include <cstdint>

namespace todd::lane {

class WallOffset {
 public:
  // Reads both clocks. [lane]
  void refresh();
  // What refresh() does with a reading of the wall clock between two of the monotonic one.
  void take(int64_t before_ns, int64_t wall_ns, int64_t after_ns);

  int64_t to_mono(int64_t wall_ns) const { return wall_ns - offset_ns_; }
  int64_t to_wall(int64_t mono_ns) const { return mono_ns + offset_ns_; }
  // Whether the clock was set at or after this (monotonic) time.
  bool stepped_since(int64_t mono_ns) const { return stepped_ns_ >= mono_ns; }

 private:
  int64_t offset_ns_ = 0;
  int64_t gap_ns_ = INT64_MAX;      // between the readings that gave it: its error is at most half
  int64_t stepped_ns_ = INT64_MIN;  // when the last step was noticed
};

}  // namespace todd::lane
