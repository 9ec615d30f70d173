#include <algorithm>

#include "engine/schedule/schedule.h"

namespace todd::schedule {

Pacer::Pacer(const Schedule& schedule, int64_t lookahead_ns)
    : schedule_(schedule), lookahead_ns_(std::max<int64_t>(lookahead_ns, 0)), done_(schedule.total() == 0) {}

// Passes over the tickets that were due too long before the offset.
void Pacer::skip_stale(int64_t offset_ns) {
  int64_t limit = 0;
  if (__builtin_mul_overflow(schedule_.spacing_ns(), kLateLimitSpacings, &limit)) return;
  limit = std::max(limit, kLateLimitNs);
  if (offset_ns <= limit) return;
  const uint64_t first = std::min(schedule_.due_before(offset_ns - limit), schedule_.total());
  if (first <= next_) return;
  skipped_ += first - next_;
  next_ = first;
}

size_t Pacer::take(int64_t now_ns, int64_t start_ns, std::span<Ticket> out) {
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
  if (paced) skip_stale(now);
  const size_t most = paced ? std::min(out.size(), kBurst) : out.size();
  size_t n = 0;
  while (n < most && next_ < schedule_.total()) {
    const int64_t due = paced ? schedule_.due_ns(next_) : std::max<int64_t>(now, 0);
    if (due > until) break;
    out[n++] = Ticket{start_ns_ + due, schedule_.target(next_), schedule_.round(next_)};
    ++next_;
  }
  issued_ += n;
  done_ = next_ >= schedule_.total();
  return n;
}

int64_t Pacer::next_due_ns() const {
  if (done_) return INT64_MAX;
  if (!started_) return 0;
  int64_t due = 0;
  return __builtin_add_overflow(start_ns_, schedule_.due_ns(next_), &due) ? INT64_MAX : due;
}

}  // namespace todd::schedule
