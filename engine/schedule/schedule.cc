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

uint64_t scramble(uint64_t x) {  // the finaliser of splitmix64
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Evenly over (0, 1], of turn k of the target alone.
double drawn_fraction(const Plan& plan, uint32_t target, uint32_t k) {
  const uint64_t bits = scramble(scramble(plan.seed ^ scramble(target)) + k);
  return static_cast<double>((bits >> 11) + 1) * 0x1p-53;
}

int64_t plus(int64_t offset_ns, double ns) {
  const double sum = static_cast<double>(offset_ns) + ns;
  // Only what is far from the end is added as an integer, so that no precision is lost there.
  return sum >= 0x1p62 ? INT64_MAX : offset_ns + static_cast<int64_t>(ns);
}

}  // namespace

Schedule::Schedule(const Plan& plan) : plan_(plan), ramp_(plan.ramp_ns) {
  TODD_CHECK(plan.interval_ns >= 0 && plan.duration_ns >= 0 && plan.ramp_ns >= 0 && !(plan.rate < 0));
  TODD_CHECK(plan.burst > 0 && plan.burst <= kMaxBurst);
  if (plan.targets == 0) return;
  half_bits_ = std::max<uint32_t>(1, (std::bit_width(plan.targets - 1) + 1) / 2);
  if (plan.interval_ns > 0) {
    spacing_ = plan.interval_ns;
    unit_ = plan.targets;
  } else if (plan.rate > 0 && std::isfinite(plan.rate)) {
    const Spacing spacing = spacing_of(plan.rate);
    spacing_ = spacing.num * plan.burst;
    unit_ = spacing.unit;
  }
  if (drawn()) plan_.count = std::min<uint64_t>(plan.count, UINT32_MAX);
  total_ = UINT64_MAX;
  if (plan_.count > 0 && __builtin_mul_overflow(plan_.count, uint64_t{plan.targets}, &total_))
    total_ = UINT64_MAX;
  if (plan_.count > 0 && total_ != UINT64_MAX) {
    full_turns_ = plan_.count / plan.burst * plan.targets;
    rest_ = std::max<uint32_t>(1, static_cast<uint32_t>(plan_.count % plan.burst));
  }
  if (plan.duration_ns > 0 && !drawn()) total_ = std::min(total_, due_before(plan.duration_ns));
}

Schedule::Place Schedule::place(uint64_t n) const {
  const uint64_t turn = n / plan_.burst;
  if (turn < full_turns_) return {turn, static_cast<uint32_t>(n % plan_.burst)};
  const uint64_t behind = n - full_turns_ * plan_.burst;
  return {full_turns_ + behind / rest_, static_cast<uint32_t>(behind % rest_)};
}

int64_t Schedule::even_turn_ns(uint64_t turn) const {
  __int128 scaled = 0;
  if (__builtin_mul_overflow(spacing_, static_cast<__int128>(turn), &scaled)) return INT64_MAX;
  return static_cast<int64_t>(std::min<__int128>(scaled / unit_, INT64_MAX));
}

int64_t Schedule::ramped(int64_t even_ns) const {
  return even_ns == INT64_MAX ? even_ns : ramp_.due_ns(even_ns);
}

int64_t Schedule::turn_due_ns(uint64_t turn) const { return ramped(even_turn_ns(turn)); }

int64_t Schedule::due_ns(uint64_t n) const { return turn_due_ns(place(n).turn); }

uint64_t Schedule::turns_before(int64_t offset_ns) const {
  if (offset_ns <= 0) return 0;
  // floor(n * spacing / unit) < offset exactly when n < offset * unit / spacing.
  const __int128 n = (static_cast<__int128>(ramp_.even_ns(offset_ns)) * unit_ + spacing_ - 1) / spacing_;
  return static_cast<uint64_t>(std::min<__int128>(n, UINT64_MAX));
}

// Of the first so many turns of the task.
uint64_t Schedule::tickets_of(uint64_t turns) const {
  const auto full = static_cast<__int128>(std::min(turns, full_turns_)) * plan_.burst;
  const auto behind = static_cast<__int128>(turns - std::min(turns, full_turns_)) * rest_;
  return static_cast<uint64_t>(std::min<__int128>(full + behind, UINT64_MAX));
}

