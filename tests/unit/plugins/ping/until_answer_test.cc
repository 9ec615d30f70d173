// Param until_answer: a target that has answered needs no more, whatever the mode.
#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>

#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::Script;
using test::Target;
using test::TestletHost;
using test::World;

constexpr int64_t kMs = 1'000'000;
constexpr uint32_t kRounds = 5;
const todd_testlet& kPing = **todd_entry_v0.testlets;

struct Options : test::Options {
  explicit Options(const char* mode) {
    params = {{"until_answer", "true"}, {"mode", mode}};
    targets = {Target{.port = 80}, Target{.port = 80, .family = 6}, Target{.port = 80}};
    if (mode == std::string("icmp"))
      for (Target& target : targets) target.port = 0;
    timeout_ns = 300 * kMs;
  }
};

// Target 0 answers the first probe, target 1 the third, target 2 none.
struct UntilAnswerTest : testing::TestWithParam<const char*> {
  World world;
  Options options{GetParam()};
  int64_t delay_ns = 5 * kMs;
  Script open, closed;
  std::map<uint32_t, uint32_t> connects;

  void SetUp() override {
    options.answer = [this](uint32_t target, uint32_t round, std::string_view) {
      return answers(target, round) ? Answer{.delay_ns = delay_ns} : Answer{.result = -ETIMEDOUT};
    };
    closed.connect_result = -ECONNREFUSED;
    options.connect = [this](uint32_t target) {
      open.connect_ns = delay_ns;
      return answers(target, connects[target]++) ? &open : &closed;
    };
  }
  static bool answers(uint32_t target, uint32_t round) { return target == 0 || (target == 1 && round >= 2); }
  void tickets(TestletHost& host, int64_t interval_ns) {
    for (uint32_t round = 0; round < kRounds; ++round)
      for (uint32_t target = 0; target < 3; ++target)
        host.ticket(target, round, world.now_ns + round * interval_ns);
  }
  static std::vector<uint32_t> probes(const TestletHost& host) {
    std::vector<uint32_t> n(3);
    for (const todd_op& op : host.operations)
      if (op.code == TODD_OP_EXCHANGE || op.code == TODD_OP_CONNECT) ++n[op.target];
    return n;
  }
  void expect_one_three_all(const TestletHost& host) {
    EXPECT_EQ(probes(host), (std::vector<uint32_t>{1, 3, kRounds}));
    EXPECT_TRUE(host.finished_target(0));
    EXPECT_TRUE(host.finished_target(1));
    EXPECT_FALSE(host.finished_target(2));
    EXPECT_EQ(host.observed("rtt", 0).size(), 1u);
    EXPECT_EQ(host.observed("rtt", 1).size(), 1u);
    EXPECT_EQ(host.counter("loss_bursts", 0), 0u);
    EXPECT_EQ(host.counter("loss_bursts", 1), 1u);
    EXPECT_EQ(host.gauge("longest_loss_burst", 2), double{kRounds});
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, UntilAnswerTest, testing::Values("icmp", "udp", "tcp"),
                         [](const auto& mode) { return std::string(mode.param); });

TEST_P(UntilAnswerTest, NoMoreIsSentToATargetThatHasAnswered) {
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 400 * kMs);
  world.run_for(3000 * kMs);
  host.drain();
  world.run_for(1000 * kMs);
  EXPECT_TRUE(host.finished());
  EXPECT_EQ(host.dropped_tickets(), 0u);
  expect_one_three_all(host);
}

// The answer and the next ticket come in one batch.
TEST_P(UntilAnswerTest, ATicketThatComesWithTheAnswerIsPassedOver) {
  delay_ns = 400 * kMs;
  options.timeout_ns = 500 * kMs;
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 400 * kMs);
  world.run_for(4000 * kMs);
  host.drain();
  world.run_for(1000 * kMs);
  EXPECT_EQ(probes(host), (std::vector<uint32_t>{1, 3, kRounds}));
  EXPECT_EQ(host.dropped_tickets(), 0u);
}

// Several are under way when the first answer comes: each is measured.
TEST_P(UntilAnswerTest, WhatIsUnderWayIsMeasured) {
  delay_ns = 25 * kMs;
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 10 * kMs);
  world.run_for(1000 * kMs);
  host.drain();
  world.run_for(1000 * kMs);
  EXPECT_EQ(probes(host)[0], 3u);
  EXPECT_EQ(host.observed("rtt", 0).size(), 3u);
  EXPECT_TRUE(host.finished());
}

TEST_P(UntilAnswerTest, SeveralFlowsAreOneTarget) {
  if (GetParam() == std::string("icmp")) GTEST_SKIP() << "ICMP has no flows";
  options.params["flows"] = "2";
  options.params["source_port"] = "40000";
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 400 * kMs);
  world.run_for(3000 * kMs);
  host.drain();
  world.run_for(1000 * kMs);
  expect_one_three_all(host);
  EXPECT_EQ(host.tally("flow_sent", "40000", 0), 1u);
  EXPECT_EQ(host.tally("flow_sent", "40001", 0), 0u);
}

TEST_P(UntilAnswerTest, WhatAnsweredInTheWarmUpIsProbedAgain) {
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.warm_up();
  tickets(host, 10 * kMs);
  world.run_for(1000 * kMs);
  const uint32_t warm = probes(host)[0];
  EXPECT_EQ(warm, 1u);
  connects.clear();
  host.begin();
  tickets(host, 400 * kMs);
  world.run_for(3000 * kMs);
  EXPECT_EQ(probes(host)[0], warm + 1);
}

// As fast as it goes, what is not served is offered again: not to a target that has answered.
TEST_P(UntilAnswerTest, AsFastAsItGoes) {
  if (GetParam() == std::string("tcp")) GTEST_SKIP() << "fifteen handshakes begin at once";
  options.rate = HUGE_VAL;
  options.slots = 3;
  options.cap_op = 3;
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 0);
  world.run_for(3000 * kMs);
  host.drain();
  world.run_for(1000 * kMs);
  EXPECT_LT(probes(host)[0], kRounds);
  EXPECT_EQ(probes(host)[2], kRounds);
}

TEST_P(UntilAnswerTest, WithoutItAllAreSent) {
  options.params.erase("until_answer");
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 400 * kMs);
  world.run_for(3000 * kMs);
  EXPECT_EQ(probes(host), (std::vector<uint32_t>{kRounds, kRounds, kRounds}));
}

}  // namespace
}  // namespace todd::ping
