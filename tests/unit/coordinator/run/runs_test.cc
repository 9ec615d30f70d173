#include "coordinator/run/runs.h"

#include <gtest/gtest.h>

#include "harness.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::RunState;
using model::Verdict;

TEST_F(RunsTest, PreparesStartsMergesAndJudges) {
  script.quality.worst_rtt_ns = 40'000'000;
  script.qualities = {{"a", {.offset_ns = 1000, .error_ns = 30, .worst_rtt_ns = 40'000'000}},
                      {"b", {.offset_ns = 5000, .error_ns = 12, .worst_rtt_ns = 40'000'000}}};
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}}, {"loss <= 10%", "p50(rtt) < 5ms"})}))
          .value();
  const v1::Task responder = script.last("b", v1::RESPONDER);
  ASSERT_EQ(responder.peers_size(), 1);
  EXPECT_EQ(responder.listen_first(), 7500u);
  EXPECT_EQ(script.count(v1::SOURCE), 0u);  // not before the responder listens
  runs->on_ready("b", ready_of(responder, 7533));
  const v1::Task source = script.last("a", v1::SOURCE);
  ASSERT_EQ(source.targets_size(), 1);
  EXPECT_EQ(source.targets(0).port(), 7533u);
  EXPECT_EQ(source.targets(0).host(), "192.0.2.7");
  EXPECT_NE(source.targets(0).peer_token(), 0u);
  EXPECT_EQ(source.targets(0).peer_token(), responder.peers(0).token());
  EXPECT_TRUE(source.targets(0).clock_known());
  EXPECT_EQ(source.targets(0).clock_offset_ns(), 4000);  // what b's clock is ahead of a's
  EXPECT_EQ(source.targets(0).clock_error_ns(), 42);
  EXPECT_TRUE(script.started.empty());
  runs->on_ready("a", ready_of(source));
  ASSERT_EQ(script.started.size(), 2u);
  EXPECT_EQ(script.started[0].second, clock.wall_now_ns() + 120'000'000);  // 3x the worst RTT
  EXPECT_EQ(script.started[0].second, script.started[1].second);

  runs->on_record("a", record_of(echo, source, 1, false, 6, 6));
  EXPECT_EQ(report(id).state, RunState::running);
  runs->on_record("a", record_of(echo, source, 2, true, 4, 3));
  EXPECT_EQ(script.acked[source.id()], 2u);
  ASSERT_EQ(script.stopped.size(), 1u);  // now the responder may go
  EXPECT_EQ(script.stopped[0], "b " + responder.id());
  v1::Record end = record_of(echo, responder, 1, true, 0, 0, 0);
  runs->on_record("b", end);

  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::completed) << done.reason;
  EXPECT_EQ(done.verdict, Verdict::pass);
  const model::EdgeReport& edge = done.tests.at(0).edges.at(0);
  EXPECT_EQ(edge.state, EdgeState::complete);
  EXPECT_EQ(edge.metrics.at("sent").value, 10);
  EXPECT_NEAR(edge.metrics.at("loss").value, 0.1, 1e-9);
  EXPECT_NEAR(edge.metrics.at("rtt").p50, 0.002, 0.0001);
  EXPECT_EQ(edge.periods.size(), 2u);
  EXPECT_FALSE(runs->knows_task(source.id()));
}

