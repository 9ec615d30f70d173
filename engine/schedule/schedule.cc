#include "engine/schedule/schedule.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "engine/base/check.h"

namespace todd::schedule {
namespace {

constexpr uint64_t kNsPerSecond = 1'000'000'000;

// A spacing of num/unit ns.
struct Spacing {
  __int128 num;
  uint64_t unit;
};

// Rates written per second, minute or hour are whole numbers there and so have an exact spacing. For any
// other 2^-32 ns are kept.
Spacing spacing_of(double rate) {
  for (const uint64_t seconds : {1, 60, 3600}) {
    const double tickets = std::round(rate * static_cast<double>(seconds));
    if (tickets < 1 || tickets > 0x1p53) continue;
    if (std::abs(tickets - rate * static_cast<double>(seconds)) > tickets * 1e-14) continue;
    return {static_cast<__int128>(seconds * kNsPerSecond), static_cast<uint64_t>(tickets)};
  }
  constexpr uint64_t kFraction = uint64_t{1} << 32;
  const long double spacing = static_cast<long double>(kNsPerSecond) / rate * kFraction;
  // At most what leaves room to multiply.
  return {static_cast<__int128>(std::clamp<long double>(std::round(spacing), 1, 0x1p95L)), kFraction};
}

uint32_t scramble(uint64_t x) {  // the finaliser of splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<uint32_t>(x >> 32);
}

}  // namespace

Schedule::Schedule(const Plan& plan) : plan_(plan) {
  TODD_CHECK(plan.interval_ns >= 0 && plan.duration_ns >= 0 && !(plan.rate < 0));
  if (plan.targets == 0) return;
  half_bits_ = std::max<uint32_t>(1, (std::bit_width(plan.targets - 1) + 1) / 2);
  if (plan.interval_ns > 0) {
    spacing_ = plan.interval_ns;
    unit_ = plan.targets;
  } else if (plan.rate > 0 && std::isfinite(plan.rate)) {
    const Spacing spacing = spacing_of(plan.rate);
    spacing_ = spacing.num;
    unit_ = spacing.unit;
  }
  total_ = UINT64_MAX;
  if (plan.count > 0 && __builtin_mul_overflow(plan.count, uint64_t{plan.targets}, &total_))
    total_ = UINT64_MAX;
  if (plan.duration_ns > 0) total_ = std::min(total_, due_before(plan.duration_ns));
}

int64_t Schedule::due_ns(uint64_t n) const {
  __int128 scaled = 0;
  if (__builtin_mul_overflow(spacing_, static_cast<__int128>(n), &scaled)) return INT64_MAX;
  return static_cast<int64_t>(std::min<__int128>(scaled / unit_, INT64_MAX));
}

uint64_t Schedule::due_before(int64_t offset_ns) const {
  if (spacing_ == 0) return UINT64_MAX;
  if (offset_ns <= 0) return 0;
  // floor(n * spacing / unit) < offset exactly when n < offset * unit / spacing.
  const __int128 n = (static_cast<__int128>(offset_ns) * unit_ + spacing_ - 1) / spacing_;
  return static_cast<uint64_t>(std::min<__int128>(n, UINT64_MAX));
}

int64_t Schedule::spacing_ns() const {
  return static_cast<int64_t>(std::min<__int128>(spacing_ / unit_, INT64_MAX));
}

uint32_t Schedule::round(uint64_t n) const {
  TODD_DCHECK(plan_.targets > 0);
  return static_cast<uint32_t>(n / plan_.targets);
}

// A Feistel network permutes a power of four; walking on until the value is a target permutes the targets
// alone (fewer than four steps on average, as the power is less than four times the number of targets).
uint32_t Schedule::target(uint64_t n) const {
  TODD_DCHECK(plan_.targets > 0);
  const uint32_t mask = (uint32_t{1} << half_bits_) - 1;
  uint64_t x = n % plan_.targets;
  do {
    uint32_t left = static_cast<uint32_t>(x >> half_bits_);
    uint32_t right = static_cast<uint32_t>(x) & mask;
    for (uint64_t step = 0; step < 4; ++step) {
      const uint32_t mixed = left ^ (scramble(plan_.seed ^ (step << 56) ^ right) & mask);
      left = right;
      right = mixed;
    }
    x = (uint64_t{left} << half_bits_) | right;
  } while (x >= plan_.targets);
  return static_cast<uint32_t>(x);
}

}  // namespace todd::schedule
