#pragma once

#include <string>
#include <vector>

namespace todd::floor {

struct Cost {
  std::string name;
  double nanoseconds;  // median of five, per call
};
// What a kernel entry, a clock and an empty io_uring operation cost on this core.
std::vector<Cost> costs();

struct Lateness {
  std::string timer;          // clock_nanosleep, timerfd, io_uring
  int interval_us, slack_ns;  // PR_SET_TIMERSLACK
  double p50_us, p99_us, worst_us;
};
// How late a thread wakes that sleeps to absolute times, for each way to sleep.
std::vector<Lateness> lateness();

}  // namespace todd::floor
