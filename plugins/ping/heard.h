#pragma once
// What a responder remembers of the probes it has heard, per stream: how many are missing. No sockets, no
// clock.
//
// Invariants
// - A probe that comes twice counts once; one that comes up to 63 probes late is not missing any more.
// - Bounded: of streams that are not heard for long the record is dropped. Its stream then gets another
// epoch.

#include <cstddef>
#include <cstdint>

#include "plugins/ping/recent.h"

namespace todd::ping {

class Heard {
 public:
  struct Report {
    uint32_t latest = 0;   // the greatest number heard
    uint32_t missing = 0;  // of those before it, how many were not
    uint64_t window = 0;   // bit i: latest - i was heard. What lies before the stream's first is 0
    uint16_t epoch = 0;    // of the record: another one knows nothing of what this one counted
    bool whole = false;    // missing counts from number 0; else from the first one heard

    bool operator==(const Report&) const = default;
  };

  // most: streams remembered at least; at most twice as many, 64 bytes each.
  explicit Heard(uint64_t seed, size_t most = 16384) : draw_(seed | 1), streams_(most) {}

  // A probe of the stream was heard; stream: the source's word for it, and where it comes from.
  Report take(uint64_t stream, uint32_t number);

 private:
  Report& record_of(uint64_t stream, uint32_t number);

  uint64_t draw_;
  Recent<Report> streams_;
};

}  // namespace todd::ping
