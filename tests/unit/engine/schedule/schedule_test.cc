#include "engine/schedule/schedule.h"

#include <cmath>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace todd::schedule {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;

TEST(Schedule, EveryTargetOncePerRound) {
  for (const uint32_t targets : {1u, 2u, 3u, 5u, 16u, 17u, 100u, 1000u, 4097u}) {
    for (const uint64_t seed : {0u, 1u, 12345u}) {
      const Schedule schedule({.targets = targets, .interval_ns = kSecond, .seed = seed});
      for (uint64_t round = 0; round < 3; ++round) {
        std::set<uint32_t> seen;
        for (uint64_t i = 0; i < targets; ++i) {
          const uint64_t n = round * targets + i;
          ASSERT_EQ(schedule.round(n), round);
          ASSERT_LT(schedule.target(n), targets);
          seen.insert(schedule.target(n));
        }
        ASSERT_EQ(seen.size(), targets);
      }
    }
  }
}

TEST(Schedule, TheSeedDecidesTheOrder) {
  const auto order = [](uint64_t seed) {
    const Schedule schedule({.targets = 100, .interval_ns = kSecond, .seed = seed});
    std::vector<uint32_t> targets;
    for (uint64_t n = 0; n < 100; ++n) targets.push_back(schedule.target(n));
    return targets;
  };
  EXPECT_EQ(order(7), order(7));
  EXPECT_NE(order(7), order(8));
}

TEST(Schedule, SpacesTicketsEvenly) {
  const Schedule schedule({.targets = 7, .count = 50, .interval_ns = kSecond + 3, .seed = 5});
  EXPECT_EQ(schedule.total(), 350u);
  std::vector<int64_t> last(7, -1);
  for (uint64_t n = 0; n < schedule.total(); ++n) {
    EXPECT_EQ(schedule.due_ns(n), static_cast<int64_t>(n) * (kSecond + 3) / 7);
    const uint32_t target = schedule.target(n);
    if (last[target] >= 0) {
      EXPECT_NEAR(static_cast<double>(schedule.due_ns(n) - last[target]), kSecond + 3, 1);
    }
    last[target] = schedule.due_ns(n);
  }
}

TEST(Schedule, ARateIsOfTheTask) {
  const Schedule schedule({.targets = 3, .rate = 3, .duration_ns = 10 * kSecond});
  EXPECT_EQ(schedule.due_ns(3), kSecond);
  EXPECT_EQ(schedule.due_ns(3'000'000'000), kSecond * 1'000'000'000);  // no drift
  EXPECT_EQ(schedule.total(), 30u);
  const Schedule slow({.targets = 1, .rate = 1.0 / 60});
  EXPECT_EQ(slow.due_ns(1440), 86400 * kSecond);
}

TEST(Schedule, TheFirstOfCountAndDurationEnds) {
  const Plan plan{.targets = 2, .count = 5, .interval_ns = kSecond};
  EXPECT_EQ(Schedule(plan).total(), 10u);
  Plan shorter = plan;
  shorter.duration_ns = 2 * kSecond;
  EXPECT_EQ(Schedule(shorter).total(), 4u);  // 0, 0.5, 1, 1.5 s
  shorter.duration_ns = 2 * kSecond + 1;
  EXPECT_EQ(Schedule(shorter).total(), 5u);
  Plan longer = plan;
  longer.duration_ns = 60 * kSecond;
  EXPECT_EQ(Schedule(longer).total(), 10u);
  EXPECT_EQ(Schedule({.targets = 2, .interval_ns = 1}).total(), UINT64_MAX);
  EXPECT_EQ(Schedule(Plan{}).total(), 0u);
}

TEST(Schedule, DueBeforeInvertsDue) {
  for (const Plan& plan : {Plan{.targets = 7, .interval_ns = 1003}, Plan{.targets = 2, .rate = 777'777.7},
                           Plan{.targets = 3, .rate = 5e9}}) {
    const Schedule schedule(plan);
    for (int64_t t = 0; t < 3000; ++t) {
      const uint64_t n = schedule.due_before(t);
      ASSERT_GE(schedule.due_ns(n), t);
      if (n > 0) {
        ASSERT_LT(schedule.due_ns(n - 1), t);
      }
    }
  }
}

TEST(Schedule, DoesNotOverflow) {
  const Schedule schedule({.targets = UINT32_MAX, .count = UINT64_MAX, .interval_ns = INT64_MAX});
  EXPECT_EQ(schedule.total(), UINT64_MAX);
  EXPECT_EQ(schedule.due_ns(UINT64_MAX), INT64_MAX);
  EXPECT_LT(schedule.target(UINT64_MAX), UINT32_MAX);
  const Schedule rare({.targets = 1, .rate = 1e-300});
  EXPECT_EQ(rare.due_ns(UINT64_MAX), INT64_MAX);
  EXPECT_GT(rare.due_ns(1), 0);
}

TEST(Schedule, MaxIsUnpaced) {
  const Schedule schedule({.targets = 2, .count = 3, .rate = HUGE_VAL});
  EXPECT_FALSE(schedule.paced());
  EXPECT_EQ(schedule.due_ns(5), 0);
  EXPECT_EQ(schedule.total(), 6u);
}

}  // namespace
}  // namespace todd::schedule
