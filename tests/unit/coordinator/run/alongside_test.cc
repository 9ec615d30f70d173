// Tests that go along with others.
#include "coordinator/run/runs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::RunState;
using model::Verdict;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSettleMs = 1100;  // of a timeout of 1 s

// An echo that goes along with the test of that plan. Its loads are as heavy as they like: they take no turn.
model::TestPlan beside(const manifest::Testlet& testlet, const model::TestPlan& main,
                       const std::vector<std::string>& expect = {}, const std::string& name = "echo") {
  model::TestPlan plan = plan_of(testlet, main.label + "+" + name, main.step, {});
  plan.edges = main.edges;
  plan.at_once = main.at_once;
  plan.alongside = main.label;
  plan.host = model::host_params_of(plan).value();
  for (const std::string& text : expect)
    plan.expectations.push_back(model::parse_expectation(text, testlet, true).value());
  return plan;
}

// A period from so many ms to so many ms after a moment, with ten probes.
v1::Record period(const manifest::Testlet& testlet, const v1::Task& task, uint64_t seq, int64_t zero_wall_ns,
                  int64_t from_ms, int64_t to_ms, uint64_t rtt_ms, bool last = false) {
  v1::Record record = record_of(testlet, task, seq, last, 10, 10, 1, rtt_ms * static_cast<uint64_t>(kMs));
  record.set_from_wall_ns(zero_wall_ns + from_ms * kMs);
  record.set_to_wall_ns(zero_wall_ns + to_ms * kMs);
  return record;
}

// One heavy test from a to a host, and an echo alongside.
class AlongsideRunTest : public RestartTest {
 protected:
  manifest::Testlet bulk = heavy_one();
  static manifest::Testlet heavy_one() {
    manifest::Testlet testlet = probe_testlet(false, true);
    testlet.id = "bulk";
    return testlet;
  }
  manifest::Testlet probe = probe_testlet(false);

  // Of the last `prepared`, that of the testlet.
  v1::Task task_of(const std::string& agent, const std::string& testlet) const {
    for (auto it = script.prepared.rbegin(); it != script.prepared.rend(); ++it)
      if (it->agent == agent && it->task.testlet() == testlet) return it->task;
    return {};
  }
  int64_t start_of(const v1::Task& task) const {
    for (const auto& [what, at] : script.started)
      if (what.ends_with(" " + task.id())) return at;
    return 0;
  }
  bool told_to_stop(const v1::Task& task) const {
    return std::any_of(script.stopped.begin(), script.stopped.end(),
                       [&](const std::string& what) { return what.ends_with(" " + task.id()); });
  }
  std::vector<model::TestPlan> plans(const std::vector<std::string>& expect = {}) const {
    const model::TestPlan first = plan_of(bulk, "bulk", 0, {{"a", "r.example", false}});
    return {first, beside(probe, first, expect)};
  }
  // Both run then.
  std::string begin(std::vector<model::TestPlan> with) {
    const std::string id = runs->create(request_of(std::move(with))).value();
    main = task_of("a", "bulk");
    runs->on_ready("a", ready_of(main));
    echo_task = task_of("a", "echo");
    runs->on_ready("a", ready_of(echo_task));
    start = start_of(main);
    return id;
  }
  void echo_period(uint64_t seq, int64_t from_ms, int64_t to_ms, uint64_t rtt_ms, bool last = false) {
    runs->on_record("a", period(probe, echo_task, seq, start, from_ms, to_ms, rtt_ms, last));
    journal->commit();
  }
  void bulk_period(uint64_t seq, int64_t from_ms, int64_t to_ms, bool last = false) {
    runs->on_record("a", period(bulk, main, seq, start, from_ms, to_ms, 7, last));
    journal->commit();
  }

  v1::Task main, echo_task;
  int64_t start = 0;
};

