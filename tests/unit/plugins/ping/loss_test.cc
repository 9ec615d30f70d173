#include "plugins/ping/loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::TestletHost;
using test::World;

constexpr int64_t kMs = 1'000'000;

struct LossTest : testing::Test {
  World world;
  std::unique_ptr<TestletHost> host;

  // A probe every 10 ms. fate: one letter per round. r answered after 1 ms, R after `slow_ms`, t lost, e an
  // ICMP error after 1 ms, u not sent, x without a ticket.
  void ping(const std::string& fate, int64_t timeout_ms, int64_t slow_ms = 25) {
    test::Options o;
    o.targets[0].port = 0;
    o.timeout_ns = timeout_ms * kMs;
    o.slots = o.cap_op = 1024;
    o.answer = [fate, slow_ms](uint32_t, uint32_t round, std::string_view) {
      switch (fate[round]) {
        case 't': return Answer{.result = -ETIMEDOUT};
        case 'u': return Answer{.result = -ENOBUFS, .local = true};
        case 'd': return Answer{.result = -ETIMEDOUT, .local = true};
        case 'e':
          return Answer{.result = -EHOSTUNREACH, .icmp = todd_icmp_error{3, 1, 4, 0, {192, 0, 2, 9}, 0}};
        case 'R': return Answer{.delay_ns = slow_ms * kMs};
        default: return Answer{};
      }
    };
    host = std::make_unique<TestletHost>(world, **todd_entry_v0.testlets, o);
    ASSERT_EQ(host->start(), 0);
    host->begin();
    for (uint32_t r = 0; r < fate.size(); ++r) {
      if (fate[r] != 'x') host->ticket(0, r, world.now_ns + r * 10 * kMs);
    }
    world.run_for(static_cast<int64_t>(fate.size()) * 10 * kMs);
    host->drain();
    world.run_for((timeout_ms + 1000) * kMs);
    EXPECT_TRUE(host->finished());
  }
  uint64_t bursts() const { return host->counter("loss_bursts"); }
  double longest() const { return host->gauge("longest_loss_burst"); }  // -1: never set
  double outage_ms() const { return host->gauge("outage") < 0 ? -1 : host->gauge("outage") / kMs; }
};

TEST_F(LossTest, NothingLostIsZeroForWhoeverWasAskedTwice) {
  ping("rrrrRrrr", 1000);
  EXPECT_EQ(bursts(), 0u);
  EXPECT_EQ(longest(), 0);
  EXPECT_EQ(outage_ms(), 0);
  ping("r", 1000);
  EXPECT_EQ(longest(), -1);
  EXPECT_EQ(outage_ms(), -1);
}

// What went wrong in the warm-up says nothing of what counts: the burst that goes on over its end is a new
// one, and the replies before it make no pair, no order and no change of TTL with those after.
TEST_F(LossTest, TheWarmUpIsForgotten) {
  test::Options o;
  o.targets[0].port = 0;
  o.timeout_ns = 20 * kMs;
  bool counting = false;
  o.answer = [&](uint32_t, uint32_t round, std::string_view) {
    if (counting ? round < 2 : round > 2) return Answer{.result = -ETIMEDOUT};
    return Answer{.delay_ns = (counting ? 1 : 9) * kMs, .ttl = static_cast<uint8_t>(counting ? 60 : 50)};
  };
  host = std::make_unique<TestletHost>(world, **todd_entry_v0.testlets, o);
  ASSERT_EQ(host->start(), 0);
  host->warm_up();
  for (uint32_t r = 0; r < 5; ++r) host->ticket(0, r, world.now_ns + r * 10 * kMs);
  world.run_for(200 * kMs);
  const uint64_t warm_jitter = host->observed("jitter").size();  // the host mutes what is recorded so far
  EXPECT_EQ(warm_jitter, 2u);
  EXPECT_EQ(bursts(), 0u) << "still open";
  counting = true;
  host->begin();
  for (uint32_t r = 0; r < 4; ++r) host->ticket(0, r, world.now_ns + r * 10 * kMs);
  world.run_for(200 * kMs);
  host->drain();
  world.run_for(1000 * kMs);
  EXPECT_TRUE(host->finished());
  EXPECT_EQ(host->observed("jitter").size(), warm_jitter + 1);
  EXPECT_EQ(host->counter("reordered"), 0u);
  EXPECT_EQ(host->counter("ttl_changes"), 0u);
  EXPECT_EQ(bursts(), 1u);
  EXPECT_EQ(outage_ms(), 20);
}

TEST_F(LossTest, TheZeroComesNotAfterALoss) {
  ping("trrrrrrrrrrrrrrrr", 5);
  EXPECT_EQ(longest(), 1);
  EXPECT_EQ(outage_ms(), 10);
  ping("rtxxxxxxxxxxxxxxxxxxr", 5);
  EXPECT_EQ(longest(), 1);
}

TEST_F(LossTest, BurstsInOrderWhateverTheTimeout) {
  for (const int64_t timeout_ms : {5, 15, 35, 1000}) {
    ping("rttrrtttrtr", timeout_ms, 0);
    EXPECT_EQ(bursts(), 3u) << timeout_ms;
    EXPECT_EQ(longest(), 3) << timeout_ms;
    EXPECT_GE(outage_ms(), 20) << timeout_ms;
  }
}

