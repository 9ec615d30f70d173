#pragma once
// What a process that stays keeps of the memory it once needed.

#include <malloc.h>

namespace todd {

// From now on a freed block of 256 KiB or more goes back to the system at once. By itself glibc raises that
// bound to the largest block ever freed, after which a file that was read whole stays resident for good. Call
// it first in main().
inline void return_large_blocks() { mallopt(M_MMAP_THRESHOLD, 256 << 10); }

}  // namespace todd
