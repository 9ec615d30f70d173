// What is said of edges that did not run to their end.
#include "harness.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::RunState;
using model::Verdict;

v1::Record cancelled_record(const manifest::Testlet& testlet, const v1::Task& task, uint64_t seq,
                            uint64_t probes) {
  v1::Record record = record_of(testlet, task, seq, true, probes, probes, probes > 0 ? 1 : 0);
  record.set_state("cancelled");
  record.set_detail("the agent was stopped");
  return record;
}

using EndingsTest = RunsTest;

TEST_F(EndingsTest, AResponderThatItsAgentStoppedMakesTheEdgePartial) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}}, {"loss < 100%"})})).value();
  const v1::Task source = bring_up("a", "b");
  runs->on_record("b", cancelled_record(echo, script.last("b", v1::RESPONDER), 1, 0));
  runs->on_record("a", record_of(echo, source, 1, true, 10, 5));
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::partial);
  EXPECT_EQ(done.tests[0].edges[0].reason, "responder_lost");
  EXPECT_EQ(done.tests[0].edges[0].detail, "b: the agent was stopped");
  EXPECT_EQ(done.state, RunState::partial);
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

// Stopped between the end of its sources and the word to stop, it has done its part.
TEST_F(EndingsTest, AResponderStoppedAfterItsSourcesEndedLosesNothing) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}}, {"loss < 100%"})})).value();
  const v1::Task source = bring_up("a", "b");
  runs->on_record("a", record_of(echo, source, 1, true, 10, 10));
  runs->on_record("b", cancelled_record(echo, script.last("b", v1::RESPONDER), 1, 0));
  EXPECT_EQ(report(id).tests[0].edges[0].state, EdgeState::complete);
  EXPECT_EQ(report(id).verdict, Verdict::pass);
}

// Echoes of ICMP are answered by the target's system: a responder that listens nowhere is not missed.
TEST_F(EndingsTest, AResponderThatListensNowhereTakesNothingAlong) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}}, {"loss < 100%"})})).value();
  const v1::Task responder = script.last("b", v1::RESPONDER);
  runs->on_ready("b", ready_of(responder));
  const v1::Task source = script.last("a", v1::SOURCE);
  runs->on_ready("a", ready_of(source));
  script.away.insert("b");
  runs->on_lost("b");
  runs->on_record("a", record_of(echo, source, 1, true, 10, 10));
  pass(60'000'000'000);
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::complete);
  EXPECT_EQ(done.state, RunState::completed);
  EXPECT_EQ(done.verdict, Verdict::pass);
}

TEST_F(EndingsTest, ASourceThatItsAgentStoppedIsPartialNotCancelled) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}, {"loss < 100%"})})).value();
  const v1::Task source = bring_up("a", "");
  runs->on_record("a", cancelled_record(echo, source, 1, 5));
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::partial);
  EXPECT_EQ(done.tests[0].edges[0].reason, "agent_lost");
  EXPECT_EQ(done.tests[0].edges[0].detail, "a: the agent was stopped");
  EXPECT_EQ(done.verdict, Verdict::unknown);
}

TEST_F(EndingsTest, RecordsThatTheAgentHadNoRoomForAreSaidToBeDropped) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}, {"loss < 100%"})})).value();
  const v1::Task source = bring_up("a", "");
  v1::Record empty;
  empty.set_task(source.id());
  empty.set_seq(1);
  empty.set_partial(true);
  empty.set_detail("700 bytes of results were dropped");
  runs->on_record("a", empty);
  runs->on_record("a", record_of(echo, source, 2, true, 5, 5));
  const model::EdgeReport edge = report(id).tests[0].edges[0];
  EXPECT_EQ(edge.state, EdgeState::partial);
  EXPECT_EQ(edge.reason, "local_resource");
  EXPECT_EQ(edge.detail, "a: 700 bytes of results were dropped");
  EXPECT_EQ(edge.quality.causes, std::vector<std::string>{"records_missing"});
}

// A dead worker's last state may fill several records; only the last one says what happened.
TEST_F(EndingsTest, WhatADeadWorkerLeftIsACrashAndNothingDropped) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  const v1::Task source = bring_up("a", "");
  for (const uint64_t seq : {1u, 2u}) {
    v1::Record record = record_of(echo, source, seq, seq == 2, 5, 5);
    record.set_partial(true);
    if (seq == 2) {
      record.set_state("error");
      record.set_reason("testlet_crashed");
      record.set_detail("the worker died of SIGSEGV");
    }
    runs->on_record("a", record);
  }
  const model::EdgeReport edge = report(id).tests[0].edges[0];
  EXPECT_EQ(edge.state, EdgeState::error);
  EXPECT_EQ(edge.reason, "testlet_crashed");
  EXPECT_EQ(edge.detail, "the worker died of SIGSEGV");
  EXPECT_TRUE(edge.quality.causes.empty());
}

// Measured from 0 it would be fifty years, and rate() next to nothing.
TEST_F(EndingsTest, ARecordThatDoesNotSayWhenItBeganGoesOnFromTheOneBefore) {
  const std::string id =
      runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}}, {"rate(received) <= 50"})}))
          .value();
  const v1::Task source = bring_up("a", "");
  v1::Record first = record_of(echo, source, 1, false, 100, 100);
  first.set_from_wall_ns(clock.wall_now_ns());
  first.set_to_wall_ns(clock.wall_now_ns() + 1'000'000'000);
  runs->on_record("a", first);
  v1::Record rest = record_of(echo, source, 2, true, 50, 50);
  rest.set_partial(true);
  rest.set_from_wall_ns(0);
  rest.set_to_wall_ns(clock.wall_now_ns() + 2'000'000'000);
  rest.set_state("error");
  rest.set_reason("testlet_crashed");
  runs->on_record("a", rest);
  const model::TestReport test = report(id).tests[0];
  EXPECT_EQ(test.edges[0].periods.at(1).seconds, 1);
  EXPECT_EQ(test.expectations[0].verdict, Verdict::fail);
  EXPECT_EQ(test.expectations[0].observed, "75/s");  // 150 in 2 s
}

using EndingsRestartTest = RestartTest;

TEST_F(EndingsRestartTest, AResponderThatListensNowhereIsKnownAfterARestart) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}})})).value();
  runs->on_ready("b", ready_of(script.last("b", v1::RESPONDER)));
  const v1::Task source = script.last("a", v1::SOURCE);
  runs->on_ready("a", ready_of(source));
  journal->commit();
  open_stores();
  script.away = {"b"};
  EXPECT_EQ(runs->recover(), 1u);
  runs->on_record("a", record_of(echo, source, 1, true, 10, 10));
  journal->commit();
  pass(60'000'000'000);
  EXPECT_EQ(report(id).tests[0].edges[0].state, EdgeState::complete);
}

}  // namespace
}  // namespace todd::run
