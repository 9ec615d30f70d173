#include "engine/schedule/ramp.h"

#include <algorithm>
#include <cmath>

namespace todd::schedule {

int64_t Ramp::rise(int64_t even_ns) const {
  const auto length = static_cast<long double>(length_ns_);
  return std::min(static_cast<int64_t>(std::sqrt(2 * length * static_cast<long double>(even_ns))),
                  length_ns_);
}

int64_t Ramp::due_ns(int64_t even_ns) const {
  const int64_t half = length_ns_ / 2;
  if (even_ns < half) return rise(even_ns);
  int64_t due = 0;
  return __builtin_add_overflow(even_ns, length_ns_ - half, &due) ? INT64_MAX : due;
}

int64_t Ramp::even_ns(int64_t due_ns) const {
  const int64_t half = length_ns_ / 2;
  if (due_ns <= 0) return due_ns;
  if (due_ns >= length_ns_) return due_ns - (length_ns_ - half);
  const auto due = static_cast<long double>(due_ns);
  auto even = static_cast<int64_t>(due * due / (2 * static_cast<long double>(length_ns_)));
  // Both ways are rounded: one or two steps to where they meet.
  while (even > 0 && this->due_ns(even - 1) >= due_ns) --even;
  while (this->due_ns(even) < due_ns) ++even;
  return even;
}

}  // namespace todd::schedule
