#pragma once
// How the edges of one task are divided among the lanes of a worker. The supervisor, which makes the memory
// of the results, and the worker, which runs the shards, come to the same division from the same numbers.

#include <cstdint>

#include "engine/schedule/schedule.h"

namespace todd::schedule {

// A contiguous part of a task's edges.
struct Shard {
  uint32_t index = 0, of = 1;
  uint32_t first_edge = 0, edges = 0;
};

// Shard `index` of `of`; sizes differ by one at most. Requires: index < of <= max(edges, 1).
Shard shard_of(uint32_t edges, uint32_t index, uint32_t of);

// How many lanes (at most `lanes`, at least 1) are worth their threads for the pace of a plan: as many as it
// takes at kLaneRate each, all of them for a plan as fast as served, and none that would have fewer than
// kLaneTickets to serve. plan.targets: of the whole task.
// is_fast: whether a plan is worth special means at all, by the same numbers.
inline constexpr double kLaneRate = 100'000;
inline constexpr uint64_t kLaneTickets = 2048;
uint32_t lanes_worth(const Plan& plan, uint32_t lanes);
bool is_fast(const Plan& plan);

// How many tickets fall into a time of that length at most; HUGE_VAL if nothing limits them.
double due_within(const Plan& plan, int64_t ns);

// The plan of one shard: its share of the targets and of the rate. With it comes how much later than the
// task's start the shard begins, so that the tickets of the shards fall between each other.
struct ShardPlan {
  Plan plan;
  int64_t phase_ns = 0;
};
ShardPlan plan_of(const Plan& whole, const Shard& shard);

}  // namespace todd::schedule
