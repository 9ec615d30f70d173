#include "engine/manifest/units.h"

#include <cmath>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::manifest {
namespace {

using testing::HasSubstr;

TEST(Units, Durations) {
  EXPECT_EQ(parse_duration("1ns"), 1);
  EXPECT_EQ(parse_duration("1.5ms"), 1'500'000);
  EXPECT_EQ(parse_duration("250us"), 250'000);
  EXPECT_EQ(parse_duration("0.1s"), 100'000'000);
  EXPECT_EQ(parse_duration("2m"), 120'000'000'000);
  EXPECT_EQ(parse_duration("1.5h"), 5'400'000'000'000);
  EXPECT_EQ(parse_duration("1d"), 86'400'000'000'000);
  EXPECT_EQ(parse_duration("-1s"), -1'000'000'000);
  EXPECT_EQ(parse_duration("0"), 0);
  EXPECT_EQ(parse_duration("1.000000000000000000s"), 1'000'000'000);
  for (const char* bad : {"", "s", "1.s", ".5s", "1 s", " 1s", "1s ", "1e3s", "1.5ns", "0x1s", "--1s", "1min",
                          "inf", "99999999999999999999s", "107000d", "0.00000000000000000001s"}) {
    const auto result = parse_duration(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_THAT(result.error().detail, HasSubstr("\"" + std::string(bad) + "\""));
  }
  EXPECT_THAT(parse_duration("10").error().detail, HasSubstr("10 what? write 10s or 10ms"));
}

TEST(Units, Sizes) {
  EXPECT_EQ(parse_size("1472"), 1472);
  EXPECT_EQ(parse_size("1472B"), 1472);
  EXPECT_EQ(parse_size("64k"), 64'000);
  EXPECT_EQ(parse_size("64KiB"), 65'536);
  EXPECT_EQ(parse_size("64Ki"), 65'536);
  EXPECT_EQ(parse_size("1.5MB"), 1'500'000);
  EXPECT_EQ(parse_size("2Gi"), int64_t{2} << 30);
  for (const char* bad : {"", "-1", "1.5", "1b", "1KIB", "k", "1BB", "9999999999G"})
    EXPECT_FALSE(parse_size(bad)) << bad;
}

TEST(Units, Bitrates) {
  EXPECT_EQ(parse_bitrate("50Mbit/s"), 50'000'000);
  EXPECT_EQ(parse_bitrate("50M"), 50'000'000);
  EXPECT_EQ(parse_bitrate("1.5Gbit/s"), 1'500'000'000);
  EXPECT_EQ(parse_bitrate("9600"), 9600);
  for (const char* bad : {"", "50MB/s", "50Mbps", "50Mi", "-5M"}) EXPECT_FALSE(parse_bitrate(bad)) << bad;
}

TEST(Units, Rates) {
  EXPECT_EQ(parse_rate("10"), 10.0);
  EXPECT_EQ(parse_rate("10/s"), 10.0);
  EXPECT_EQ(parse_rate("600/min"), 10.0);
  EXPECT_EQ(parse_rate("36/h"), 0.01);
  EXPECT_EQ(parse_rate("2k/s"), 2000.0);
  EXPECT_EQ(parse_rate("max"), HUGE_VAL);
  for (const char* bad : {"", "-1", "10/", "10/d", "inf", "nan", "fast", "1e400", "10ms"})
    EXPECT_FALSE(parse_rate(bad)) << bad;
  EXPECT_FALSE(parse_rate(std::string(308, '9') + "T"));  // not "max" by overflow
}

TEST(Units, Ratios) {
  EXPECT_EQ(parse_ratio("0.5%"), 0.005);
  EXPECT_EQ(parse_ratio("100%"), 1.0);
  EXPECT_EQ(parse_ratio("0.25"), 0.25);
  for (const char* bad : {"", "%", "-1%", "101%", "1.01", "nan"}) EXPECT_FALSE(parse_ratio(bad)) << bad;
  EXPECT_THAT(parse_ratio("5").error().detail, HasSubstr("write 5%"));
}

TEST(Units, Numbers) {
  EXPECT_EQ(parse_integer("1k"), 1000);
  EXPECT_EQ(parse_integer("-3"), -3);
  EXPECT_EQ(parse_integer("1.5M"), 1'500'000);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(parse_integer("0x2A"), 42);
  EXPECT_EQ(parse_integer("0x7fffffffffffffff"), INT64_MAX);
  for (const char* bad : {"", "1.5", "9223372036854775808", "ten", "1Ki"})
    EXPECT_FALSE(parse_integer(bad)) << bad;
  EXPECT_EQ(parse_real("-2e-3"), -0.002);
  for (const char* bad : {"", "inf", "nan", "1,5", "1 "}) EXPECT_FALSE(parse_real(bad)) << bad;
  EXPECT_EQ(parse_boolean("yes"), true);
  EXPECT_EQ(parse_boolean("off"), false);
  EXPECT_FALSE(parse_boolean("TRUE"));
}

TEST(Units, Formats) {
  EXPECT_EQ(format_duration(0), "0s");
  EXPECT_EQ(format_duration(1'500'000), "1.5ms");
  EXPECT_EQ(format_duration(12'345), "12.35us");
  EXPECT_EQ(format_duration(-90'000'000'000), "-90s");
  EXPECT_EQ(format_duration(7'200'000'000'000), "2h");
  EXPECT_EQ(format_duration(172'800'000'000'000), "2d");
  EXPECT_EQ(format_size(0), "0B");
  EXPECT_EQ(format_size(65'536), "64KiB");
  EXPECT_EQ(format_size(1472), "1.472kB");
  EXPECT_EQ(format_bitrate(50'000'000), "50Mbit/s");
  EXPECT_EQ(format_bitrate(941'234'567), "941.2Mbit/s");
  EXPECT_EQ(format_count(1234), "1234");
  EXPECT_EQ(format_count(1'200'000), "1.2M");
}

TEST(Units, WhatFourDigitsHoldRoundTrips) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    int64_t v = static_cast<int64_t>(random() % 1000);
    for (uint64_t zeros = random() % 14; zeros > 0; --zeros) v *= 10;
    ASSERT_EQ(parse_size(format_size(v)), v) << format_size(v);
    ASSERT_EQ(parse_bitrate(format_bitrate(v)), v) << format_bitrate(v);
    ASSERT_EQ(parse_integer(format_count(v)), v) << format_count(v);
    if (v < 60'000'000'000) {
      ASSERT_EQ(parse_duration(format_duration(v)), v) << format_duration(v);
    }
  }
  for (const int64_t seconds : {60, 61, 90, 599, 3600, 5400, 7200, 86'400, 129'600, 172'800}) {
    const int64_t ns = seconds * 1'000'000'000;
    EXPECT_EQ(parse_duration(format_duration(ns)), ns) << format_duration(ns);
  }
}

TEST(Units, FormatsAreAlwaysReadableAndNear) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20'000; ++i) {
    const auto v = static_cast<int64_t>(random() >> (1 + random() % 63));
    const auto parsed = parse_duration(format_duration(v));
    ASSERT_TRUE(parsed) << format_duration(v);
    ASSERT_NEAR(static_cast<double>(*parsed), static_cast<double>(v), 0.0006 * static_cast<double>(v));
  }
}

}  // namespace
}  // namespace todd::manifest
