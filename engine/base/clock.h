#pragma once
#include <cstdint>

namespace todd {

// Two clocks, never mixed: monotonic for deadlines and intervals, wall (Unix epoch) for people and stamps.
// [any-thread]
int64_t monotonic_ns();
int64_t wall_ns();

// The clock a component is given, so that tests can move time by hand (tests/support/manual_clock.h).
class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t now_ns() const { return monotonic_ns(); }
  virtual int64_t wall_now_ns() const { return wall_ns(); }
};

// RFC 3339 in UTC with microseconds: "2026-01-31T10:00:00.000000Z".
// Declared here because every folder prints times.
const char* format_rfc3339(int64_t wall_ns, char (&out)[32]);

}  // namespace todd
