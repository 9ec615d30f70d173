#include "plugins/ping/loss.h"

#include <algorithm>
#include <new>

namespace todd::ping {

namespace {

// Timeouts are told in batches, up to some 20 ms after they are due.
constexpr int64_t kSettleNs = 100'000'000;
// 24 bytes each, touched when needed. More losses than this within a timeout are taken too early, which may
// cut a burst in two.
constexpr size_t kMaxWaiting = 65536;
constexpr size_t kMaxBatch = 4096;  // losses between two calls of due(), as a rule

bool later(const LossPattern::Loss& a, const LossPattern::Loss& b) { return a.tx_ns > b.tx_ns; }

}  // namespace

LossPattern::LossPattern(uint32_t n_target, int64_t timeout_ns)
    : timeout_ns_(timeout_ns),
      records_(static_cast<Record*>(std::calloc(n_target + size_t{1}, sizeof(Record)))) {
  if (records_ == nullptr) throw std::bad_alloc();
  waiting_.reserve(kMaxWaiting + kMaxBatch);
}

void LossPattern::lost(const Loss& loss) {
  waiting_.push_back(loss);
  std::push_heap(waiting_.begin(), waiting_.end(), later);
}

std::optional<LossPattern::Loss> LossPattern::due(int64_t now_ns, bool end) {
  if (waiting_.empty()) return std::nullopt;
  const Loss earliest = waiting_.front();
  if (!end && waiting_.size() <= kMaxWaiting && earliest.tx_ns > now_ns - timeout_ns_ - kSettleNs)
    return std::nullopt;
  std::pop_heap(waiting_.begin(), waiting_.end(), later);
  waiting_.pop_back();
  return earliest;
}

LossPattern::Change LossPattern::take(const Loss& loss) {
  Record& r = records_[loss.target];
  Change change;
  if (r.open && loss.round == r.last + 1) {
    r.last = loss.round;
  } else {
    change.new_burst = true;
    r.open = true;
    r.first = r.last = loss.round;
    r.first_tx_ns = loss.tx_ns;
  }
  if (const uint32_t length = r.last - r.first + 1; length > r.longest) change.longest = r.longest = length;
  const bool ends = r.next != 0 && r.next == r.last + 1;
  change.outage_ns = note_outage(r, ends ? r.next_tx_ns : loss.tx_ns);
  if (ends) {
    r.open = false;
    r.next = 0;
  }
  return change;
}

LossPattern::Change LossPattern::gap(uint32_t target, uint32_t first_missing, uint32_t round, int64_t tx_ns) {
  Record& r = records_[target];
  if (r.open && round == r.last + 1) return close(r, tx_ns);
  // Its losses are not known yet. Of such gaps the widest is kept, as the longest outage is what is looked
  // for.
  const bool stale = tx_ns - r.next_tx_ns > timeout_ns_ + 2 * kSettleNs;
  if (r.next == 0 || stale || round - first_missing > r.next - r.missing) {
    r.missing = first_missing;
    r.next = round;
    r.next_tx_ns = tx_ns;
  }
  return {};
}

LossPattern::Change LossPattern::overtaken(uint32_t target, uint32_t round, int64_t tx_ns) {
  Record& r = records_[target];
  if (r.next != 0 && round == r.next - 1) {
    r.next = round;
    r.next_tx_ns = tx_ns;
  }
  if (r.next != 0 && round == r.missing) ++r.missing;
  if (r.missing >= r.next) r.next = 0;  // nothing is missing any more
  return r.open && round == r.last + 1 ? close(r, tx_ns) : Change{};
}

LossPattern::Change LossPattern::close(Record& r, int64_t tx_ns) {
  r.open = false;
  return {.outage_ns = note_outage(r, tx_ns)};
}

// The outage of the latest burst lasts until a probe that left at tx_ns, or longer.
int64_t LossPattern::note_outage(Record& r, int64_t tx_ns) {
  const int64_t outage_ns = tx_ns - r.first_tx_ns;
  if (outage_ns <= r.outage_ns) return 0;
  return r.outage_ns = outage_ns;
}

}  // namespace todd::ping
