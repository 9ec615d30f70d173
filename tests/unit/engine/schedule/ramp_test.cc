#include "engine/schedule/ramp.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/schedule/schedule.h"

namespace todd::schedule {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(RampTest, AsMuchIsDueAsTheAreaBelowTheRate) {
  const Ramp ramp(10 * kSecond);
  EXPECT_EQ(ramp.due_ns(0), 0);
  // At t of L the rate is t/L: t*t/(2L) of the even schedule are over.
  for (const int64_t t : {1, 2, 5, 9}) EXPECT_NEAR(ramp.due_ns(t * t * kSecond / 20), t * kSecond, 1) << t;
  EXPECT_EQ(ramp.due_ns(5 * kSecond), 10 * kSecond);
  EXPECT_EQ(ramp.due_ns(60 * kSecond), 65 * kSecond);
  EXPECT_EQ(Ramp().due_ns(7), 7);
  EXPECT_EQ(Ramp().even_ns(7), 7);
  EXPECT_EQ(ramp.due_ns(INT64_MAX - 1), INT64_MAX);
}

TEST(RampTest, TheWayBackIsExact) {
  for (const int64_t length :
       {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{1001}, kSecond + 1, 86'400 * kSecond}) {
    const Ramp ramp(length);
    for (int64_t n = 0; n < 2000; ++n) {
      for (const int64_t even : {n, length / 2 - 1000 + n, length / 2000 * n}) {
        if (even < 0) continue;
        const int64_t due = ramp.due_ns(even);
        ASSERT_GE(ramp.due_ns(even + 1), due) << length << ' ' << even;
        const int64_t back = ramp.even_ns(due);
        ASSERT_EQ(ramp.due_ns(back), due) << length << ' ' << even;
        if (back > 0) {
          ASSERT_LT(ramp.due_ns(back - 1), due) << length << ' ' << even;
        }
      }
    }
  }
}

TEST(RampTest, APlanKnowsHowManyTicketsItHas) {
  const Schedule schedule({.targets = 7,
                           .interval_ns = kSecond / 10,
                           .duration_ns = 6 * kSecond,
                           .burst = 3,
                           .ramp_ns = 4 * kSecond});
  // 70 turns a second: 2 seconds' worth within the ramp, 2 more behind it.
  EXPECT_EQ(schedule.total(), 4u * 70 * 3);
  for (uint64_t n = 1; n < schedule.total(); ++n) {
    ASSERT_GE(schedule.due_ns(n), schedule.due_ns(n - 1));
    const uint64_t before = schedule.due_before(schedule.due_ns(n));
    ASSERT_LE(before, n);
    if (before < n) {
      ASSERT_EQ(schedule.due_ns(before), schedule.due_ns(n));
    }
  }
  EXPECT_LT(schedule.due_ns(schedule.total() - 1), 6 * kSecond);
  EXPECT_GE(schedule.due_ns(schedule.total()), 6 * kSecond);
}

TEST(RampTest, ThePlanIsOverLaterByHalfOfIt) {
  const Plan plan{.targets = 1, .count = 100, .interval_ns = kSecond};
  Plan rising = plan;
  rising.ramp_ns = 20 * kSecond;
  EXPECT_EQ(Schedule(rising).end_ns(), Schedule(plan).end_ns() + 10 * kSecond);
}

TEST(RampTest, WhatIsDrawnRisesToo) {
  for (const Shape shape : {Shape::poisson, Shape::uniform}) {
    const Schedule schedule({.targets = 400,
                             .interval_ns = kSecond,
                             .duration_ns = 20 * kSecond,
                             .seed = 5,
                             .shape = shape,
                             .ramp_ns = 10 * kSecond});
    Pacer pacer(schedule);
    std::vector<Ticket> out(64);
    std::vector<double> in_second(20);
    for (int64_t now = 0; !pacer.done(); now += 10'000'000) {
      size_t n = 0;
      do {
        n = pacer.take(now, 0, out);
        for (size_t i = 0; i < n; ++i) ++in_second.at(static_cast<size_t>(out[i].due_ns / kSecond));
      } while (n == out.size());
    }
    for (size_t s = 0; s < 20; ++s) {
      const double mean = 400 * (s < 10 ? (static_cast<double>(s) + 0.5) / 10 : 1);
      EXPECT_NEAR(in_second[s], mean, 6 * std::sqrt(mean)) << s;
    }
  }
}

}  // namespace
}  // namespace todd::schedule