TEST_F(RunsTest, WhatIsDroppedIsSaid) {
  RunsOptions few;
  few.max_samples = 3;
  runs = std::make_unique<Runs>(loop, script, clock, few);
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task source = bring_up("a", "");
  for (const uint64_t seq : {1u, 2u}) {
    v1::Record record = record_of(echo, source, seq, seq == 2, 5, 5);
    record.mutable_quality()->set_samples_dropped(seq * 10);  // so far
    record.mutable_quality()->set_unmatched(seq);
    record.mutable_quality()->set_lane_cpu_ns(seq * 100'000'000);
    record.mutable_quality()->set_worker_cpu_ns(seq * 250'000'000);
    record.mutable_quality()->set_other_tasks(3 - static_cast<uint32_t>(seq));
    record.add_samples();
    record.add_samples();
    runs->on_record("a", record);
  }
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].edges[0].quality.samples_dropped, 20u);
  const model::Quality& quality = done.tests[0].edges[0].quality;
  EXPECT_EQ(quality.unmatched, 3u);
  EXPECT_DOUBLE_EQ(quality.lane_cpu_s, 0.3);
  EXPECT_DOUBLE_EQ(quality.worker_cpu_s, 0.75);
  EXPECT_EQ(quality.other_tasks, 2u);
  EXPECT_GT(quality.measured_s, 0);
  EXPECT_EQ(done.tests[0].edges[0].samples.size(), 3u);
  EXPECT_EQ(done.warnings, std::vector<std::string>{"only the first 3 samples are kept"});
}

// Nobody misses the periods of a wide test whose edges have one each, or of a report without periods.
TEST_F(RunsTest, PeriodsThatNobodyMissesAreNotMourned) {
  RunsOptions few;
  few.max_periods = 3;
  runs = std::make_unique<Runs>(loop, script, clock, few);
  const std::string wide =
      runs->create(request_of({plan_of(echo, "wide", 0, {{"a", "192.0.2.0/29", false}})})).value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 1, true, 1, 1, 6));
  EXPECT_TRUE(report(wide).warnings.empty());
  const std::string longer =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task longer_source = bring_up("a", "");
  for (uint64_t seq = 1; seq <= 4; ++seq)
    runs->on_record("a", record_of(echo, longer_source, seq, seq == 4, 1, 1));
  EXPECT_EQ(report(longer).warnings, std::vector<std::string>{"only the first 3 periods are kept"});
  EXPECT_TRUE((*runs->report(longer, false))->warnings.empty());
}

// Half of the probes got lost on this host: nothing is known of the other half.
TEST_F(RunsTest, WhatDidNotLeaveProvesNothing) {
  for (const auto& [unsent, verdict] : {std::pair{1u, Verdict::pass}, {2u, Verdict::unknown}}) {
    const std::string id =
        runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "192.0.2.1", false}}, {"loss < 1%"})}))
            .value();
    const v1::Task source = bring_up("a", "");
    v1::Record record = record_of(echo, source, 1, true, 100, 100);
    v1::Cell* cell = record.mutable_rows(0)->add_cells();
    cell->set_metric(metric_index(echo, "unsent"));
    cell->set_counter(unsent);
    runs->on_record("a", record);
    const model::Report done = report(id);
    EXPECT_EQ(done.verdict, verdict) << unsent;
    EXPECT_EQ(done.tests[0].edges[0].quality.causes,
              unsent > 1 ? std::vector<std::string>{"unsent"} : std::vector<std::string>{});
  }
}

// Its metrics are shown while it runs, so no word may say that nothing came.
TEST_F(RunsTest, EdgesUnderWayAreWaitingThenRunning) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}}),
                                                  plan_of(echo, "later", 1, {{"a", "b"}})}))
                             .value();
  EXPECT_EQ(report(id).tests[0].edges[0].state, EdgeState::waiting);
  const v1::Task source = bring_up("a", "b");
  EXPECT_EQ(report(id).tests[0].edges[0].state, EdgeState::running);
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  const model::Report now = report(id);
  EXPECT_EQ(now.tests[0].edges[0].state, EdgeState::running);
  EXPECT_EQ(now.tests[0].edges[0].reason, "");
  EXPECT_EQ(now.tests[0].edges[0].metrics.at("sent").value, 5);
  EXPECT_EQ(now.tests[1].edges[0].state, EdgeState::waiting);
}

TEST_F(RunsTest, RepeatedRecordsCountOnce) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  runs->on_record("x", record_of(echo, source, 2, false, 5, 5));  // not its agent
  runs->on_record("a", record_of(echo, source, 2, true, 5, 5));
  runs->on_record("a", record_of(echo, source, 2, true, 5, 5));  // after the end: acknowledged all the same
  EXPECT_EQ(report(id).tests[0].edges[0].metrics.at("sent").value, 10);
  EXPECT_EQ(script.acked[source.id()], 2u);
}

