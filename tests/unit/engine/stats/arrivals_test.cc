#include "engine/stats/arrivals.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace todd::stats {
namespace {

TEST(ArrivalsTest, CountsWhatIsMissingAndTakesOffWhatComesLate) {
  Arrivals a(1);
  for (const uint64_t n : {1, 2, 6, 4, 10}) EXPECT_TRUE(a.take(n, 0, 0));
  EXPECT_EQ(a.received(), 5u);
  EXPECT_EQ(a.highest(), 10u);
  EXPECT_EQ(a.lost(), 5u);  // 3, 5, 7, 8, 9
  EXPECT_EQ(a.out_of_order(), 1u);
  EXPECT_EQ(a.bursts(), 2u);
  EXPECT_EQ(a.longest_burst(), 3u);
}

TEST(ArrivalsTest, TheFirstOnesMayBeMissing) {
  Arrivals a(1);
  EXPECT_EQ(a.highest(), 0u);
  EXPECT_EQ(a.lost(), 0u);
  a.take(4, 0, 0);
  EXPECT_EQ(a.lost(), 3u);
}

TEST(ArrivalsTest, KnowsDuplicatesWithinItsWindow) {
  Arrivals a(0);
  constexpr uint64_t kLate = 2 * Arrivals::kWindow + 100;
  for (uint64_t n = 0; n < 3 * Arrivals::kWindow; ++n) {
    if (n != 5 && n != kLate) {
      EXPECT_TRUE(a.take(n, 0, 0));
    }
  }
  EXPECT_FALSE(a.take(kLate - 1, 0, 0));
  EXPECT_TRUE(a.take(kLate, 0, 0));
  EXPECT_FALSE(a.take(kLate, 0, 0));
  EXPECT_EQ(a.duplicates(), 2u);
  EXPECT_EQ(a.lost(), 1u);
  EXPECT_TRUE(a.take(5, 0, 0));  // far behind, but something is missing
  EXPECT_EQ(a.lost(), 0u);
  EXPECT_FALSE(a.take(6, 0, 0)) << "nothing is missing, so it must be a duplicate";
}

// A copy that comes further behind than is remembered was taken for a late one, and a real loss was taken off
// for it. At a million datagrams a second a path that holds one up for 10 ms puts 10,000 before it.
TEST(ArrivalsTest, ACopyThatComesLateTakesOffNoLoss) {
  Arrivals a(0);
  for (uint64_t n = 0; n < 20'000; ++n) {
    if (n != 7) a.take(n, 0, 0);
  }
  EXPECT_FALSE(a.take(10'000, 0, 0));
  EXPECT_EQ(a.lost(), 1u);
  EXPECT_EQ(a.duplicates(), 1u);
}

TEST(ArrivalsTest, AGapForgetsWhatWasSeenAWindowAgoAndNothingElse) {
  for (const uint64_t gap : {uint64_t{1}, uint64_t{63}, uint64_t{64}, uint64_t{65}, uint64_t{1000},
                             Arrivals::kWindow - 1, Arrivals::kWindow, 3 * Arrivals::kWindow}) {
    Arrivals a(0);
    const uint64_t before = Arrivals::kWindow + 37;
    for (uint64_t n = 0; n < before; ++n) a.take(n, 0, 0);
    a.take(before + gap, 0, 0);
    EXPECT_EQ(a.lost(), gap);
    for (uint64_t n = before + gap - std::min(gap, Arrivals::kWindow - 1); n < before + gap; ++n)
      EXPECT_TRUE(a.take(n, 0, 0)) << n << " after a gap of " << gap;
    EXPECT_EQ(a.lost(), gap - std::min(gap, Arrivals::kWindow - 1));
    if (gap < Arrivals::kWindow - 1) {
      EXPECT_FALSE(a.take(before - 1, 0, 0)) << gap;
    }
    EXPECT_FALSE(a.take(before + gap, 0, 0)) << gap;
  }
}

TEST(ArrivalsTest, NumbersOfNobodyAreRefused) {
  Arrivals a(1);
  EXPECT_FALSE(a.take(0, 0, 0));
  EXPECT_FALSE(a.take(UINT64_MAX, 0, 0));
  EXPECT_EQ(a.received() + a.lost() + a.duplicates(), 0u);
}

TEST(ArrivalsTest, WidensNumbersPastTheirFirst32Bits) {
  Arrivals a(0xfffffff0u);
  a.take(0xfffffff5u, 0, 0);
  EXPECT_EQ(a.widen(3), 0x100000003u);
  a.take(0x100000003u, 0, 0);
  EXPECT_EQ(a.widen(0xfffffff8u), 0xfffffff8u);
}

// J += (|D| - J) / 16 by hand for transit times of 10, 26 and 10 ms.
TEST(ArrivalsTest, JitterIsSmoothed) {
  Arrivals a(0);
  a.take(0, 0, 10'000'000);
  EXPECT_EQ(a.jitter_ns(), 0);
  a.take(1, 100'000'000, 126'000'000);
  EXPECT_DOUBLE_EQ(a.jitter_ns(), 1e6);
  a.take(2, 200'000'000, 210'000'000);
  EXPECT_DOUBLE_EQ(a.jitter_ns(), 1e6 + (16e6 - 1e6) / 16);
}

}  // namespace
}  // namespace todd::stats