TEST_F(LossTest, TheOutageEndsWithTheDepartureOfTheNextAnsweredProbe) {
  for (const int64_t timeout_ms : {5, 15, 45, 1000}) {
    ping("rrttttrrrr", timeout_ms);
    EXPECT_EQ(outage_ms(), 40) << timeout_ms;
    EXPECT_EQ(longest(), 4);
  }
  ping("ttrrr", 1000);  // from the first probe on
  EXPECT_EQ(outage_ms(), 20);
}

TEST_F(LossTest, ALongOutageIsMeasuredAlthoughShortOnesFollowWithinTheTimeout) {
  ping("rrttttttttrtrtrtrr", 1000);
  EXPECT_EQ(outage_ms(), 80);
  EXPECT_EQ(bursts(), 4u);
}

// ICMP errors come at once, timeouts of earlier rounds later: together they are one burst.
TEST_F(LossTest, IcmpErrorsAmongTimeoutsAreOneBurst) {
  for (const int64_t timeout_ms : {15, 1000}) {
    ping("rtetteteetr", timeout_ms);
    EXPECT_EQ(bursts(), 1u);
    EXPECT_EQ(longest(), 9);
    EXPECT_EQ(outage_ms(), 90);
  }
}

TEST_F(LossTest, WhatThisHostDroppedIsNoLoss) {
  ping("rdddrtdtr", 50);
  EXPECT_EQ(bursts(), 2u);
  EXPECT_EQ(longest(), 1);
}

TEST_F(LossTest, ARoundThatWasNotSentEndsABurst) {
  ping("rtuttxtr", 50);
  EXPECT_EQ(bursts(), 3u);
  EXPECT_EQ(longest(), 2);
}

TEST_F(LossTest, AnOutageWithoutEndLastsToItsLastProbe) {
  ping("rrttttt", 30);
  EXPECT_EQ(longest(), 5);
  EXPECT_EQ(outage_ms(), 40);
  ping("tttt", 30);
  EXPECT_EQ(bursts(), 1u);
  EXPECT_EQ(longest(), 4);
  EXPECT_EQ(outage_ms(), 30);
}

TEST_F(LossTest, AnOvertakenReplyMayEndABurst) {
  ping("rttRrrr", 50);  // 3 comes after 5
  EXPECT_EQ(outage_ms(), 20);
  ping("rttRrrr", 15, 14);  // 3 comes when 1 and 2 are known to be lost
  EXPECT_EQ(outage_ms(), 20);
}

TEST_F(LossTest, AFilledGapDoesNotHideTheNextOutage) {
  ping("rRrrtttrrrr", 1000);
  EXPECT_EQ(outage_ms(), 30);
  EXPECT_EQ(bursts(), 1u);
}

// Against a plain count over the rounds, with all kinds of fates and timeouts shorter and longer than the
// interval.
TEST_F(LossTest, AgreesWithACountOverTheRounds) {
  std::mt19937 random(20260);
  for (int i = 0; i < 300; ++i) {
    std::string fate;
    const int kinds = 2 + i % 4;
    while (fate.size() < 60) fate += "rteRu"[random() % static_cast<unsigned>(kinds)];
    const int64_t timeout_ms = std::vector<int64_t>{30, 101, 1000}[random() % 3];
    uint64_t bursts_expected = 0, run = 0, longest_expected = 0, outage_expected = 0;
    for (const char c : fate + "-") {
      if (run != 0) outage_expected = std::max(outage_expected, (c == 'r' ? run : run - 1) * 10);
      run = c == 't' || c == 'e' ? run + 1 : 0;
      bursts_expected += run == 1;
      longest_expected = std::max(longest_expected, run);
    }
    ping(fate, timeout_ms);
    ASSERT_EQ(bursts(), bursts_expected) << fate << " " << timeout_ms;
    ASSERT_EQ(longest(), static_cast<double>(longest_expected)) << fate;
    ASSERT_LE(outage_ms(), static_cast<double>(longest_expected) * 10) << fate << " " << timeout_ms;
    if (kinds > 3) continue;  // with replies out of order a lesser one may be the one that is kept
    ASSERT_EQ(outage_ms(), static_cast<double>(outage_expected)) << fate << " " << timeout_ms;
  }
}

TEST(LossPatternTest, TooManyAtOnceAreTakenEarlyAndNoneIsForgotten) {
  LossPattern losses(1, 1000 * kMs);
  for (uint32_t r = 0; r < 70000; ++r) losses.lost({r, 0, r});
  uint64_t taken = 0, bursts = 0;
  for (const bool end : {false, true}) {
    while (const auto loss = losses.due(0, end)) {
      ++taken;
      bursts += losses.take(*loss).new_burst;
    }
    EXPECT_EQ(taken, end ? 70000u : 70000u - 65536u);
  }
  EXPECT_EQ(bursts, 1u);
}

}  // namespace
}  // namespace todd::ping