TEST_F(RunsTest, MissingRecordsMakeAnEdgePartialAndItsVerdictUnknown) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}, {"loss < 100%"})})).value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 3, true, 5, 5));
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::partial);
  EXPECT_EQ(done.tests[0].edges[0].quality.grade, model::Grade::suspect);
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

TEST_F(RunsTest, FailedResponderIsAnErrorOfItsEdgesOnly) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}, {"a", "c"}}, {"loss < 100%"})})).value();
  runs->on_failed("b", failed_of(script.last("b", v1::RESPONDER), "local_resource", "no free port"));
  runs->on_ready("c", ready_of(script.last("c", v1::RESPONDER), 7500));
  const v1::Task source = script.last("a", v1::SOURCE);
  ASSERT_EQ(source.targets_size(), 1);
  runs->on_ready("a", ready_of(source));
  runs->on_record("a", record_of(echo, source, 1, true, 5, 5));
  runs->on_record("c", record_of(echo, script.last("c", v1::RESPONDER), 1, true, 0, 0, 0));
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::error);
  EXPECT_EQ(done.tests[0].edges[0].reason, "responder_failed");
  EXPECT_NE(done.tests[0].edges[0].detail.find("no free port"), std::string::npos);
  EXPECT_EQ(done.tests[0].edges[1].state, EdgeState::complete);
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

// The responder is prepared first, so it is the one to say that values do not fit together.
TEST_F(RunsTest, ValuesThatAResponderRefusesAreABadParam) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}})})).value();
  runs->on_failed("b", failed_of(script.last("b", v1::RESPONDER), "bad_param", "size and sizes exclude"));
  const model::EdgeReport edge = report(id).tests[0].edges[0];
  EXPECT_EQ(edge.state, EdgeState::error);
  EXPECT_EQ(edge.reason, "bad_param");
  EXPECT_NE(edge.detail.find("size and sizes exclude"), std::string::npos) << edge.detail;
}

TEST_F(RunsTest, TheRunNamesWhoLacksASecret) {
  const std::string id =
      runs->create(
              request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}, {"b", "r1", false}, {"c", "d"}})}))
          .value();
  runs->on_failed("d",
                  failed_of(script.last("d", v1::RESPONDER), "secret_missing", "secret \"db\": not there"));
  runs->on_ready("a", ready_of(script.last("a", v1::SOURCE)));
  runs->on_failed("b", failed_of(script.last("b", v1::SOURCE), "secret_missing", "secret \"db\": not there"));
  runs->on_record("a", record_of(echo, script.last("a", v1::SOURCE), 1, true, 5, 5));
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::complete);
  EXPECT_EQ(done.tests[0].edges[1].reason, "secret_missing");
  EXPECT_EQ(done.tests[0].edges[1].detail, "secret \"db\": not there");
  EXPECT_EQ(done.tests[0].edges[2].reason, "secret_missing") << "of a responder too";
  EXPECT_EQ(done.warnings, std::vector<std::string>{"b, d: secret \"db\": not there"});
}

TEST_F(RunsTest, ResponderDyingMidRunIsResponderLost) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}})})).value();
  const v1::Task source = bring_up("a", "b");
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  runs->on_failed("b", failed_of(script.last("b", v1::RESPONDER), "testlet_crashed", "SIGSEGV"));
  runs->on_record("a", record_of(echo, source, 2, true, 5, 0));
  const model::EdgeReport edge = report(id).tests[0].edges[0];
  EXPECT_EQ(edge.state, EdgeState::error);
  EXPECT_EQ(edge.reason, "responder_lost");
  EXPECT_EQ(edge.metrics.at("sent").value, 10);
}

TEST_F(RunsTest, FailedSourceKeepsWhatItMeasured) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  runs->on_failed("a", failed_of(source, "made up word"));
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::failed);
  EXPECT_EQ(done.tests[0].edges[0].reason, "internal");  // the set is closed
  EXPECT_EQ(done.tests[0].edges[0].metrics.at("sent").value, 5);
}

