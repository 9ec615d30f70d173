#pragma once
// When which target is due: pure functions of time, no clock, no socket. Nothing is stored per target, but by
// the Pacer of a drawn shape.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/schedule/ramp.h"

namespace todd::schedule {

// How the tickets of one target lie in time.
enum class Shape : uint8_t {
  periodic,  // exactly one interval apart
  poisson,   // gaps drawn from the exponential distribution, of one interval on average (RFC 2330
             // section 11.1)
  uniform,   // one in each interval, at a point of it drawn evenly
};

inline constexpr uint32_t kMaxBurst = 1000;

// What a task asks for. The pace is the interval (per target), else the rate (over all targets); with neither
// the task is unpaced, as with rate "max".
struct Plan {
  uint32_t targets = 0;     // 0: nothing is ever due
  uint64_t count = 0;       // tickets per target; 0 = unlimited
  int64_t interval_ns = 0;  // between two tickets of one target; 0 = rate-driven
  double rate = 0;          // tickets per second over all targets; 0 = none; HUGE_VAL = as fast as served
  int64_t duration_ns = 0;  // nothing is due at or after this offset; 0 = none
  uint64_t seed = 0;        // of the order in which the targets are visited, and of what is drawn
  Shape shape = Shape::periodic;
  uint32_t burst = 1;   // tickets of a target that are due together, each time it is due; up to kMaxBurst
  int64_t ramp_ns = 0;  // for so long the pace rises evenly from nothing to what it is; not if unpaced
};

// Permission to send one probe.
struct Ticket {
  int64_t due_ns = 0;  // when it should be sent, on the caller's clock
  uint32_t target = 0;
  uint32_t round = 0;  // which of its target's tickets, from 0
};

// A target has its turn once per interval: `burst` tickets that are due together (of its `count`, so its last
// turn may have fewer). With a rate the interval is what makes the average of the task that rate:
// targets * burst / rate.
//
// periodic: turn n of a plan with N targets and interval P is at n*P/N: in each round every target comes
// once, in an order drawn from the seed (a Feistel permutation), the same in every round, so that each
// target's own turns are exactly P apart and no two targets are due together. Zero storage: ticket n is
// computed. poisson, uniform ("drawn"): each target's turns are drawn from the seed and the target's number
// alone, whatever the other targets do. Their order over the targets is not known beforehand: turn_ns() goes
// from one turn of a target to its next, and the Pacer keeps 16 bytes per target to find who is first. A
// target has at most 2^32 - 1 tickets. A ramp delays what is due (Ramp), in the same order. Immutable.
// [any-thread]
class Schedule {
 public:
  explicit Schedule(const Plan& plan);

  // Not of a drawn shape: offset of ticket n from the start; INT64_MAX if beyond what fits. 0 if unpaced.
  int64_t due_ns(uint64_t n) const;
  uint32_t target(uint64_t n) const;
  uint32_t round(uint64_t n) const;

  // Of a drawn shape: offset of turn k (from 0) of a target. last_ns: of its turn k - 1, 0 for the first; a
  // poisson turn is as far from it as the seed says, a uniform one does not ask. INT64_MAX if beyond what
  // fits.
  int64_t turn_ns(uint32_t target, uint32_t k, int64_t last_ns) const;

  // How many tickets there are; UINT64_MAX = unlimited. An unpaced plan is not limited by its duration here:
  // the Pacer ends it by the clock; nor is a poisson one, of which only the seed knows.
  uint64_t total() const { return total_; }

  // Not of a drawn shape: the number of tickets due before the offset (not limited by total()); UINT64_MAX if
  // unpaced.
  uint64_t due_before(int64_t offset_ns) const;

  // Not of a drawn shape: of the first so many tickets each turn has `burst`, of what follows fewer.
  uint64_t whole() const;

  bool paced() const { return spacing_ != 0; }
  bool drawn() const { return paced() && plan_.shape != Shape::periodic; }
  // Between two turns of the task, rounded down, on average if they are drawn; 0 if unpaced.
  int64_t spacing_ns() const;
  // When the last ticket is due at the latest; of a poisson plan but for one run in 10^9. INT64_MAX = never
  // or not known (unpaced).
  int64_t end_ns() const;
  const Plan& plan() const { return plan_; }

