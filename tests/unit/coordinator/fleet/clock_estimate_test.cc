#include "coordinator/fleet/clock_estimate.h"

#include <gtest/gtest.h>

#include "coordinator/fleet/manifests.h"
#include "coordinator/fleet/rate_limit.h"

namespace todd::fleet {
namespace {
// There, the clock is ahead by offset; the way there takes `out`, the way back `back`, the answer 5.
Exchange exchange(int64_t offset, int64_t out, int64_t back, int64_t at = 1000) {
  return {at, at + out + offset, at + out + offset + 5, at + out + 5 + back};
}

TEST(ClockEstimateTest, IsExactOnASymmetricPath) {
  ClockEstimate clock;
  EXPECT_FALSE(clock.known());
  clock.add(exchange(-700, 100, 100));
  EXPECT_EQ(clock.quality().offset_ns, -700);
  EXPECT_EQ(clock.quality().error_ns, 100);
  EXPECT_EQ(clock.quality().worst_rtt_ns, 200);
}

TEST(ClockEstimateTest, ErrorBoundHoldsHoweverAsymmetricThePath) {
  ClockEstimate clock;
  clock.add(exchange(5000, 0, 900));
  EXPECT_LE(std::abs(clock.quality().offset_ns - 5000), clock.quality().error_ns + 1);
}

TEST(ClockEstimateTest, TrustsTheShortestRoundTrip) {
  ClockEstimate clock;
  clock.add(exchange(50, 10, 1000));
  clock.add(exchange(50, 10, 10));
  clock.add(exchange(50, 4000, 10));
  EXPECT_EQ(clock.quality().offset_ns, 50);
  EXPECT_EQ(clock.quality().error_ns, 10);
  EXPECT_EQ(clock.quality().worst_rtt_ns, 4010);
}

TEST(ClockEstimateTest, ForgetsAfterSixteen) {
  ClockEstimate clock;
  clock.add(exchange(0, 1, 1));
  for (int i = 0; i < 15; ++i) clock.add(exchange(100, 50, 50));
  EXPECT_EQ(clock.quality().offset_ns, 0);
  clock.add(exchange(100, 50, 50));
  EXPECT_EQ(clock.quality().offset_ns, 100);
}

TEST(ClockEstimateTest, StartsOverWhenAClockWasSet) {
  ClockEstimate clock;
  clock.add(exchange(0, 1, 1));
  clock.add({1000, 2000, 2001, 900});
  EXPECT_FALSE(clock.known());
}

TEST(RateLimitTest, AllowsTheBurstThenTheRate) {
  RateLimit limit(1, 3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.take("a", 0));
  EXPECT_FALSE(limit.take("a", 0));
  EXPECT_FALSE(limit.take("a", 900'000'000));
  EXPECT_TRUE(limit.take("b", 900'000'000));
  EXPECT_TRUE(limit.take("a", 1'000'000'000));
  EXPECT_FALSE(limit.take("a", 1'000'000'000));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(limit.take("a", 1'000'000'000'000));
  EXPECT_FALSE(limit.take("a", 1'000'000'000'000));
}

TEST(RateLimitTest, MemoryIsBounded) {
  RateLimit limit(1, 2);
  for (size_t i = 0; i < RateLimit::kMostKeys; ++i) EXPECT_TRUE(limit.take(std::to_string(i), 0));
  EXPECT_FALSE(limit.take("one too many", 0));
  EXPECT_TRUE(limit.take("later", 10'000'000'000));
  // The full ones were let go: there is room again.
  for (size_t i = 1; i < RateLimit::kMostKeys; ++i)
    EXPECT_TRUE(limit.take("again " + std::to_string(i), 10'000'000'000));
  EXPECT_FALSE(limit.take("one too many", 10'000'000'000));
}

TEST(VersionTest, ComparesNumbersAsNumbers) {
  const char* const ordered[] = {"0.9", "1.0-rc1", "1.0", "1.0.1", "1.9", "1.10", "2"};
  for (size_t i = 0; i < std::size(ordered); ++i) {
    for (size_t j = 0; j < std::size(ordered); ++j) {
      EXPECT_EQ(version_less(ordered[i], ordered[j]), i < j) << ordered[i] << " < " << ordered[j];
    }
  }
}
}  // namespace
}  // namespace todd::fleet
