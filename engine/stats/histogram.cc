#include "engine/stats/histogram.h"

#include <algorithm>
#include <cmath>

#include "engine/stats/buckets.h"

namespace todd::stats {

void Histogram::add(uint64_t v, uint64_t n) {
  if (n == 0) return;
  count += n;
  sum += v * n;
  min = std::min(min, v);
  max = std::max(max, v);
  sum_squares += static_cast<unsigned __int128>(v) * v * n;
  const uint32_t bucket = bucket_of(v);
  auto at = std::lower_bound(buckets.begin(), buckets.end(), bucket,
                             [](const auto& entry, uint32_t b) { return entry.first < b; });
  if (at != buckets.end() && at->first == bucket) {
    at->second += n;
  } else {
    buckets.insert(at, {bucket, n});
  }
}

void Histogram::merge(const Histogram& other) {
  count += other.count;
  sum += other.sum;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  sum_squares += other.sum_squares;
  std::vector<std::pair<uint32_t, uint64_t>> merged;
  merged.reserve(buckets.size() + other.buckets.size());
  auto a = buckets.cbegin();
  auto b = other.buckets.cbegin();
  while (a != buckets.cend() && b != other.buckets.cend()) {
    if (a->first == b->first) {
      merged.emplace_back(a->first, a->second + b->second);
      ++a, ++b;
    } else {
      merged.push_back(a->first < b->first ? *a++ : *b++);
    }
  }
  merged.insert(merged.end(), a, buckets.cend());
  merged.insert(merged.end(), b, other.buckets.cend());
  buckets = std::move(merged);
}

double Histogram::mean() const {
  return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
}

double Histogram::stddev() const {
  if (count == 0) return 0;
  // n*sum(x^2) - sum(x)^2 cancels badly in floating point, so the subtraction is done in integers where it
  // fits.
  const auto total = static_cast<unsigned __int128>(sum);
  unsigned __int128 scaled = 0;
  if (!__builtin_mul_overflow(sum_squares, static_cast<unsigned __int128>(count), &scaled) &&
      scaled >= total * total) {
    return static_cast<double>(std::sqrt(static_cast<long double>(scaled - total * total)) / count);
  }
  const long double average = static_cast<long double>(sum) / count;
  const long double variance = static_cast<long double>(sum_squares) / count - average * average;
  return variance > 0 ? static_cast<double>(std::sqrt(variance)) : 0;
}

double Histogram::percentile(double p) const {
  if (count == 0) return 0;
  if (!(p > 0)) return static_cast<double>(min);
  if (p >= 100) return static_cast<double>(max);
  const auto rank = static_cast<uint64_t>(std::ceil(static_cast<long double>(p) / 100 * count));
  uint64_t below = 0;
  for (const auto& [bucket, n] : buckets) {
    if (rank > below + n) {
      below += n;
      continue;
    }
    const double low = static_cast<double>(bucket_low(bucket));
    // The last bucket also holds what is too large for any.
    const double high = static_cast<double>(bucket == kBuckets - 1 ? std::max(max, bucket_high(bucket))
                                                                   : bucket_high(bucket));
    const double within = (static_cast<double>(rank - below) - 0.5) / static_cast<double>(n);
    return std::clamp(low + (high - low) * within, static_cast<double>(min), static_cast<double>(max));
  }
  return static_cast<double>(max);  // counts from elsewhere that do not add up
}

}  // namespace todd::stats
