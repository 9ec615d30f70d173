#include "engine/base/clock.h"

#include <cstdio>
#include <ctime>

namespace todd {
namespace {
int64_t read_ns(clockid_t id) {
  timespec ts;
  clock_gettime(id, &ts);
  return int64_t{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}
}  // namespace

int64_t monotonic_ns() { return read_ns(CLOCK_MONOTONIC); }
int64_t wall_ns() { return read_ns(CLOCK_REALTIME); }

const char* format_rfc3339(int64_t wall, char (&out)[32]) {
  int64_t sec = wall / 1'000'000'000, ns = wall % 1'000'000'000;
  if (ns < 0) sec -= 1, ns += 1'000'000'000;
  const time_t t = sec;
  tm parts;
  gmtime_r(&t, &parts);
  char head[24];
  strftime(head, sizeof head, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(out, sizeof out, "%s.%06dZ", head, static_cast<int>(ns / 1000));
  return out;
}
}  // namespace todd
