#include "coordinator/proto/histogram.h"

#include <gtest/gtest.h>

#include "engine/stats/buckets.h"
#include "todd/v1/task.pb.h"

namespace todd::wire {
namespace {

TEST(HistogramMessageTest, ComesBackAsItWas) {
  stats::Histogram made;
  made.add(3, 2);
  made.add(2'000'000, 5);
  made.add(uint64_t{1} << 62, 1);  // its square needs the upper half
  v1::Histogram message;
  put_histogram(made, message);
  const stats::Histogram back = histogram_of(message);
  EXPECT_EQ(back.count, made.count);
  EXPECT_EQ(back.sum, made.sum);
  EXPECT_EQ(back.min, made.min);
  EXPECT_EQ(back.max, made.max);
  EXPECT_TRUE(back.sum_squares == made.sum_squares);
  EXPECT_EQ(back.buckets, made.buckets);
}

TEST(HistogramMessageTest, BucketsOutOfRangeAreNotTaken) {
  v1::Histogram message;
  message.set_count(3);
  for (const uint32_t step : {5u, 0u, stats::kBuckets}) {
    message.add_bucket(step);
    message.add_n(1);
  }
  const stats::Histogram back = histogram_of(message);
  ASSERT_EQ(back.buckets.size(), 1u);
  EXPECT_EQ(back.buckets[0].first, 5u);
  EXPECT_EQ(back.buckets[0].second, 2u);
}

}  // namespace
}  // namespace todd::wire
