#include "engine/lane/exchange.h"

#include "engine/base/check.h"

namespace todd::lane {
namespace {
// splitmix64's finaliser: enough to tell strays apart, not a secret-keeping hash.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
}  // namespace

ExchangeTable::ExchangeTable(uint32_t capacity, uint64_t secret, uint16_t first)
    : entries_(capacity), mask_(capacity - 1), secret_(secret), next_(first), oldest_(first) {
  TODD_CHECK(capacity > 0 && capacity <= kMax && (capacity & mask_) == 0);
}

bool ExchangeTable::full() const {
  const auto state = entries_[next_ & mask_].state;
  return state == Exchange::sending || state == Exchange::flying;
}

uint32_t ExchangeTable::free_ahead(uint32_t limit) const {
  uint32_t n = 0;
  while (n < limit && n <= mask_) {
    const auto state = entries_[(next_ + n) & mask_].state;
    if (state == Exchange::sending || state == Exchange::flying) break;
    ++n;
  }
  return n;
}

uint16_t ExchangeTable::begin(uint64_t user, uint32_t target, int64_t due_ns, uint64_t number) {
  TODD_CHECK(!full());
  // Ended entries between oldest_ and here are passed over so that oldest_ never trails by a whole table.
  if (next_ - oldest_ > mask_) oldest_ = next_ - mask_;
  const auto index = static_cast<uint16_t>(next_ & mask_);
  Exchange& e = entries_[index];
  e = Exchange{user, due_ns, 0, 0, 0, number, target, e.generation + 1, Exchange::sending};
  ++next_;
  ++live_;
  return index;
}

uint64_t ExchangeTable::cookie(uint16_t index) const {
  const uint64_t generation = entries_[index & mask_].generation;
  return (mix(secret_ ^ (generation << 16 | index)) & ~uint64_t{0xffff}) | index;
}

void ExchangeTable::finish(Exchange& entry, Exchange::State how) {
  if (entry.state == Exchange::sending || entry.state == Exchange::flying) --live_;
  entry.state = how;
}

int64_t ExchangeTable::next_deadline() {
  for (; oldest_ != next_; ++oldest_) {
    const Exchange& e = entries_[oldest_ & mask_];
    if (e.state == Exchange::flying) return e.deadline_ns;
    if (e.state == Exchange::sending) return INT64_MAX;
  }
  return INT64_MAX;
}

void ExchangeTable::forget_ended() {
  for (Exchange& e : entries_)
    if (e.state == Exchange::answered || e.state == Exchange::lost) e.state = Exchange::ended;
}

}  // namespace todd::lane