TEST_F(RunsTest, AgentLostMidRunMayReturnAndDeliver) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task source = bring_up("a", "");
  script.away.insert("a");
  runs->on_lost("a");
  pass(1'500'000'000);
  EXPECT_EQ(report(id).state, RunState::running);
  script.away.clear();
  const size_t starts = script.started.size();
  runs->on_connected("a");
  EXPECT_EQ(script.started.size(), starts + 1);  // the last command again
  runs->on_record("a", record_of(echo, source, 1, true, 10, 10));
  EXPECT_EQ(report(id).state, RunState::completed);
}

TEST_F(RunsTest, DeadAgentsNeverPass) {
  const std::string id =
      runs->create(request_of(
                       {plan_of(echo, "lat", 0, {{"a", "r1", false}, {"d", "r1", false}}, {"loss < 100%"})}))
          .value();
  bring_up("d", "");
  const v1::Task source = bring_up("a", "");
  script.away.insert("d");
  runs->on_lost("d");
  runs->on_record("a", record_of(echo, source, 1, true, 10, 10));
  for (int s = 0; s < 20 && report(id).state == RunState::running; ++s) pass(1'000'000'000);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.tests[0].edges[1].state, EdgeState::no_data);
  EXPECT_EQ(done.tests[0].edges[1].reason, "agent_lost");
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

TEST_F(RunsTest, AnAgentThatIsAwayAtTheStartDelaysNobody) {
  script.away.insert("b");
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"b", "r1", false}}, {"loss < 100%"})})).value();
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::failed);
  EXPECT_EQ(done.tests[0].edges[0].reason, "agent_offline");
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