TEST_F(AlongsideRunTest, IsPreparedBehindTheOtherAndStartsAhead) {
  const std::string id = runs->create(request_of(plans())).value();
  main = task_of("a", "bulk");
  EXPECT_EQ(task_of("a", "echo").id(), "") << "first it must be known that the other will run";
  v1::Ready ready = ready_of(main);
  ready.add_endpoints()->set_address("192.0.2.77");
  runs->on_ready("a", ready);
  EXPECT_THAT(script.started, IsEmpty());
  echo_task = task_of("a", "echo");
  ASSERT_EQ(echo_task.targets_size(), 1);
  EXPECT_EQ(echo_task.targets(0).host(), "192.0.2.77") << "the same, whatever the name gives now";
  EXPECT_EQ(echo_task.schedule().count(), 0u);
  // To be ended by the coordinator, and by itself a while after all has gone as planned (1 s, and the
  // timeouts).
  EXPECT_GT(echo_task.schedule().duration_ns(), 6'100 * kMs);
  EXPECT_LT(echo_task.schedule().duration_ns(), 20'000 * kMs);
  EXPECT_GT(echo_task.deadline_ns(), echo_task.schedule().duration_ns() + echo_task.schedule().timeout_ns());
  runs->on_ready("a", ready_of(echo_task));
  EXPECT_EQ(start_of(echo_task), clock.wall_now_ns() + 50 * kMs);
  EXPECT_EQ(start_of(main), start_of(echo_task) + 2000 * kMs);
  EXPECT_EQ(report(id).tests.at(1).edges[0].address, "192.0.2.77");
  EXPECT_EQ(report(id).tests.at(1).alongside, "bulk");
}

TEST_F(AlongsideRunTest, WhatLiesWhollyInAWindowIsOfIt) {
  const std::string id = begin(plans({"p50(loaded.rtt) < 100ms", "total: p50(idle.rtt) < 5ms",
                                      "max(idle.rtt) < 2ms", "loaded.responsiveness > 600"}));
  echo_period(1, -2000, -1000, 1);
  echo_period(2, -1000, 0, 3);
  echo_period(3, -10, 90, 500);  // the other began amid it
  echo_period(4, 90, 1000, 80);
  EXPECT_THAT(report(id).tests[1].edges[0].loaded, IsEmpty()) << "who knows how long the other ran";
  bulk_period(1, 0, 1000);
  echo_period(5, 1000, 1900, 120);
  EXPECT_EQ(report(id).tests[1].edges[0].loaded.at("rtt").count, 10u);
  echo_period(6, 1900, 2100, 500);  // it ends amid it
  bulk_period(2, 1000, 2000, true);
  EXPECT_FALSE(told_to_stop(echo_task));
  echo_period(7, 2100, 2000 + kSettleMs + 50, 500);  // may have answers of then
  echo_period(8, 2000 + kSettleMs + 50, 3900, 1);
  pass((kSettleMs + 999) * kMs);
  EXPECT_FALSE(told_to_stop(echo_task));
  pass(kMs);
  EXPECT_THAT(script.stopped, Contains("a " + echo_task.id())) << "not cancelled: it ends well";
  EXPECT_EQ(report(id).state, RunState::running);
  echo_period(9, 3900, 4200, 2, true);

  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::completed) << done.reason;
  ASSERT_EQ(done.tests.size(), 2u);
  const model::EdgeReport edge = done.tests[1].edges[0];
  EXPECT_EQ(edge.state, EdgeState::complete);
  EXPECT_EQ(edge.metrics.at("rtt").count, 90u);
  EXPECT_EQ(edge.idle.at("rtt").count, 40u);
  EXPECT_EQ(edge.idle.at("sent").value, 40);
  EXPECT_NEAR(edge.idle.at("rtt").max, 0.003, 1e-4);
  EXPECT_EQ(edge.loaded.at("rtt").count, 20u);
  EXPECT_NEAR(edge.loaded.at("rtt").mean, 0.1, 1e-9);
  EXPECT_NEAR(edge.loaded.at("responsiveness").value, 600, 1e-6);
  EXPECT_EQ(done.tests[1].loaded.at("rtt").count, 20u);
  EXPECT_THAT(done.tests[0].edges[0].idle, IsEmpty());
  const auto& expectations = done.tests[1].expectations;
  ASSERT_EQ(expectations.size(), 4u);
  EXPECT_EQ(expectations[0].verdict, Verdict::pass);
  EXPECT_EQ(expectations[1].verdict, Verdict::pass);
  EXPECT_EQ(expectations[2].verdict, Verdict::fail);
  EXPECT_EQ(expectations[2].observed, "3 ms");
  EXPECT_EQ(expectations[3].verdict, Verdict::fail);
  EXPECT_EQ(expectations[3].worst_edge, "a → r.example");
}

// A test that goes on to wait for its answers is no load any more.
TEST_F(AlongsideRunTest, TheOtherLoadsNoLongerThanPlanned) {
  auto both = plans();
  both[0].host.count = 0;
  both[0].host.duration_ns = 1500 * kMs;
  const std::string id = begin(std::move(both));
  echo_period(1, 0, 1500, 50);
  echo_period(2, 1500, 1900, 1);
  bulk_period(1, 0, 2500, true);
  pass(3000 * kMs);
  echo_period(3, 3700, 4000, 1, true);
  EXPECT_EQ(report(id).tests[1].edges[0].loaded.at("rtt").count, 10u);
  EXPECT_EQ(report(id).tests[1].edges[0].idle.at("rtt").count, 10u);
}

TEST_F(AlongsideRunTest, AnEdgeWithoutAnythingInAWindowIsUnknown) {
  const std::string id = begin(plans({"p50(idle.rtt) < 5ms", "p50(loaded.rtt) < 5ms"}));
  echo_period(1, -1000, 10, 1);
  echo_period(2, 10, 900, 1);
  bulk_period(1, 0, 1000, true);
  pass(3000 * kMs);
  echo_period(3, 900, 2500, 1, true);
  EXPECT_EQ(report(id).tests[1].expectations[0].verdict, Verdict::unknown);
  EXPECT_EQ(report(id).tests[1].expectations[0].reason, "a → r.example: nothing was measured while idle");
  EXPECT_EQ(report(id).tests[1].expectations[1].verdict, Verdict::pass);
  EXPECT_EQ(report(id).tests[1].edges[0].verdict, Verdict::unknown);
}

TEST_F(AlongsideRunTest, OneThatFailsLeavesTheOtherAlone) {
  const std::string id = runs->create(request_of(plans({"p50(loaded.rtt) < 5ms"}))).value();
  main = task_of("a", "bulk");
  runs->on_ready("a", ready_of(main));
  runs->on_failed("a", failed_of(task_of("a", "echo"), "permission", "grant CAP_NET_RAW"));
  start = start_of(main);
  EXPECT_EQ(start, clock.wall_now_ns() + 50 * kMs) << "there is nobody to wait for";
  bulk_period(1, 0, 1000, true);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.verdict, Verdict::unknown);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::complete);
  EXPECT_EQ(done.tests[1].edges[0].state, EdgeState::error);
  EXPECT_EQ(done.tests[1].edges[0].reason, "permission");
  EXPECT_EQ(done.first_incomplete, "bulk+echo, a → r.example: grant CAP_NET_RAW");
}

