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

uint32_t lanes_worth(const Plan& plan, uint32_t lanes) {
  double most = std::min(lanes, plan.targets);
  if (plan.count > 0)
    most = std::min(most, std::floor(static_cast<double>(plan.targets) * static_cast<double>(plan.count) /
                                     static_cast<double>(kLaneTickets)));
  const double rate = plan.interval_ns > 0
                          ? plan.targets * 1e9 * plan.burst / static_cast<double>(plan.interval_ns)
                          : plan.rate;
  const bool unpaced = plan.interval_ns == 0 && (rate == 0 || std::isinf(rate));
  if (!unpaced) most = std::min(most, std::ceil(rate / kLaneRate));
  return static_cast<uint32_t>(std::max(most, 1.0));
}

ShardPlan plan_of(const Plan& whole, const Shard& shard) {
  ShardPlan out{.plan = whole};
  out.plan.targets = shard.edges;
  if (shard.of == 1 || whole.targets == 0) return out;
  // What is drawn is drawn for each target by its number, which begins anew in each shard.
  out.plan.seed += shard.first_edge;
  const Schedule all(whole);
  if (!all.drawn()) out.phase_ns = all.due_ns(uint64_t{shard.index} * whole.burst);
  if (std::isfinite(whole.rate)) out.plan.rate = whole.rate * shard.edges / whole.targets;
  return out;
}

}  // namespace todd::schedule
