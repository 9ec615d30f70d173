#include "engine/base/cpu_time.h"

#include <ctime>

namespace todd {
namespace {

int64_t read(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

int64_t thread_cpu_ns() { return read(CLOCK_THREAD_CPUTIME_ID); }
int64_t process_cpu_ns() { return read(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace todd