TEST_F(AlongsideRunTest, OneThatDiesLeavesTheOtherAlone) {
  const std::string id = begin(plans());
  echo_period(1, -2000, -1000, 1);
  runs->on_failed("a", failed_of(echo_task, "testlet_crashed"));
  journal->commit();
  EXPECT_EQ(report(id).state, RunState::running);
  bulk_period(1, 0, 1000, true);
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::complete);
  EXPECT_EQ(done.tests[1].edges[0].reason, "testlet_crashed");
  EXPECT_EQ(done.tests[1].edges[0].idle.at("rtt").count, 10u);
}

TEST_F(AlongsideRunTest, WithoutTheOtherItIsNotRun) {
  const std::string id = runs->create(request_of(plans())).value();
  runs->on_failed("a", failed_of(task_of("a", "bulk"), "bad_param", "no"));
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::failed);
  EXPECT_EQ(done.tests[0].edges[0].reason, "bad_param");
  EXPECT_EQ(done.tests[1].edges[0].state, EdgeState::skipped);
  EXPECT_EQ(done.tests[1].edges[0].reason, "main_not_run");
  EXPECT_EQ(done.tests[1].edges[0].detail, "bulk did not run");
  EXPECT_EQ(task_of("a", "echo").id(), "");
}

TEST_F(AlongsideRunTest, TheOtherMayDieWhileItIsPrepared) {
  const std::string id = runs->create(request_of(plans())).value();
  main = task_of("a", "bulk");
  runs->on_ready("a", ready_of(main));
  runs->on_failed("a", failed_of(main, "testlet_crashed"));
  echo_task = task_of("a", "echo");
  runs->on_ready("a", ready_of(echo_task));
  EXPECT_THAT(script.started, IsEmpty());
  EXPECT_THAT(script.stopped, Contains("a " + echo_task.id() + " cancel"));
  EXPECT_EQ(report(id).tests[0].edges[0].reason, "testlet_crashed");
  EXPECT_EQ(report(id).tests[1].edges[0].reason, "main_not_run");
}

