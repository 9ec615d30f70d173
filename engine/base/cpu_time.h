#pragma once
#include <cstdint>

namespace todd {

// CPU time used so far, user's and system's: by the calling thread, by the whole process. A system call each.
// The kernel brings only the caller up to date: what threads that run on other cores used since the last tick (1 to 10 ms)
// is not in the process's yet, which may so be less than the sum of its threads' own (thread_group_cputime, Linux 6.1).
// [any-thread]
int64_t thread_cpu_ns();
int64_t process_cpu_ns();

}  // namespace todd
