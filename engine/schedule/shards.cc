#include "engine/schedule/shards.h"

#include <algorithm>
#include <cmath>

#include "engine/base/check.h"

namespace todd::schedule {

Shard shard_of(uint32_t edges, uint32_t index, uint32_t of) {
  TODD_CHECK(index < of);
  const auto first = [&](uint64_t i) { return static_cast<uint32_t>(i * edges / of); };
  return {.index = index, .of = of, .first_edge = first(index), .edges = first(index + 1) - first(index)};
}

namespace {
// Of all targets, per second; infinite if unpaced.
double rate_of(const Plan& plan) {
  if (plan.interval_ns > 0) return plan.targets * 1e9 * plan.burst / static_cast<double>(plan.interval_ns);
  return plan.rate > 0 ? plan.rate : HUGE_VAL;
}

double tickets_of(const Plan& plan) {
  return plan.count > 0 ? static_cast<double>(plan.targets) * static_cast<double>(plan.count) : HUGE_VAL;
}
}  // namespace

uint32_t lanes_worth(const Plan& plan, uint32_t lanes) {
  const double most = std::min({static_cast<double>(std::min(lanes, plan.targets)),
                                std::floor(tickets_of(plan) / static_cast<double>(kLaneTickets)),
                                std::ceil(rate_of(plan) / kLaneRate)});
  return static_cast<uint32_t>(std::max(most, 1.0));
}

bool is_fast(const Plan& plan) {
  return rate_of(plan) >= kLaneRate && tickets_of(plan) >= static_cast<double>(kLaneTickets);
}

double due_within(const Plan& plan, int64_t ns) {
  return std::min(tickets_of(plan), rate_of(plan) * static_cast<double>(ns) / 1e9 + plan.burst);
}

ShardPlan plan_of(const Plan& whole, const Shard& shard) {
  ShardPlan out{.plan = whole};
  out.plan.targets = shard.edges;
  if (shard.of == 1 || whole.targets == 0) return out;
  // What is drawn is drawn for each target by its number, which begins anew in each shard.
  out.plan.seed += shard.first_edge;
  Plan even = whole;
  even.ramp_ns = 0;  // each shard has a ramp of its own
  const Schedule all(even);
  if (!all.drawn()) out.phase_ns = all.due_ns(uint64_t{shard.index} * whole.burst);
  if (std::isfinite(whole.rate)) out.plan.rate = whole.rate * shard.edges / whole.targets;
  return out;
}

}  // namespace todd::schedule