// Edges of a test that takes no turns are one unit: those that it cannot test are left out.
TEST_F(AlongsideRunTest, OnlyTheEdgesThatTheOtherRunsOnAreTested) {
  model::TestPlan light = plan_of(probe, "light", 0, {{"a", "r1", false}, {"b", "r2", false}});
  const std::string id = runs->create(request_of({light, beside(probe, light)})).value();
  runs->on_failed("b", failed_of(script.last("b", v1::SOURCE), "bad_param", "no"));
  const v1::Task other = script.last("a", v1::SOURCE);
  runs->on_ready("a", ready_of(other));
  EXPECT_EQ(script.count(v1::SOURCE), 3u);
  const v1::Task own = script.last("a", v1::SOURCE);
  runs->on_ready("a", ready_of(own));
  EXPECT_EQ(script.started.size(), 2u);
  EXPECT_EQ(report(id).tests[1].edges[1].detail, "light does not run on it");
  EXPECT_EQ(report(id).tests[1].edges[0].state, EdgeState::running);
}

// The next edge of a heavy test would be load on the agent while it is to be idle.
TEST_F(AlongsideRunTest, TheTurnIsKeptUntilAllHaveEnded) {
  const model::TestPlan two = plan_of(bulk, "bulk", 0, {{"a", "r1", false}, {"a", "r2", false}});
  const std::string id = begin({two, beside(probe, two)});
  echo_period(1, 0, 900, 1);
  bulk_period(1, 0, 1000, true);
  pass(3000 * kMs);
  EXPECT_EQ(task_of("a", "bulk").id(), main.id());
  echo_period(2, 900, 4000, 1, true);
  const v1::Task next = task_of("a", "bulk");
  EXPECT_NE(next.id(), main.id());
  EXPECT_EQ(next.targets(0).host(), "r2");
  EXPECT_EQ(report(id).tests[1].edges[0].state, EdgeState::complete);
  EXPECT_EQ(report(id).tests[1].edges[1].state, EdgeState::waiting);
}

TEST_F(AlongsideRunTest, SeveralStartEachByItsOwnTime) {
  auto three = plans();
  three.push_back(beside(probe, three[0], {}, "near"));
  three[1].test.before_ns = 5000 * kMs;
  runs->create(request_of(three)).value();
  main = task_of("a", "bulk");
  runs->on_ready("a", ready_of(main));
  const size_t n = script.prepared.size();
  const v1::Task far = script.prepared[n - 2].task, near = script.prepared[n - 1].task;
  runs->on_ready("a", ready_of(near));
  EXPECT_THAT(script.started, IsEmpty());
  runs->on_ready("a", ready_of(far));
  EXPECT_EQ(start_of(far), clock.wall_now_ns() + 50 * kMs);
  EXPECT_EQ(start_of(near), start_of(far) + 3000 * kMs);
  EXPECT_EQ(start_of(main), start_of(far) + 5000 * kMs);
}

TEST_F(AlongsideRunTest, TheOtherMayDieWhileSeveralArePrepared) {
  auto three = plans();
  three.push_back(beside(probe, three[0], {}, "late"));
  const std::string id = runs->create(request_of(three)).value();
  main = task_of("a", "bulk");
  runs->on_ready("a", ready_of(main));
  const size_t n = script.prepared.size();
  const v1::Task first = script.prepared[n - 2].task, late = script.prepared[n - 1].task;
  runs->on_failed("a", failed_of(main, "testlet_crashed"));
  runs->on_ready("a", ready_of(first));
  runs->on_ready("a", ready_of(late));
  EXPECT_EQ(report(id).state, RunState::failed);
  for (const size_t t : {1u, 2u}) EXPECT_EQ(report(id).tests[t].edges[0].reason, "main_not_run");
}

