#include "coordinator/proto/histogram.h"

#include <algorithm>

#include "engine/stats/buckets.h"
#include "todd/v1/task.pb.h"

namespace todd::wire {

void put_histogram(const stats::Histogram& histogram, v1::Histogram& out) {
  out.set_count(histogram.count);
  if (histogram.count == 0) return;
  out.set_sum(histogram.sum);
  out.set_min(histogram.min);
  out.set_max(histogram.max);
  out.set_squares_low(static_cast<uint64_t>(histogram.sum_squares));
  out.set_squares_high(static_cast<uint64_t>(histogram.sum_squares >> 64));
  uint32_t before = 0;
  for (const auto& [bucket, n] : histogram.buckets) {
    out.add_bucket(bucket - before);
    out.add_n(n);
    before = bucket;
  }
}

stats::Histogram histogram_of(const v1::Histogram& in) {
  stats::Histogram out;
  out.count = in.count();
  if (out.count == 0) return out;
  out.sum = in.sum();
  out.min = in.min();
  out.max = in.max();
  out.sum_squares = static_cast<unsigned __int128>(in.squares_high()) << 64 | in.squares_low();
  uint64_t bucket = 0;
  const int n = std::min(in.bucket_size(), in.n_size());
  for (int i = 0; i < n; ++i) {
    bucket += in.bucket(i);
    if (bucket >= stats::kBuckets) break;
    if (in.n(i) == 0) continue;
    if (!out.buckets.empty() && out.buckets.back().first == bucket) {
      out.buckets.back().second += in.n(i);
    } else {
      out.buckets.emplace_back(static_cast<uint32_t>(bucket), in.n(i));
    }
  }
  return out;
}

}  // namespace todd::wire
