#include "coordinator/proto/block.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace todd::wire {
namespace {
using Flat = stats::CellReader::Flat;

Flat counted(uint64_t n) {
  Flat f;
  f.something = n != 0;
  f.count = n;
  return f;
}

TEST(BlockTest, WhatIsAlikeIsSentOnce) {
  v1::Block block;
  put_column(stats::Kind::counter, 3, std::vector<Flat>(1000, counted(7)), block);
  ASSERT_EQ(block.columns_size(), 1);
  EXPECT_EQ(block.columns(0).metric(), 3u);
  EXPECT_EQ(block.columns(0).count_size(), 1);
  EXPECT_EQ(ColumnView(block.columns(0), 1000).count(999), 7u);
  put_column(stats::Kind::counter, 4, std::vector<Flat>(1000, counted(0)), block);
  EXPECT_EQ(block.columns_size(), 1);
  EXPECT_LT(block.ByteSizeLong(), 20u);
}

TEST(BlockTest, EveryNumberComesBack) {
  std::mt19937_64 random(3);
  std::vector<Flat> histogram(500), gauge(500);
  for (Flat& f : histogram) {
    f.count = random() % 4;
    f.something = f.count != 0;
    if (!f.something) continue;
    f.min = random() >> (random() % 64);
    f.max = f.min + (random() >> (random() % 64));  // may wrap, as from memory that lies
    f.sum = random();
  }
  for (Flat& f : gauge) {
    f.something = random() % 2 != 0;
    if (f.something) f.gauge = static_cast<double>(random()) / 3;
  }
  v1::Block block;
  put_column(stats::Kind::histogram, 0, histogram, block);
  put_column(stats::Kind::gauge, 1, gauge, block);
  v1::Block again;
  ASSERT_TRUE(again.ParseFromString(block.SerializeAsString()));
  const ColumnView h(again.columns(0), 500), g(again.columns(1), 500);
  for (uint32_t i = 0; i < 500; ++i) {
    EXPECT_EQ(h.count(i), histogram[i].count);
    EXPECT_EQ(h.least(i), histogram[i].min);
    EXPECT_EQ(h.most(i), histogram[i].max);
    EXPECT_EQ(h.sum(i), histogram[i].sum);
    if (gauge[i].something)
      EXPECT_EQ(g.gauge(i), gauge[i].gauge);
    else
      EXPECT_TRUE(std::isnan(g.gauge(i)));
  }
  EXPECT_LE(block.ByteSizeLong(),
            500 * (column_bytes(stats::Kind::histogram) + column_bytes(stats::Kind::gauge)) + 64);
}

TEST(BlockTest, AFieldOfAnotherLengthReadsAsAbsent) {
  v1::Column column;
  for (uint64_t i = 0; i < 3; ++i) column.add_count(5);
  EXPECT_EQ(ColumnView(column, 4).count(0), 0u);
  EXPECT_EQ(ColumnView(column, 3).count(2), 5u);
  EXPECT_TRUE(std::isnan(ColumnView(column, 3).gauge(0)));
}

}  // namespace
}  // namespace todd::wire
