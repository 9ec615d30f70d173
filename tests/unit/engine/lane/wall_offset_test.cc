#include "engine/lane/wall_offset.h"

#include <gtest/gtest.h>

namespace todd::lane {
namespace {

constexpr int64_t kEpoch = 1'700'000'000'000'000'000;

TEST(WallOffsetTest, KeepsTheNarrowestReading) {
  WallOffset clock;
  clock.take(1'000, kEpoch + 1'100, 1'400);  // 200 too early, as read in the middle
  EXPECT_EQ(clock.to_mono(kEpoch + 5'000), 5'000 + 100);
  clock.take(10'000, kEpoch + 10'010, 10'020);
  EXPECT_EQ(clock.to_mono(kEpoch + 50'000), 50'000);
  clock.take(20'000, kEpoch + 29'000, 40'000);  // taken off the core in between: no news
  EXPECT_EQ(clock.to_mono(kEpoch + 50'000), 50'000);
  EXPECT_FALSE(clock.stepped_since(0));
}

TEST(WallOffsetTest, NoticesAClockThatWasSet) {
  for (const int64_t step : {int64_t{3'600'000'000'000}, int64_t{-50'000}, int64_t{5'000}}) {
    WallOffset clock;
    clock.take(1'000, kEpoch + 1'010, 1'020);
    clock.take(9'000, kEpoch + step + 9'010, 9'020);
    EXPECT_TRUE(clock.stepped_since(9'000)) << step;
    EXPECT_TRUE(clock.stepped_since(500)) << "a probe that left before";
    EXPECT_FALSE(clock.stepped_since(10'000)) << "one that leaves now";
    EXPECT_EQ(clock.to_mono(kEpoch + step + 20'000), 20'000) << step;
  }
}

TEST(WallOffsetTest, AWideReadingHidesNoStepLargerThanItself) {
  WallOffset clock;
  clock.take(1'000, kEpoch + 1'010, 1'020);
  clock.take(10'000, kEpoch + 1'000'000 + 15'000, 20'000);
  EXPECT_TRUE(clock.stepped_since(0));
}

}  // namespace
}  // namespace todd::lane
