#pragma once
#include <cstdint>

namespace todd {

// CPU time used so far, user's and system's: by the calling thread, by the whole process. A system call each.
// [any-thread]
int64_t thread_cpu_ns();
int64_t process_cpu_ns();

}  // namespace todd
