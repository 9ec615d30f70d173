#pragma once
// Broken preconditions and impossible states: print and abort, in release builds too.

namespace todd {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}

#define TODD_CHECK(cond) \
  (__builtin_expect(!!(cond), 1) ? void(0) : ::todd::check_failed(#cond, __FILE__, __LINE__))

// Only inside per-packet loops: checked in debug builds.
#ifdef NDEBUG
#define TODD_DCHECK(cond) void(0)
#else
#define TODD_DCHECK(cond) TODD_CHECK(cond)
#endif