uint64_t Schedule::whole() const { return tickets_of(full_turns_); }

uint64_t Schedule::due_before(int64_t offset_ns) const {
  return spacing_ == 0 ? UINT64_MAX : tickets_of(turns_before(offset_ns));
}

// Whole ns are divided as integers: then the mean of an interval is that interval, however many targets
// share the task, and a target's turns do not depend on the others in the last digit either.
double Schedule::mean_ns() const {
  __int128 all = 0;
  if (__builtin_mul_overflow(spacing_, static_cast<__int128>(plan_.targets), &all)) return 0x1p63;
  const auto unit = static_cast<__int128>(unit_);
  return static_cast<double>(all / unit) + static_cast<double>(all % unit) / static_cast<double>(unit_);
}

int64_t Schedule::turn_ns(uint32_t target, uint32_t k, int64_t last_ns) const {
  const double fraction = drawn_fraction(plan_, target, k);
  if (plan_.shape == Shape::poisson) {
    if (last_ns == INT64_MAX) return last_ns;
    return ramped(plus(ramp_.even_ns(last_ns), -std::log(fraction) * mean_ns()));
  }
  const int64_t from = even_turn_ns(uint64_t{k} * plan_.targets);
  const int64_t to = even_turn_ns((uint64_t{k} + 1) * plan_.targets);
  return to == INT64_MAX ? to : ramped(plus(from, (1 - fraction) * static_cast<double>(to - from)));
}

int64_t Schedule::spacing_ns() const {
  return static_cast<int64_t>(std::min<__int128>(spacing_ / unit_, INT64_MAX));
}

int64_t Schedule::end_ns() const {
  const int64_t limit = plan_.duration_ns > 0 ? plan_.duration_ns : INT64_MAX;
  if (!paced() || plan_.count == 0) return limit;
  const uint64_t turns = (plan_.count - 1) / plan_.burst + 1;  // of a target
  __int128 scaled = 0;
  if (__builtin_mul_overflow(static_cast<__int128>(turns) * plan_.targets, spacing_, &scaled)) return limit;
  const double mean = static_cast<double>(scaled) / static_cast<double>(unit_);  // for all of them
  double end = mean;
  if (plan_.shape == Shape::poisson) {
    // The sum of k gaps of mean 1 exceeds k + sqrt(2*k*x) + x with a probability below exp(-x) (the tail of
    // the gamma distribution, after Chernoff); any of N targets below N*exp(-x).
    const double k = static_cast<double>(turns), x = std::log(static_cast<double>(plan_.targets)) + 20.7;
    end = mean / k * (k + std::sqrt(2 * k * x) + x);
  }
  return end < static_cast<double>(limit) ? std::min(ramped(static_cast<int64_t>(end)), limit) : limit;
}

uint32_t Schedule::round(uint64_t n) const {
  TODD_DCHECK(plan_.targets > 0);
  const Place at = place(n);
  return static_cast<uint32_t>(at.turn / plan_.targets * plan_.burst + at.within);
}

// A Feistel network permutes a power of four; walking on until the value is a target permutes the targets
// alone (fewer than four steps on average, as the power is less than four times the number of targets).
uint32_t Schedule::target(uint64_t n) const {
  TODD_DCHECK(plan_.targets > 0);
  const uint32_t mask = (uint32_t{1} << half_bits_) - 1;
  uint64_t x = place(n).turn % plan_.targets;
  do {
    uint32_t left = static_cast<uint32_t>(x >> half_bits_);
    uint32_t right = static_cast<uint32_t>(x) & mask;
    for (uint64_t step = 0; step < 4; ++step) {
      const auto noise = static_cast<uint32_t>(scramble(plan_.seed ^ (step << 56) ^ right) >> 32);
      const uint32_t mixed = left ^ (noise & mask);
      left = right;
      right = mixed;
    }
    x = (uint64_t{left} << half_bits_) | right;
  } while (x >= plan_.targets);
  return static_cast<uint32_t>(x);
}

}  // namespace todd::schedule
