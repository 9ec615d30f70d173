#include <algorithm>
#include <utility>

#include "engine/schedule/schedule.h"

namespace todd::schedule {

Pacer::Pacer(const Schedule& schedule, int64_t lookahead_ns)
    : schedule_(schedule), lookahead_ns_(std::max<int64_t>(lookahead_ns, 0)), done_(schedule.total() == 0) {
  if (!schedule_.drawn()) return;
  turns_.reserve(schedule_.plan().targets);
  const int64_t duration = schedule_.plan().duration_ns;
  for (uint32_t target = 0; target < schedule_.plan().targets; ++target) {
    const int64_t due = schedule_.turn_ns(target, 0, 0);
    if (duration == 0 || due < duration) turns_.push_back({due, target, 0});
  }
  std::make_heap(turns_.begin(), turns_.end(), later);
  done_ = turns_.empty();
}

int64_t Pacer::late_limit_ns() const {
  int64_t limit = 0;
  if (__builtin_mul_overflow(schedule_.spacing_ns(), kLateLimitSpacings, &limit)) return INT64_MAX;
  return std::max(limit, kLateLimitNs);
}

// Passes over the tickets that were due too long before the offset. In whole rounds of the targets every one
// is passed over as often, so that the cost is bounded by the targets, however far behind we are.
void Pacer::skip_stale(int64_t offset_ns, const OnSkip& skip) {
  const int64_t limit = late_limit_ns();
  if (offset_ns <= limit) return;
  const uint64_t first = std::min(schedule_.due_before(offset_ns - limit), schedule_.total());
  if (first <= next_) return;
  skipped_ += first - next_;
  uint64_t from = std::exchange(next_, first);
  if (!skip) return;
  const uint32_t targets = schedule_.plan().targets, burst = schedule_.plan().burst;
  const uint64_t round = uint64_t{targets} * burst, whole = std::min(first, schedule_.whole());
  if (const uint64_t rounds = whole > from ? (whole - from) / round : 0; rounds > 0) {
    for (uint32_t target = 0; target < targets; ++target) skip(target, rounds * burst);
    from += rounds * round;
  }
  for (; from < first; ++from) skip(schedule_.target(from), 1);
}

// The target in front has had one ticket more: it goes where its next one belongs, or leaves.
void Pacer::next_ticket() {
  const Plan& plan = schedule_.plan();
  const uint32_t round = ++turns_.front().round;
  const bool over = round == UINT32_MAX || (plan.count > 0 && round >= plan.count);
  if (!over && round % plan.burst != 0) return;
  std::pop_heap(turns_.begin(), turns_.end(), later);
  Turn& turn = turns_.back();
  if (!over) turn.due_ns = schedule_.turn_ns(turn.target, round / plan.burst, turn.due_ns);
  if (over || turn.due_ns == INT64_MAX || (plan.duration_ns > 0 && turn.due_ns >= plan.duration_ns))
    turns_.pop_back();
  else
    std::push_heap(turns_.begin(), turns_.end(), later);
}

// False if there are more of them.
bool Pacer::skip_turns(int64_t before_ns, const OnSkip& skip) {
  for (uint64_t n = 0; !turns_.empty() && turns_.front().due_ns < before_ns; ++n) {
    if (n == kSkips) return false;
    ++skipped_;
    if (skip) skip(turns_.front().target, 1);
    next_ticket();
  }
  return true;
}

size_t Pacer::take_drawn(int64_t until_ns, std::span<Ticket> out) {
  size_t n = 0;
  for (; n < out.size() && !turns_.empty() && turns_.front().due_ns <= until_ns; ++n) {
    const Turn& turn = turns_.front();
    out[n] = Ticket{start_ns_ + turn.due_ns, turn.target, turn.round};
    next_ticket();
  }
  return n;
}

size_t Pacer::take(int64_t now_ns, int64_t start_ns, std::span<Ticket> out, const OnSkip& skip) {
  if (!started_) {
    started_ = true;
    start_ns_ = start_ns;
  }
  if (done_) return 0;
  int64_t now = 0;
  if (__builtin_sub_overflow(now_ns, start_ns_, &now)) now = now_ns < start_ns_ ? INT64_MIN : INT64_MAX;
  int64_t until = 0;  // hand out what is due by then
  if (__builtin_add_overflow(now, lookahead_ns_, &until)) until = INT64_MAX;
  const int64_t duration = schedule_.plan().duration_ns;
  const bool paced = schedule_.paced();
  if (!paced && duration > 0 && now >= duration) {
    done_ = true;
    return 0;
  }
  size_t n = 0;
  const size_t most = paced ? std::min(out.size(), kBurst) : out.size();
  if (schedule_.drawn()) {
    const int64_t limit = late_limit_ns();
    if (now <= limit || skip_turns(now - limit, skip)) n = take_drawn(until, out.first(most));
    done_ = turns_.empty();
  } else {
    if (paced) skip_stale(now, skip);
    while (n < most && next_ < schedule_.total()) {
      const int64_t due = paced ? schedule_.due_ns(next_) : std::max<int64_t>(now, 0);
      if (due > until) break;
      out[n++] = Ticket{start_ns_ + due, schedule_.target(next_), schedule_.round(next_)};
      ++next_;
    }
    done_ = next_ >= schedule_.total();
  }
  issued_ += n;
  return n;
}

int64_t Pacer::next_due_ns() const {
  if (done_) return INT64_MAX;
  if (!started_) return 0;
  const int64_t offset = schedule_.drawn() ? turns_.front().due_ns : schedule_.due_ns(next_);
  int64_t due = 0;
  return __builtin_add_overflow(start_ns_, offset, &due) ? INT64_MAX : due;
}

}  // namespace todd::schedule
