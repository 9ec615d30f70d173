#pragma once
#include "engine/stats/histogram.h"

namespace todd::v1 {
class Histogram;
}

namespace todd::wire {

// A histogram as it travels. `out` is empty before.
void put_histogram(const stats::Histogram& histogram, v1::Histogram& out);
// And back: whatever came, the buckets are sorted and in range.
stats::Histogram histogram_of(const v1::Histogram& in);

}  // namespace todd::wire