TEST_F(RunsTest, SilenceWhilePreparingEndsAtTheDeadline) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  pass(9'000'000'000);
  EXPECT_EQ(report(id).state, RunState::running);
  pass(2'000'000'000);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::failed);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::error);
  EXPECT_EQ(done.tests[0].edges[0].reason, "deadline");
}

TEST_F(RunsTest, TestsOfAStepRunTogetherAndStepsInOrder) {
  const std::string id = runs->create(request_of({plan_of(echo, "one", 0, {{"a", "r1", false}}),
                                                  plan_of(echo, "two", 0, {{"a", "r2", false}}),
                                                  plan_of(echo, "three", 1, {{"a", "r3", false}})}))
                             .value();
  ASSERT_EQ(script.prepared.size(), 2u);
  const v1::Task one = script.prepared[0].task, two = script.prepared[1].task;
  for (const v1::Task& task : {one, two}) runs->on_ready("a", ready_of(task));
  runs->on_record("a", record_of(echo, one, 1, true, 1, 1));
  EXPECT_EQ(script.prepared.size(), 2u);
  runs->on_record("a", record_of(echo, two, 1, true, 1, 1));
  ASSERT_EQ(script.prepared.size(), 3u);
  EXPECT_EQ(script.prepared[2].task.targets(0).host(), "r3");
  EXPECT_EQ(report(id).state, RunState::running);
}

TEST_F(RunsTest, HeavyEdgesTakeTurnsOverAllRuns) {
  const manifest::Testlet heavy = probe_testlet(true, true);
  std::vector<std::string> waiting;
  const auto heard = runs->subscribe([&](const Event& event) {
    if (event.kind == Event::Kind::run_waiting) waiting.push_back(event.waiting);
  });
  const std::string first =
      runs->create(request_of({plan_of(heavy, "bulk", 0, {{"a", "b"}, {"c", "b"}})})).value();
  const std::string second =
      runs->create(request_of({plan_of(heavy, "bulk", 0, {{"b", "d"}, {"e", "f"}})})).value();
  // a to b holds a and b: c to b and b to d wait; e to f does not touch them.
  EXPECT_EQ(script.count(v1::RESPONDER), 2u);
  loop.turn(10'000'000);
  ASSERT_EQ(waiting.size(), 1u);
  EXPECT_EQ(waiting[0], "waiting for run " + first.substr(0, 13) + " on b");
  const v1::Task source = bring_up("a", "b");
  const v1::Task responder = script.last("b", v1::RESPONDER);
  runs->on_record("a", record_of(heavy, source, 1, true, 1, 1));
  runs->on_record("b", record_of(heavy, responder, 1, true, 0, 0, 0));
  // The older run goes first.
  EXPECT_EQ(script.count(v1::RESPONDER), 3u);
  EXPECT_EQ(script.last("b", v1::RESPONDER).peers(0).name(), "c");
  const v1::Task next = bring_up("c", "b");
  runs->on_record("c", record_of(heavy, next, 1, true, 1, 1));
  runs->on_record("b", record_of(heavy, script.last("b", v1::RESPONDER), 1, true, 0, 0, 0));
  EXPECT_EQ(report(first).state, RunState::completed);
  EXPECT_EQ(script.last("d", v1::RESPONDER).peers(0).name(), "b");
}

// The wait for another run's turn is bounded, the wait for one's own edges is not.
TEST_F(RunsTest, EdgesWaitForTheirOwnTestAsLongAsItTakes) {
  const manifest::Testlet heavy = probe_testlet(false, true);
  model::TestPlan longer = plan_of(heavy, "bulk", 0, {{"a", "r1", false}, {"a", "r2", false}});
  longer.host.count = 0;
  longer.host.duration_ns = 7'200'000'000'000;
  const std::string first = runs->create(request_of({longer})).value();
  const v1::Task r1 = bring_up("a", "");
  pass(3'700'000'000'000);
  runs->on_record("a", record_of(heavy, r1, 1, true, 1, 1));
  const v1::Task r2 = bring_up("a", "");
  EXPECT_EQ(r2.targets(0).host(), "r2");

  // Another run waits for this one, gets the turn after half an hour, and takes an hour for its first edge.
  const std::string second = runs->create(request_of({longer})).value();
  pass(1'800'000'000'000);
  runs->on_record("a", record_of(heavy, r2, 1, true, 1, 1));
  EXPECT_EQ(report(first).state, RunState::completed);
  const v1::Task own = bring_up("a", "");
  EXPECT_EQ(own.targets(0).host(), "r1");
  pass(3'600'000'000'000);
  runs->on_record("a", record_of(heavy, own, 1, true, 1, 1));
  const v1::Task last = bring_up("a", "");
  EXPECT_EQ(last.targets(0).host(), "r2");
  runs->on_record("a", record_of(heavy, last, 1, true, 1, 1));
  EXPECT_EQ(report(second).state, RunState::completed) << report(second).reason;
}

// The first test passed; what the second would have said nobody knows.
TEST_F(RunsTest, ACancelledRunNeverPasses) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}, {"loss < 100%"}),
                               plan_of(echo, "late", 1, {{"a", "r1", false}})}))
          .value();
  runs->on_record("a", record_of(echo, bring_up("a", ""), 1, true, 5, 5));
  ASSERT_TRUE(runs->cancel(id));
  pass(2'100'000'000);
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].verdict, Verdict::pass);
  EXPECT_EQ(done.state, RunState::cancelled);
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

TEST_F(RunsTest, CancelKeepsWhatCameAndEndsAfterTwoSeconds) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}, {"loss < 100%"}),
                               plan_of(echo, "late", 1, {{"a", "r1", false}})}))
          .value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  ASSERT_TRUE(runs->cancel(id));
  EXPECT_EQ(script.stopped.back(), "a " + source.id() + " cancel");
  EXPECT_EQ(report(id).state, RunState::running);
  pass(2'100'000'000);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::cancelled);
  EXPECT_EQ(done.verdict, Verdict::unknown);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::cancelled);
  EXPECT_EQ(done.tests[0].edges[0].metrics.at("sent").value, 5);
  EXPECT_EQ(done.tests[1].edges[0].state, EdgeState::cancelled);
  EXPECT_EQ(runs->cancel(id).error().code, Errc::exists);
  EXPECT_EQ(runs->cancel("nope").error().code, Errc::not_found);
}

