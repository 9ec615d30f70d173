#pragma once
#include <cstdint>
#include <utility>
#include <vector>

namespace todd::stats {

// A distribution of integers in base units. Every field is exact or a count, so merging is exact,
// commutative and associative; only percentiles carry the bucket's error (at most 2^-kSubBits of the value).
struct Histogram {
  uint64_t count = 0;
  uint64_t sum = 0;
  uint64_t min = UINT64_MAX;  // UINT64_MAX while empty
  uint64_t max = 0;
  unsigned __int128 sum_squares = 0;
  // (bucket, count) sorted by bucket, counts above 0.
  std::vector<std::pair<uint32_t, uint64_t>> buckets;

  // Records the value v, n times.
  void add(uint64_t v, uint64_t n = 1);

  // As if every value recorded in the other had been recorded here too.
  void merge(const Histogram& other);

  // 0 while empty.
  double mean() const;

  // Of the population (divides by count). 0 while empty.
  double stddev() const;

  // Whether it tells how its values lie between min and max: rows of tasks with very many edges keep no
  // buckets. False while empty.
  bool has_shape() const { return count > 0 && (!buckets.empty() || min == max); }

  // The value below or at which p percent of the values lie: the bucket of the nearest rank, interpolated
  // inside it and clamped to [min, max]. p is clamped to 0..100; 0 is min, 100 is max. 0 while empty.
  double percentile(double p) const;

  bool operator==(const Histogram&) const = default;
};

}  // namespace todd::stats