 private:
  struct Place {
    uint64_t turn;    // of the task
    uint32_t within;  // its tickets before
  };
  double mean_ns() const;  // between two turns of a target
  Place place(uint64_t n) const;
  int64_t even_turn_ns(uint64_t turn) const;  // without the ramp
  int64_t turn_due_ns(uint64_t turn) const;
  int64_t ramped(int64_t even_ns) const;
  uint64_t turns_before(int64_t offset_ns) const;
  uint64_t tickets_of(uint64_t turns) const;

  Plan plan_;
  Ramp ramp_;
  __int128 spacing_ = 0;  // ns between turns, in units of 1/unit_
  uint64_t unit_ = 1;
  uint64_t total_ = 0;
  uint64_t full_turns_ = UINT64_MAX;  // of the task, before those in which the count ends amid a burst
  uint32_t rest_ = 1;                 // tickets of one of these
  uint32_t half_bits_ = 1;            // of the Feistel network over 2^(2*half_bits_) >= targets
};

// Hands out the tickets of a schedule as their time comes. Bound to one start (the first call's). [one
// thread] Falling behind never leads to a flood: tickets that are late by more than max(100 ms, 10 times the
// spacing of the task's turns) are skipped and told; the rest comes at most kBurst per call. Of a drawn shape
// at most kSkips are passed over in one call, which takes about half a millisecond; it then gives no tickets
// and is due again at once.
//
// Allocates when made and never again: 16 bytes per target of a drawn shape, nothing else. take() costs the
// logarithm of the number of targets per ticket there.
class Pacer {
 public:
  static constexpr size_t kBurst = 64;
  static constexpr int64_t kLateLimitNs = 100'000'000;
  static constexpr int64_t kLateLimitSpacings = 10;
  static constexpr uint64_t kSkips = 10'000;

  // So many tickets of a target were passed over. Not once per ticket: in bounded time.
  using OnSkip = std::function<void(uint32_t target, uint64_t n)>;

  // lookahead_ns: how much before its time a ticket may be handed out (a timer's slack).
  explicit Pacer(const Schedule& schedule, int64_t lookahead_ns = 0);

  // Writes the tickets due by now_ns (+ lookahead) for a task that started at start_ns, oldest first, and
  // says how many. A clock that went back yields none until it has caught up. Unpaced: always due (due_ns =
  // now_ns), limited by `out`, the count and the duration alone.
  size_t take(int64_t now_ns, int64_t start_ns, std::span<Ticket> out, const OnSkip& skip = nullptr);

  // When the next ticket is due on the caller's clock: call take() again by then (in the past = at once;
  // unpaced: the start). 0 before the first take(), INT64_MAX = done.
  int64_t next_due_ns() const;

  // No ticket will come any more.
  bool done() const { return done_; }

  uint64_t issued() const { return issued_; }
  // Tickets never handed out because their time had passed too long ago.
  uint64_t skipped() const { return skipped_; }

 private:
  struct Turn {
    int64_t due_ns;
    uint32_t target, round;  // round: of the next ticket
  };
  static_assert(sizeof(Turn) == 16);
  static bool later(const Turn& a, const Turn& b) {
    return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.target > b.target;
  }

  int64_t late_limit_ns() const;
  void skip_stale(int64_t offset_ns, const OnSkip& skip);
  bool skip_turns(int64_t before_ns, const OnSkip& skip);
  size_t take_drawn(int64_t until_ns, std::span<Ticket> out);
  void next_ticket();

  Schedule schedule_;
  int64_t lookahead_ns_;
  int64_t start_ns_ = 0;
  bool started_ = false;
  bool done_ = false;
  uint64_t next_ = 0;
  uint64_t issued_ = 0;
  uint64_t skipped_ = 0;
  std::vector<Turn> turns_;  // of a drawn shape: the next of each target, a heap with the first in front
};

}  // namespace todd::schedule