TEST_F(RunsTest, ARunThatItsDeadlineEndsSaysSo) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}),
                                                  plan_of(echo, "late", 1, {{"a", "r1", false}})}))
                             .value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  ASSERT_TRUE(runs->cancel(id, Runs::Because::deadline));
  pass(2'100'000'000);
  const model::Report done = report(id);
  EXPECT_EQ(done.state, RunState::cancelled);
  EXPECT_EQ(done.reason, "the deadline of the run passed");
  for (const model::TestReport& test : done.tests) {
    EXPECT_EQ(test.edges[0].state, EdgeState::cancelled);
    EXPECT_EQ(test.edges[0].reason, "deadline");
  }
}

TEST_F(RunsTest, CheckPreparesBothEndsAndStartsNothing) {
  Request request = request_of({plan_of(echo, "lat", 0, {{"a", "b"}}, {"loss < 1%"})});
  request.check_only = true;
  const std::string id = runs->create(std::move(request)).value();
  bring_up("a", "b");
  EXPECT_TRUE(script.started.empty());
  EXPECT_EQ(script.stopped.size(), 2u);
  const model::Report done = report(id);
  EXPECT_TRUE(done.check);
  EXPECT_EQ(done.state, RunState::completed);
  EXPECT_EQ(done.verdict, Verdict::none);
}

TEST_F(RunsTest, ANetworkBecomesOneEdgePerAddress) {
  model::TestPlan plan = plan_of(echo, "sweep", 0, {{"a", "192.0.2.0/30", false}}, {"loss < 100%"});
  const std::string id = runs->create(request_of({plan})).value();
  const v1::Task source = script.last("a", v1::SOURCE);
  ASSERT_EQ(source.targets_size(), 1);  // it travels as one
  runs->on_ready("a", ready_of(source));
  v1::Record record = record_of(echo, source, 1, true, 4, 4, 2);
  record.mutable_rows(1)->mutable_cells(2)->set_counter(0);  // received
  record.mutable_rows(1)->mutable_cells(3)->set_counter(4);  // lost
  runs->on_record("a", record);
  const model::Report done = report(id);
  ASSERT_EQ(done.tests[0].edges.size(), 2u);
  EXPECT_EQ(done.tests[0].edges[0].address, "192.0.2.1");
  EXPECT_EQ(done.tests[0].edges[1].target_name, "192.0.2.2");
  EXPECT_EQ(done.tests[0].edges[0].verdict, Verdict::pass);
  EXPECT_EQ(done.tests[0].edges[1].verdict, Verdict::fail);
  EXPECT_EQ(done.verdict, Verdict::fail);
  EXPECT_EQ(done.tests[0].total.at("sent").value, 8);
}

TEST_F(RunsTest, UnresolvedNamesAreErrorsOfTheirEdge) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "gone.example", false}})})).value();
  const v1::Task source = script.last("a", v1::SOURCE);
  v1::Ready ready = ready_of(source);
  ready.add_endpoints()->set_error("gone.example: no such name");
  runs->on_ready("a", ready);
  v1::Record record = record_of(echo, source, 1, true, 0, 0, 0);
  runs->on_record("a", record);
  const model::EdgeReport edge = report(id).tests[0].edges[0];
  EXPECT_EQ(edge.reason, "name_resolution");
  EXPECT_FALSE(edge.quality.grade);
  EXPECT_EQ(edge.quality.tx_stamp, "");
}

