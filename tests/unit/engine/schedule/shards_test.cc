#include "engine/schedule/shards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace todd::schedule {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Shards, CoverEveryEdgeOnce) {
  for (const uint32_t edges : {1u, 2u, 7u, 4097u, 1'048'574u}) {
    for (const uint32_t of : {1u, 2u, 3u, 16u}) {
      if (of > edges) continue;
      uint32_t next = 0;
      for (uint32_t i = 0; i < of; ++i) {
        const Shard shard = shard_of(edges, i, of);
        EXPECT_EQ(shard.first_edge, next);
        EXPECT_GE(shard.edges, edges / of);
        EXPECT_LE(shard.edges, edges / of + 1);
        next += shard.edges;
      }
      EXPECT_EQ(next, edges);
    }
  }
}

// When the shards of the plan have something due, together.
std::vector<int64_t> dues(const Plan& plan, uint32_t of, uint64_t tickets) {
  std::vector<int64_t> out;
  for (uint32_t i = 0; i < of; ++i) {
    const auto [share, phase_ns] = plan_of(plan, shard_of(plan.targets, i, of));
    const Schedule schedule(share);
    for (uint64_t n = 0; n < tickets / of; ++n) out.push_back(phase_ns + schedule.due_ns(n));
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Shards, ShareThePaceOfTheTask) {
  for (const Plan& plan :
       {Plan{.targets = 1000, .interval_ns = kSecond}, Plan{.targets = 1000, .rate = 1000}}) {
    const auto due = dues(plan, 4, 2000);
    for (size_t n = 0; n < due.size(); ++n) EXPECT_EQ(due[n], static_cast<int64_t>(n) * kSecond / 1000) << n;
  }
}

// Each rises by itself; how they lie to each other does not change, or they would for as long as the test
// goes on.
TEST(Shards, ARampIsEveryShards) {
  const Plan whole{.targets = 1000, .rate = 200'000};
  Plan rising = whole;
  rising.ramp_ns = 10 * kSecond;
  for (uint32_t i = 0; i < 4; ++i) {
    const auto [plan, phase_ns] = plan_of(rising, shard_of(1000, i, 4));
    EXPECT_EQ(plan.ramp_ns, rising.ramp_ns);
    EXPECT_EQ(phase_ns, plan_of(whole, shard_of(1000, i, 4)).phase_ns) << i;
  }
}

TEST(Shards, AsFastAsServedStaysSo) {
  const auto [plan, phase_ns] = plan_of({.targets = 10, .rate = HUGE_VAL}, shard_of(10, 1, 2));
  EXPECT_TRUE(std::isinf(plan.rate));
  EXPECT_EQ(plan.targets, 5u);
  EXPECT_EQ(phase_ns, 0);
}

TEST(Shards, LanesAreUsedWhereThePaceIsWorthThem) {
  constexpr uint32_t kLanes = 4;
  const auto worth = [](Plan plan) { return lanes_worth(plan, kLanes); };
  EXPECT_EQ(worth({.targets = 1'000'000, .count = 1}), 4u);
  EXPECT_EQ(worth({.targets = 1'000'000, .rate = HUGE_VAL}), 4u);
  EXPECT_EQ(worth({.targets = 1'000'000, .rate = 150'000}), 2u);
  EXPECT_EQ(worth({.targets = 1'000, .interval_ns = kSecond}), 1u);
  EXPECT_EQ(worth({.targets = 200'000, .interval_ns = kSecond}), 2u);
  EXPECT_EQ(worth({.targets = 3, .rate = HUGE_VAL}), 3u) << "one target is never divided";
  EXPECT_EQ(worth({.targets = 254, .count = 3}), 1u) << "over before a thread has begun";
  EXPECT_EQ(worth({.targets = 3 * kLaneTickets, .count = 1}), 3u);
  EXPECT_EQ(worth({}), 1u);
}

}  // namespace
}  // namespace todd::schedule
