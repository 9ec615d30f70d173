#include "engine/stats/histogram.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "engine/stats/buckets.h"

namespace todd::stats {
namespace {

// Values over many orders of magnitude, as delays are.
std::vector<uint64_t> random_values(uint64_t seed, size_t n) {
  std::mt19937_64 random(seed);
  std::vector<uint64_t> values(n);
  for (auto& v : values) v = random() >> (22 + random() % 42);
  return values;
}

Histogram of(const std::vector<uint64_t>& values) {
  Histogram h;
  for (const uint64_t v : values) h.add(v);
  return h;
}

TEST(Buckets, CoverEveryValueOnceInOrder) {
  EXPECT_EQ(bucket_low(0), 0u);
  for (uint32_t b = 0; b < kBuckets; ++b) {
    ASSERT_LE(bucket_low(b), bucket_high(b));
    ASSERT_EQ(bucket_of(bucket_low(b)), b);
    ASSERT_EQ(bucket_of(bucket_high(b)), b);
    if (b > 0) {
      ASSERT_EQ(bucket_low(b), bucket_high(b - 1) + 1);
    }
    ASSERT_LE((bucket_high(b) - bucket_low(b)) << kSubBits, bucket_low(b));  // relative width
  }
  EXPECT_EQ(bucket_high(kBuckets - 1), (uint64_t{1} << 42) - 1);
}

TEST(Buckets, ClampWhatIsTooLarge) {
  EXPECT_EQ(bucket_of(kBucketMax + 1), kBuckets - 1);
  EXPECT_EQ(bucket_of(UINT64_MAX), kBuckets - 1);
}

TEST(Histogram, IsZeroWhileEmpty) {
  const Histogram h;
  EXPECT_EQ(h.mean(), 0);
  EXPECT_EQ(h.stddev(), 0);
  EXPECT_EQ(h.percentile(50), 0);
  Histogram zero;
  zero.add(5, 0);
  EXPECT_EQ(zero, h);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (uint64_t v = 1; v <= 100; ++v) h.add(v);
  EXPECT_EQ(h.percentile(50), 50);
  EXPECT_EQ(h.percentile(99), 99);
  EXPECT_EQ(h.percentile(0), 1);
  EXPECT_EQ(h.percentile(100), 100);
  EXPECT_EQ(h.percentile(-3), 1);
  EXPECT_EQ(h.percentile(NAN), 1);
  EXPECT_DOUBLE_EQ(h.mean(), 50.5);
  EXPECT_NEAR(h.stddev(), 28.86607, 1e-5);
}

TEST(Histogram, OneValueIsReportedAsItIs) {
  Histogram h;
  h.add(123'456'789);
  EXPECT_EQ(h.percentile(50), 123'456'789);
  EXPECT_EQ(h.stddev(), 0);
  Histogram huge;
  huge.add(uint64_t{1} << 45);
  EXPECT_EQ(huge.percentile(50), static_cast<double>(uint64_t{1} << 45));
}

TEST(Histogram, WithoutBucketsOnlyEqualValuesHaveAShape) {
  EXPECT_FALSE(Histogram().has_shape());
  Histogram h;
  h.add(5, 3);
  EXPECT_TRUE(h.has_shape());
  h.buckets.clear();
  EXPECT_TRUE(h.has_shape());
  h.max = 6;
  EXPECT_FALSE(h.has_shape());
}

TEST(Histogram, StddevSurvivesLargeMeans) {
  Histogram h;  // two values 2 ns apart at 1 s: naive floating point loses this
  h.add(1'000'000'000);
  h.add(1'000'000'002);
  EXPECT_DOUBLE_EQ(h.stddev(), 1);
}

TEST(Histogram, PercentilesAreWithinTheBucketError) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    auto values = random_values(seed, 1 + seed * 150);
    const Histogram h = of(values);
    std::sort(values.begin(), values.end());
    for (const double p : {0.1, 1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9}) {
      const auto rank = static_cast<size_t>(std::ceil(p / 100 * static_cast<double>(values.size())));
      const auto exact = static_cast<double>(values[std::max<size_t>(rank, 1) - 1]);
      ASSERT_NEAR(h.percentile(p), exact, exact / 128) << "p" << p << " seed " << seed;
    }
  }
}

TEST(Histogram, MergeIsExactInAnyOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const auto a = random_values(seed, 200), b = random_values(seed + 100, 37),
               c = random_values(seed + 200, 500);
    std::vector<uint64_t> all;
    for (const auto* part : {&a, &b, &c}) all.insert(all.end(), part->begin(), part->end());
    Histogram left = of(a);
    left.merge(of(b));
    left.merge(of(c));
    Histogram right = of(b);
    right.merge(of(c));
    Histogram other = of(a);
    other.merge(right);
    EXPECT_EQ(left, of(all));
    EXPECT_EQ(other, left);
    left.merge(Histogram{});
    EXPECT_EQ(other, left);
  }
}

TEST(Histogram, AddsManyAtOnce) {
  Histogram h, one_by_one;
  h.add(1000, 3);
  for (int i = 0; i < 3; ++i) one_by_one.add(1000);
  EXPECT_EQ(h, one_by_one);
}

}  // namespace
}  // namespace todd::stats
