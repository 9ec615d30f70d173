#include "engine/worker/process_cpu.h"

#include <gtest/gtest.h>

namespace todd::worker {
namespace {

TEST(ProcessCpuTest, PeriodsOfOneShardCountWhole) {
  ProcessCpu cpu;
  EXPECT_EQ(cpu.add(100, 150), 50);
  EXPECT_EQ(cpu.add(150, 220), 70);
}

TEST(ProcessCpuTest, WhatPeriodsOfTwoShardsHaveInCommonCountsOnce) {
  ProcessCpu cpu;
  int64_t sum = 0;
  sum += cpu.add(100, 200);  // the one shard's first
  sum += cpu.add(102, 203);  // the other's
  EXPECT_EQ(sum, 103);
  sum += cpu.add(203, 301);  // the other is told first now
  sum += cpu.add(200, 299);
  EXPECT_EQ(sum, 201);
}

// The other shard's thread told of a later one before.
TEST(ProcessCpuTest, WhatWasToldWholeIsNothingMore) {
  ProcessCpu cpu;
  EXPECT_EQ(cpu.add(100, 300), 200);
  EXPECT_EQ(cpu.add(110, 200), 0);
  EXPECT_EQ(cpu.add(200, 310), 10) << "and nothing is owed";
}

TEST(ProcessCpuTest, WhatLiesBetweenTwoPeriodsIsNoOnes) {
  ProcessCpu cpu;
  EXPECT_EQ(cpu.add(100, 200), 100);
  EXPECT_EQ(cpu.add(500, 520), 20);
}

}  // namespace
}  // namespace todd::worker