TEST_F(RunsTest, WhatAnAgentRefusesIsDenied) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "192.0.2.0/29", false}, {"a", "r1", false}})}))
          .value();
  const v1::Task source = script.last("a", v1::SOURCE);
  v1::Ready ready = ready_of(source);
  v1::Endpoint& refused = *ready.add_endpoints();
  refused.set_edge(1);
  refused.set_edges(1'000'000);  // no more than there are
  refused.set_error("refused");
  refused.set_reason("denied");
  runs->on_ready("a", ready);
  runs->on_record("a", record_of(echo, source, 1, true, 5, 5));
  const model::Report done = report(id);
  const auto& edges = done.tests[0].edges;
  ASSERT_EQ(edges.size(), 7u);
  EXPECT_EQ(edges[0].state, EdgeState::complete);
  for (size_t i = 1; i < edges.size(); ++i) EXPECT_EQ(edges[i].reason, "denied") << i;
  EXPECT_EQ(edges[6].detail, "refused");
}

TEST_F(RunsTest, TheReportSaysHowLongANameTook) {
  const std::string id =
      runs->create(request_of(
                       {plan_of(echo, "lat", 0, {{"a", "there.example", false}, {"a", "192.0.2.8", false}})}))
          .value();
  const v1::Task source = script.last("a", v1::SOURCE);
  v1::Ready ready = ready_of(source);
  v1::Endpoint& there = *ready.add_endpoints();
  there.set_address("192.0.2.9");
  there.set_resolve_ns(2'500'000);
  runs->on_ready("a", ready);
  runs->on_record("a", record_of(echo, source, 1, true, 5, 5, 2));
  const model::Report done = report(id);
  const auto& edges = done.tests[0].edges;
  EXPECT_EQ(edges[0].address, "192.0.2.9");
  EXPECT_EQ(edges[0].resolve_s, 0.0025);
  EXPECT_EQ(edges[1].resolve_s, 0);
}

// The quality of a task is that of what it sent; an edge it never probed has none.
TEST_F(RunsTest, AnEdgeThatWasNotMeasuredClaimsNoQuality) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "gone.example", false}, {"a", "r1", false}})}))
          .value();
  const v1::Task source = script.last("a", v1::SOURCE);
  v1::Ready ready = ready_of(source);
  ready.add_endpoints()->set_error("gone.example: no such name");
  runs->on_ready("a", ready);
  v1::Record record = record_of(echo, source, 1, true, 5, 5);
  record.mutable_rows(0)->set_edge(1);
  record.mutable_quality()->set_tx_stamp("kernel");
  runs->on_record("a", record);
  const model::TestReport test = report(id).tests[0];
  EXPECT_FALSE(test.edges[0].quality.grade);
  EXPECT_EQ(test.edges[0].quality.tx_stamp, "");
  EXPECT_EQ(test.edges[1].quality.grade, model::Grade::good);
  EXPECT_EQ(test.edges[1].quality.tx_stamp, "kernel");
}

TEST_F(RunsTest, EventsTellTheStory) {
  std::vector<std::string> seen;
  const auto heard = runs->subscribe([&](const Event& event) { seen.push_back(event_name(event.kind)); });
  runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  pass(300'000'000);
  runs->on_record("a", record_of(echo, source, 2, true, 5, 5));
  loop.turn(10'000'000);
  EXPECT_EQ(seen, (std::vector<std::string>{"run.started", "run.progress", "test.finished", "run.finished"}));
}

TEST_F(RunsTest, ResolvesIds) {
  EXPECT_EQ(runs->resolve("last").error().code, Errc::not_found);
  script.away.insert("a");
  const std::string one = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  clock.now += 5'000'000'000'000;
  const std::string two = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  EXPECT_EQ(runs->resolve("last").value(), two);
  EXPECT_EQ(runs->resolve("health~1").value(), two);
  EXPECT_EQ(runs->resolve("health~2").value(), one);
  EXPECT_EQ(runs->resolve("health~3").error().code, Errc::not_found);
  EXPECT_EQ(runs->resolve("health~0").error().code, Errc::invalid);
  EXPECT_EQ(runs->resolve(one.substr(0, 13)).value(), one);
  EXPECT_EQ(runs->resolve(one.substr(0, 4)).error().code, Errc::invalid);
}

TEST_F(RunsTest, NothingToRunIsRefused) {
  EXPECT_EQ(runs->create(request_of({})).error().code, Errc::invalid);
}

}  // namespace
}  // namespace todd::run