TEST_F(AlongsideRunTest, ACheckPreparesBothAndStartsNone) {
  Request request = request_of(plans());
  request.check_only = true;
  const std::string id = runs->create(std::move(request)).value();
  runs->on_ready("a", ready_of(task_of("a", "bulk")));
  runs->on_ready("a", ready_of(task_of("a", "echo")));
  EXPECT_THAT(script.started, IsEmpty());
  EXPECT_EQ(report(id).state, RunState::completed);
  EXPECT_EQ(report(id).tests[1].edges[0].detail, "both ends are ready");
}

TEST_F(AlongsideRunTest, CancelledItEndsAtEveryPointOfIts) {
  for (int point = 0; point < 4; ++point) {
    const std::string id = runs->create(request_of(plans())).value();
    main = task_of("a", "bulk");
    if (point >= 1) runs->on_ready("a", ready_of(main));
    if (point >= 2) {
      echo_task = task_of("a", "echo");
      runs->on_ready("a", ready_of(echo_task));
      start = start_of(main);
    }
    if (point >= 3) bulk_period(1, 0, 1000, true);
    ASSERT_TRUE(runs->cancel(id));
    pass(3000 * kMs);
    EXPECT_EQ(report(id).state, RunState::cancelled) << point;
    EXPECT_EQ(report(id).tests[1].edges[0].state, EdgeState::cancelled) << point;
  }
}

TEST_F(AlongsideRunTest, AnAgentThatIsLostEndsBothInTime) {
  const std::string id = begin(plans());
  echo_period(1, -2000, -1000, 1);
  script.away = {"a"};
  pass(60'000 * kMs);
  pass(60'000 * kMs);
  pass(60'000 * kMs);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.tests[0].edges[0].reason, "agent_lost");
  EXPECT_EQ(done.tests[1].edges[0].reason, "agent_lost");
}

TEST_F(AlongsideRunTest, ARestartChangesNothing) {
  const std::string id = begin(plans({"p50(loaded.rtt) < 100ms"}));
  echo_period(1, -2000, -1000, 1);
  echo_period(2, 0, 900, 80);
  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  bulk_period(1, 0, 1000, true);
  open_stores();  // once more, behind the other's end
  EXPECT_EQ(runs->recover(), 1u);
  EXPECT_FALSE(told_to_stop(echo_task));
  pass(3000 * kMs);
  EXPECT_TRUE(told_to_stop(echo_task));
  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  echo_period(3, 900, 4000, 1, true);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::completed) << done.reason;
  EXPECT_EQ(done.tests[1].edges[0].idle.at("rtt").count, 10u);
  EXPECT_EQ(done.tests[1].edges[0].loaded.at("rtt").count, 10u);
  EXPECT_EQ(done.tests[1].expectations[0].verdict, Verdict::pass);
}

TEST_F(AlongsideRunTest, ARestartBeforeTheStartBeginsBothAnew) {
  const std::string id = runs->create(request_of(plans())).value();
  runs->on_ready("a", ready_of(task_of("a", "bulk")));
  journal->commit();
  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  runs->on_connected("a");
  main = task_of("a", "bulk");
  runs->on_ready("a", ready_of(main));
  echo_task = task_of("a", "echo");
  runs->on_ready("a", ready_of(echo_task));
  start = start_of(main);
  EXPECT_EQ(start, start_of(echo_task) + 2000 * kMs);
  EXPECT_EQ(report(id).state, RunState::running);
}

TEST_F(AlongsideRunTest, OneWithOtherEdgesIsRefused) {
  auto both = plans();
  both[1].edges.clear();
  const auto id = runs->create(request_of(both));
  ASSERT_FALSE(id);
  EXPECT_EQ(id.error().detail, "test \"bulk+echo\" does not go along with \"bulk\": it has other edges");
}

}  // namespace
}  // namespace todd::run
