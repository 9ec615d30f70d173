#include "engine/lane/exchange.h"

#include <gtest/gtest.h>

#include <vector>

namespace todd::lane {
namespace {

uint16_t fly(ExchangeTable& table, int64_t deadline_ns, uint64_t user = 0) {
  const uint16_t index = table.begin(user, 0, 0, 0);
  table.at(index).state = Exchange::flying;
  table.at(index).deadline_ns = deadline_ns;
  return index;
}

TEST(ExchangeTest, EntriesAreUsedInSequenceAndReusedOnlyWhenEnded) {
  ExchangeTable table(4, 1);
  for (uint16_t i = 0; i < 4; ++i) EXPECT_EQ(fly(table, 100), i);
  EXPECT_TRUE(table.full());
  EXPECT_EQ(table.free_ahead(8), 0u);
  table.finish(table.at(1), Exchange::answered);
  EXPECT_TRUE(table.full()) << "the next in sequence is entry 0, still flying";
  table.finish(table.at(0), Exchange::answered);
  EXPECT_FALSE(table.full());
  EXPECT_EQ(table.free_ahead(8), 2u);
  EXPECT_EQ(table.live(), 2u);
  EXPECT_EQ(fly(table, 100), 0);
}

TEST(ExchangeTest, AReusedEntryHasAnotherCookie) {
  ExchangeTable table(2, 7);
  const uint16_t first = fly(table, 100);
  const uint64_t before = table.cookie(first);
  table.finish(table.at(first), Exchange::lost);
  fly(table, 100);
  EXPECT_EQ(fly(table, 200), first);
  EXPECT_NE(table.cookie(first), before);
  EXPECT_EQ(table.cookie(first) & 0xffff, first);
  EXPECT_NE(ExchangeTable(2, 8).cookie(0), ExchangeTable(2, 9).cookie(0)) << "the secret counts";
}

TEST(ExchangeTest, ExpiresOldestFirstAndNoneBeforeItsDeadline) {
  ExchangeTable table(8, 1);
  for (int64_t i = 0; i < 5; ++i) fly(table, 100 + i, static_cast<uint64_t>(i));
  table.finish(table.at(1), Exchange::answered);
  EXPECT_EQ(table.next_deadline(), 100);
  std::vector<uint64_t> expired;
  auto end = [&](Exchange& e) {
    expired.push_back(e.user);
    table.finish(e, Exchange::lost);
  };
  table.expire(102, 8, end);
  EXPECT_EQ(expired, (std::vector<uint64_t>{0, 2}));
  EXPECT_EQ(table.next_deadline(), 103);
  table.drain(end);
  EXPECT_EQ(expired, (std::vector<uint64_t>{0, 2, 3, 4}));
  EXPECT_EQ(table.live(), 0u);
  EXPECT_EQ(table.next_deadline(), INT64_MAX);
}

TEST(ExchangeTest, ExpiresNoMoreThanAsked) {
  ExchangeTable table(8, 1);
  for (int i = 0; i < 5; ++i) fly(table, 100);
  int ended = 0;
  auto end = [&](Exchange& e) {
    table.finish(e, Exchange::lost);
    ++ended;
  };
  table.expire(100, 2, end);
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(table.next_deadline(), 100);
  table.expire(100, 8, end);
  EXPECT_EQ(ended, 5);
}

// A probe whose send is not confirmed yet holds the queue: its deadline is not known.
TEST(ExchangeTest, ASendInFlightHoldsTheTimerQueue) {
  ExchangeTable table(4, 1);
  const uint16_t sending = table.begin(0, 0, 0, 0);
  fly(table, 10);
  int ended = 0;
  table.expire(1000, 8, [&](Exchange& e) {
    table.finish(e, Exchange::lost);
    ++ended;
  });
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(table.next_deadline(), INT64_MAX);
  table.finish(table.at(sending), Exchange::idle);
  EXPECT_EQ(table.next_deadline(), 10);
}

TEST(ExchangeTest, WhatHasEndedCanBeForgotten) {
  ExchangeTable table(8, 1);
  const uint16_t answered = fly(table, 10), lost = fly(table, 10), flying = fly(table, 10);
  table.finish(table.at(answered), Exchange::answered);
  table.finish(table.at(lost), Exchange::lost);
  table.forget_ended();
  EXPECT_EQ(table.at(answered).state, Exchange::ended);
  EXPECT_EQ(table.at(lost).state, Exchange::ended);
  EXPECT_EQ(table.at(flying).state, Exchange::flying);
  EXPECT_EQ(table.live(), 1u);
}

// The wire's index has 16 bits, the sequence does not: it goes on over the edge without a probe forgotten.
TEST(ExchangeTest, SequenceRunsOnBeyondSixteenBits) {
  ExchangeTable table(ExchangeTable::kMax, 1);
  for (uint64_t n = 0; n < 3 * ExchangeTable::kMax; ++n) {
    const uint16_t index = fly(table, static_cast<int64_t>(n));
    ASSERT_EQ(index, static_cast<uint16_t>(n));
    table.finish(table.at(index), Exchange::answered);
  }
  EXPECT_EQ(table.live(), 0u);
  EXPECT_EQ(table.next_deadline(), INT64_MAX);
}

}  // namespace
}  // namespace todd::lane
