#include "engine/stats/arrivals.h"

#include <gtest/gtest.h>

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
  for (uint64_t n = 0; n < 3 * Arrivals::kWindow; ++n) {
    if (n != 5 && n != 2500) {
      EXPECT_TRUE(a.take(n, 0, 0));
    }
  }
  EXPECT_FALSE(a.take(2499, 0, 0));
  EXPECT_TRUE(a.take(2500, 0, 0));
  EXPECT_FALSE(a.take(2500, 0, 0));
  EXPECT_EQ(a.duplicates(), 2u);
  EXPECT_EQ(a.lost(), 1u);
  EXPECT_TRUE(a.take(5, 0, 0));  // far behind, but something is missing
  EXPECT_EQ(a.lost(), 0u);
  EXPECT_FALSE(a.take(6, 0, 0)) << "nothing is missing, so it must be a duplicate";
}

TEST(ArrivalsTest, AGapLongerThanTheWindowForgetsWhatWasSeen) {
  Arrivals a(0);
  a.take(0, 0, 0);
  a.take(5000, 0, 0);
  EXPECT_TRUE(a.take(5000 - Arrivals::kWindow + 1, 0, 0));
  EXPECT_EQ(a.lost(), 5001u - 3);
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
