#include "engine/supervise/strikes.h"

#include <gtest/gtest.h>

namespace todd::supervise {
namespace {

constexpr int64_t kMinute = 60'000'000'000;

TEST(StrikesTest, ThreeWithinTenMinutesAreOut) {
  Strikes strikes;
  EXPECT_FALSE(strikes.add("a", "was killed", 0));
  EXPECT_FALSE(strikes.add("a", "was killed", 5 * kMinute));
  EXPECT_FALSE(strikes.add("b", "was killed", 6 * kMinute));
  EXPECT_FALSE(strikes.add("a", "was killed", 11 * kMinute)) << "the first is forgotten";
  EXPECT_EQ(strikes.quarantine_of("a"), "");
  EXPECT_TRUE(strikes.add("a", "exited with 3", 12 * kMinute));
  EXPECT_NE(strikes.quarantine_of("a").find("exited with 3"), std::string::npos)
      << strikes.quarantine_of("a");
  EXPECT_EQ(strikes.quarantine_of("b"), "");
  EXPECT_FALSE(strikes.add("a", "was killed", 13 * kMinute)) << "told once";
}

}  // namespace
}  // namespace todd::supervise
