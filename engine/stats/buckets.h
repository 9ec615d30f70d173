#pragma once
// Log-linear bucket arithmetic of every histogram: values below 2^kSubBits have a bucket each, every further
// power of two is cut into 2^kSubBits equal buckets. A bucket is never wider than 2^-kSubBits of its low end,
// and the borders are fixed, so histograms of any origin merge by adding counts.
// Values are integers in base units (ns, B, ...). Changing this breaks every stored histogram.

#include <cstdint>

namespace todd::stats {

inline constexpr uint32_t kSubBits = 7;
inline constexpr uint32_t kValueBits = 42;  // in ns: 73 minutes
inline constexpr uint64_t kBucketMax = (uint64_t{1} << kValueBits) - 1;
inline constexpr uint32_t kBuckets = (kValueBits - kSubBits + 1) << kSubBits;

// The bucket of a value. Values above kBucketMax fall into the last bucket.
constexpr uint32_t bucket_of(uint64_t v) {
  if (v > kBucketMax) return kBuckets - 1;
  if (v < (uint64_t{1} << kSubBits)) return static_cast<uint32_t>(v);
  const uint32_t shift = 63u - static_cast<uint32_t>(__builtin_clzll(v)) - kSubBits;
  return (shift << kSubBits) + static_cast<uint32_t>(v >> shift);
}

// The least value of a bucket. Precondition: bucket < kBuckets.
constexpr uint64_t bucket_low(uint32_t bucket) {
  if (bucket < (2u << kSubBits)) return bucket;
  const uint32_t shift = (bucket >> kSubBits) - 1;
  return uint64_t{bucket - (shift << kSubBits)} << shift;
}

// The greatest value of a bucket (inclusive). Precondition: bucket < kBuckets.
constexpr uint64_t bucket_high(uint32_t bucket) {
  if (bucket < (2u << kSubBits)) return bucket;
  const uint32_t shift = (bucket >> kSubBits) - 1;
  return bucket_low(bucket) + (uint64_t{1} << shift) - 1;
}

static_assert(bucket_of(kBucketMax) == kBuckets - 1 && bucket_high(kBuckets - 1) == kBucketMax);

}  // namespace todd::stats
