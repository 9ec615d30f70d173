#pragma once
// A rate that rises evenly from nothing: a strictly rising map from the times of an even schedule to those of
// one that begins slowly. Pure; nothing is stored but its length.

#include <cstdint>

namespace todd::schedule {

// By t of its length L the rate is t/L of the whole, so that as much has been due as an even schedule has at
// t*t/(2L); from L on everything is L/2 later. Length 0 changes nothing. Offsets from the start, in ns, not
// negative. [any-thread]
class Ramp {
 public:
  Ramp() = default;
  explicit Ramp(int64_t length_ns) : length_ns_(length_ns) {}

  // When what is due at even_ns of the even schedule is due; INT64_MAX if beyond what fits.
  int64_t due_ns(int64_t even_ns) const;
  // The least even_ns whose due_ns() is not before due_ns.
  int64_t even_ns(int64_t due_ns) const;

 private:
  int64_t rise(int64_t even_ns) const;  // within the ramp

  int64_t length_ns_ = 0;
};

}  // namespace todd::schedule
