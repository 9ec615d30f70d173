// Runs whose coordinator was started anew.
#include "coordinator/run/runs.h"

#include <gtest/gtest.h>

#include "harness.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::RunState;
using model::Verdict;

TEST_F(RestartTest, AnOpenRunGoesOnAndCountsNothingTwice) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "b"}}, {"loss < 100%"}),
                                                  plan_of(echo, "after", 1, {{"a", "r1", false}})}))
                             .value();
  const v1::Task source = bring_up("a", "b");
  const v1::Task responder = script.last("b", v1::RESPONDER);
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  EXPECT_EQ(script.acked.count(source.id()), 0u);  // not before it is durable
  journal->commit();
  EXPECT_EQ(script.acked[source.id()], 1u);
  const size_t prepared = script.prepared.size();

  open_stores();
  script.away = {"a", "b"};
  EXPECT_EQ(runs->recover(), 1u);
  EXPECT_TRUE(runs->knows_task(source.id()));
  script.away.clear();
  runs->on_connected("a");
  runs->on_connected("b");
  EXPECT_EQ(script.prepared.size(), prepared);  // nothing begins again
  runs->on_record("a", record_of(echo, source, 1, false, 5, 5));
  runs->on_record("a", record_of(echo, source, 2, true, 5, 5));
  runs->on_record("b", record_of(echo, responder, 1, true, 0, 0, 0));
  journal->commit();
  EXPECT_EQ(report(id).tests[0].edges[0].metrics.at("sent").value, 10);
  EXPECT_EQ(report(id).tests[0].verdict, Verdict::pass);
  const v1::Task after = bring_up("a", "");
  EXPECT_EQ(after.targets(0).host(), "r1");
  runs->on_record("a", record_of(echo, after, 1, true, 3, 3));
  journal->commit();
  EXPECT_EQ(report(id).state, RunState::completed);
  for (int i = 0; i < 200 && report(id).delivery.at(0).state != "delivered"; ++i) loop.turn(20'000'000);
  EXPECT_EQ(report(id).delivery.at(0).delivered, 3u);
  EXPECT_EQ(lines(), 3u);

  open_stores();
  EXPECT_EQ(runs->recover(), 0u);
  EXPECT_EQ(report(id).delivery.at(0).delivered, 3u);
}

// Edges without a task are in the journal only as what became of them.
TEST_F(RestartTest, WhyAnEdgeCouldNotBePreparedIsKept) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0,
                                                          {{"a", "10.0.0.0/16", false},
                                                           {"d", "gone.example", false},
                                                           {"e", "there.example", false},
                                                           {"f", "192.0.2.8/29", false}})}))
                             .value();
  runs->on_failed("a", failed_of(script.last("a", v1::SOURCE), "permission", "grant CAP_NET_RAW"));
  v1::Ready gone = ready_of(script.last("d", v1::SOURCE));
  gone.add_endpoints()->set_error("gone.example: no such name");
  runs->on_ready("d", gone);
  const v1::Task e = script.last("e", v1::SOURCE);
  v1::Ready there = ready_of(e);
  there.add_endpoints()->set_address("192.0.2.9");
  there.mutable_endpoints(0)->set_resolve_ns(1'500'000);
  runs->on_ready("e", there);
  const v1::Task f = script.last("f", v1::SOURCE);
  const uintmax_t before = journal_bytes(id);
  runs->on_ready("f", ready_of(f));
  EXPECT_LT(journal_bytes(id) - before, 2000u);  // not 65,534 times the same

  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  runs->on_record("d", record_of(echo, script.last("d", v1::SOURCE), 1, true, 0, 0, 0));
  runs->on_record("e", record_of(echo, e, 1, true, 5, 5));
  runs->on_record("f", record_of(echo, f, 1, true, 5, 5, 6));
  journal->commit();
  const model::Report done = report(id);
  const auto& edges = done.tests.at(0).edges;
  ASSERT_EQ(edges.size(), 65'534u + 2 + 6);
  for (const size_t i : {size_t{0}, size_t{65'533}}) {
    EXPECT_EQ(edges[i].state, EdgeState::error);
    EXPECT_EQ(edges[i].reason, "permission");
    EXPECT_EQ(edges[i].detail, "grant CAP_NET_RAW");
  }
  EXPECT_EQ(edges[65'534].reason, "name_resolution");
  EXPECT_EQ(edges[65'535].address, "192.0.2.9");
  EXPECT_EQ(edges[65'535].resolve_s, 0.0015);
  EXPECT_EQ(edges[65'541].resolve_s, 0);
  EXPECT_EQ(edges[65'535].state, EdgeState::complete);
  EXPECT_EQ(edges[65'541].address, "192.0.2.14");
  EXPECT_EQ(edges[65'541].state, EdgeState::complete);
}

TEST_F(RestartTest, LongWordsOfManyEdgesAreKeptInSeveralEntries) {
  std::vector<PlannedEdge> edges{{"z", "r1", false}};
  for (int i = 0; i < 1500; ++i) edges.push_back({"a" + std::to_string(i), "r1", false});
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, edges)})).value();
  const v1::Task source = script.last("z", v1::SOURCE);
  const uintmax_t before = journal_bytes(id);
  for (const PlannedEdge& e : edges) {
    if (e.source == "z") continue;
    runs->on_failed(e.source, failed_of(script.last(e.source, v1::SOURCE), "bad_param",
                                        e.source + std::string(2000, '!')));
  }
  runs->on_ready("z", ready_of(source));
  EXPECT_GT(journal_bytes(id) - before, 2u << 20);
  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  runs->on_record("z", record_of(echo, source, 1, true, 5, 5));
  journal->commit();
  const model::Report done = report(id);
  EXPECT_EQ(done.tests[0].edges[0].state, EdgeState::complete);
  EXPECT_EQ(done.tests[0].edges[1500].reason, "bad_param");
  EXPECT_EQ(done.tests[0].edges[1500].detail.substr(0, 6), "a1499!");
}

TEST_F(RestartTest, WhyARunWasCancelledIsKept) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  bring_up("a", "");
  ASSERT_TRUE(runs->cancel(id, Runs::Because::deadline));
  journal->commit();
  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  pass(60'000'000'000);
  EXPECT_EQ(report(id).tests[0].edges[0].reason, "deadline");
}

TEST_F(RestartTest, TheDeadlineGoesOn) {
  const std::string id = runs->create(request_of({plan_of(echo, "lat", 0, {{"a", "r1", false}})})).value();
  bring_up("a", "");
  journal->commit();
  clock.now += 3'600'000'000'000;
  open_stores();
  EXPECT_EQ(runs->recover(), 1u);
  // An agent whose back-off had grown comes back within the half minute, with what it has kept.
  pass(31'000'000'000);
  EXPECT_EQ(report(id).state, RunState::running);
  pass(5'000'000'000);
  EXPECT_EQ(report(id).state, RunState::failed);
}

}  // namespace
}  // namespace todd::run
