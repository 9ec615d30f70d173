#pragma once
// When which target is due: pure functions of time, no clock, no socket, no storage per target.

#include <cstddef>
#include <cstdint>
#include <span>

namespace todd::schedule {

// What a task asks for. The pace is the interval (per target), else the rate (over all targets); with neither
// the task is unpaced, as with rate "max".
struct Plan {
  uint32_t targets = 0;     // 0: nothing is ever due
  uint64_t count = 0;       // tickets per target; 0 = unlimited
  int64_t interval_ns = 0;  // between two tickets of one target; 0 = rate-driven
  double rate = 0;          // tickets per second over all targets; 0 = none; HUGE_VAL = as fast as served
  int64_t duration_ns = 0;  // nothing is due at or after this offset; 0 = none
  uint64_t seed = 0;        // of the order in which the targets are visited
};

// Permission to send one probe.
struct Ticket {
  int64_t due_ns = 0;  // when it should be sent, on the caller's clock
  uint32_t target = 0;
  uint32_t round = 0;  // which of its target's tickets, from 0
};

// Ticket n of a plan with N targets and interval P is due at n*P/N: in each round every target comes once, in
// an order drawn from the seed (a Feistel permutation), the same in every round, so that each target's own
// tickets are exactly P apart and no two targets are due together. Immutable. [any-thread]
class Schedule {
 public:
  explicit Schedule(const Plan& plan);

  // Offset of ticket n from the start; INT64_MAX if beyond what fits. 0 if unpaced.
  int64_t due_ns(uint64_t n) const;
  uint32_t target(uint64_t n) const;
  uint32_t round(uint64_t n) const;

  // How many tickets there are; UINT64_MAX = unlimited. An unpaced plan is not limited by its duration here:
  // the Pacer ends it by the clock.
  uint64_t total() const { return total_; }

  // The number of tickets due before the offset (not limited by total()); UINT64_MAX if unpaced.
  uint64_t due_before(int64_t offset_ns) const;

  bool paced() const { return spacing_ != 0; }
  // Between two tickets of the task, rounded down; 0 if unpaced.
  int64_t spacing_ns() const;
  const Plan& plan() const { return plan_; }

 private:
  Plan plan_;
  __int128 spacing_ = 0;  // ns between tickets, in units of 1/unit_
  uint64_t unit_ = 1;
  uint64_t total_ = 0;
  uint32_t half_bits_ = 1;  // of the Feistel network over 2^(2*half_bits_) >= targets
};

// Hands out the tickets of a schedule as their time comes. Bound to one start (the first call's). [one
// thread] Falling behind never leads to a flood: tickets that are late by more than max(100 ms, 10 times the
// spacing of the task's tickets) are skipped and counted; the rest comes at most kBurst per call.
class Pacer {
 public:
  static constexpr size_t kBurst = 64;
  static constexpr int64_t kLateLimitNs = 100'000'000;
  static constexpr int64_t kLateLimitSpacings = 10;

  // lookahead_ns: how much before its time a ticket may be handed out (a timer's slack).
  explicit Pacer(const Schedule& schedule, int64_t lookahead_ns = 0);

  // Writes the tickets due by now_ns (+ lookahead) for a task that started at start_ns, oldest first, and
  // says how many. A clock that went back yields none until it has caught up. Unpaced: always due (due_ns =
  // now_ns), limited by `out`, the count and the duration alone.
  size_t take(int64_t now_ns, int64_t start_ns, std::span<Ticket> out);

  // When the next ticket is due on the caller's clock: call take() again by then (in the past = at once;
  // unpaced: the start). 0 before the first take(), INT64_MAX = done.
  int64_t next_due_ns() const;

  // No ticket will come any more.
  bool done() const { return done_; }

  uint64_t issued() const { return issued_; }
  // Tickets never handed out because their time had passed too long ago.
  uint64_t skipped() const { return skipped_; }

 private:
  void skip_stale(int64_t offset_ns);

  Schedule schedule_;
  int64_t lookahead_ns_;
  int64_t start_ns_ = 0;
  bool started_ = false;
  bool done_ = false;
  uint64_t next_ = 0;
  uint64_t issued_ = 0;
  uint64_t skipped_ = 0;
};

}  // namespace todd::schedule
