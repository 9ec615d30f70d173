// Coordinated omission: what percentiles say when the target freezes, and when this host stalls. The expected
// ones follow from the freeze alone: of a probe that comes at any time, the wait exceeds w with probability
// (freeze - w) / period.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/schedule/schedule.h"
#include "engine/stats/histogram.h"
#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::Script;
using test::TestletHost;
using test::World;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;
constexpr int64_t kBase = 2 * kMs, kFreeze = 500 * kMs;
const todd_testlet& kPing = **todd_entry_v0.testlets;

// In the last half second of every period.
int64_t until_thaw(int64_t at_ns, int64_t period_ns) {
  const int64_t left = period_ns - at_ns % period_ns;
  return left <= kFreeze ? left : 0;
}

double analytic(double percentile, int64_t period_ns) {
  const double wait = static_cast<double>(kFreeze) - (1 - percentile) * static_cast<double>(period_ns);
  return static_cast<double>(kBase) + std::max(wait, 0.0);
}

struct CorrectedTest : testing::Test {
  World world;
  test::Options options;
  int64_t period_ns = 10 * kSecond;
  bool target_freezes = false, host_stalls = false;

  CorrectedTest() {
    options.targets[0].port = 0;
    options.timeout_ns = kSecond;
    options.slots = 128;  // the virtual host keeps them until the reply
    options.answer = [this](uint32_t, uint32_t, std::string_view) {
      return Answer{.delay_ns = kBase + (target_freezes ? until_thaw(world.now_ns, period_ns) : 0)};
    };
  }

  // A host that asks its pacer when a ticket is due, unless it is stalled.
  void run(TestletHost& host, const schedule::Plan& plan) {
    schedule::Pacer pacer{schedule::Schedule(plan)};
    ASSERT_EQ(host.start(), 0) << host.error_text;
    const int64_t start = world.now_ns;
    host.begin();
    std::array<schedule::Ticket, schedule::Pacer::kBurst> due;
    while (!pacer.done()) {
      world.run_for(std::max<int64_t>(0, pacer.next_due_ns() - world.now_ns));
      if (host_stalls) world.run_for(until_thaw(world.now_ns, period_ns));
      const size_t n = pacer.take(world.now_ns, start, due);
      for (size_t i = 0; i < n; ++i) host.ticket(due[i].target, due[i].round, due[i].due_ns);
      world.run_for(0);
    }
    world.run_for(2 * kSecond);
    EXPECT_EQ(pacer.skipped(), 0u);
    EXPECT_EQ(host.observed("rtt_corrected").size(), plan.count);
  }

  // As the report has it, from the engine's buckets.
  static double percentile(const TestletHost& host, const char* metric, double p) {
    stats::Histogram histogram;
    for (const uint64_t ns : host.observed(metric)) histogram.add(ns);
    return histogram.percentile(p);
  }

  void expect_analytic(const TestletHost& host, const char* metric) const {
    for (const double p : {0.95, 0.99, 0.999})
      EXPECT_NEAR(percentile(host, metric, 100 * p) / analytic(p, period_ns), 1, 0.05)
          << metric << " p" << 100 * p;
  }
};

TEST_F(CorrectedTest, AFreezeOfTheTargetIsInBoth) {
  target_freezes = true;
  period_ns = 10'003 * kMs;  // so that the probes meet the freeze at every point of it
  TestletHost host(world, kPing, options);
  run(host, {.targets = 1, .count = 100'000, .interval_ns = 10 * kMs});
  expect_analytic(host, "rtt");
  expect_analytic(host, "rtt_corrected");
}

TEST_F(CorrectedTest, AStallOfThisHostIsInTheCorrectedOneAlone) {
  host_stalls = true;
  period_ns = 10'003 * kMs;
  TestletHost host(world, kPing, options);
  run(host, {.targets = 1, .count = 100'000, .interval_ns = 60 * kMs});
  expect_analytic(host, "rtt_corrected");
  EXPECT_NEAR(percentile(host, "rtt", 99.9) / static_cast<double>(kBase), 1, 0.05)
      << "the network was never slow";
}

TEST_F(CorrectedTest, PoissonProbesSeeTheSame) {
  host_stalls = true;
  TestletHost host(world, kPing, options);
  run(host, {.targets = 1,
             .count = 100'000,
             .interval_ns = 60 * kMs,
             .seed = 3,
             .shape = schedule::Shape::poisson});
  expect_analytic(host, "rtt_corrected");
}

TEST_F(CorrectedTest, BothAtOnceAddUp) {
  host_stalls = target_freezes = true;
  TestletHost host(world, kPing, options);
  run(host, {.targets = 1, .count = 1000, .interval_ns = 100 * kMs});
  const auto rtt = host.observed("rtt"), corrected = host.observed("rtt_corrected");
  for (size_t i = 0; i < rtt.size(); ++i) EXPECT_GE(corrected[i], rtt[i]);
  EXPECT_NEAR(percentile(host, "rtt_corrected", 99.9) / analytic(0.999, period_ns), 1, 0.1);
}

TEST_F(CorrectedTest, HandshakesToo) {
  Script server;
  server.connect_ns = kBase;
  options.params = {{"mode", "tcp"}};
  options.targets[0].port = 80;
  options.connect = [&](uint32_t) { return &server; };
  host_stalls = true;
  TestletHost host(world, kPing, options);
  run(host, {.targets = 1, .count = 300, .interval_ns = 70 * kMs});
  const auto corrected = host.observed("rtt_corrected");
  EXPECT_EQ(*std::min_element(corrected.begin(), corrected.end()), static_cast<uint64_t>(kBase));
  EXPECT_GT(*std::max_element(corrected.begin(), corrected.end()), static_cast<uint64_t>(kBase + 400 * kMs));
  EXPECT_NEAR(percentile(host, "rtt", 100), kBase, kBase * 0.01);
}

TEST_F(CorrectedTest, WithoutAPaceNothingIsDue) {
  options.rate = HUGE_VAL;
  TestletHost host(world, kPing, options);
  ASSERT_EQ(host.start(), 0);
  host.begin();
  for (uint32_t r = 0; r < 3; ++r) host.ticket(0, r, world.now_ns);
  world.run_for(kSecond);
  EXPECT_EQ(host.observed("rtt").size(), 3u);
  EXPECT_TRUE(host.observed("rtt_corrected").empty());
}

}  // namespace
}  // namespace todd::ping
