// Tests with so many edges that their rows come as columns.
#include <gmock/gmock.h>

#include "coordinator/model/json.h"
#include "tests/unit/coordinator/run/harness.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::Verdict;
using testing::HasSubstr;

constexpr uint32_t kTargets = 8190;  // of a /19

bool lost(uint32_t edge) { return edge % 1000 == 7; }
bool empty(uint32_t edge) { return edge >= 5000 && edge < 5010; }
uint64_t rtt_of(uint32_t edge) { return 20'000 + uint64_t{edge} * (edge % 2 == 0 ? 1 : 1'000'000); }

class ManyEdgesTest : public RestartTest {
 protected:
  // Rows of the older form have something of every metric.
  ManyEdgesTest() {
    for (auto& metric : echo.metrics) metric.only_total = false;
  }
  // With the values of `rows` in the older form, row by row, or in blocks.
  v1::Record sweep(const v1::Task& task, bool in_blocks) const {
    v1::Record out;
    out.set_task(task.id());
    out.set_seq(1);
    out.set_from_wall_ns(1'800'000'000'000'000'000);
    out.set_to_wall_ns(1'800'000'001'000'000'000);
    out.set_last(true);
    out.set_state("complete");
    out.set_compact(true);
    for (uint32_t first = 0; first < kTargets; first += 3000) add(out, first, in_blocks);
    const auto total = [&](const char* name, uint64_t n) {
      v1::Cell* cell = out.add_totals();
      cell->set_metric(metric_index(echo, name));
      cell->set_counter(n);
    };
    total("sent", kTargets - 10);
    total("lost", 8);
    return out;
  }

  void add(v1::Record& out, uint32_t first, bool in_blocks) const {
    const uint32_t n = std::min(3000u, kTargets - first);
    v1::Block block;
    block.set_first(first);
    block.set_n(n);
    v1::Column one, received, lost_column, rtt;
    one.add_count(1);
    received.set_metric(metric_index(echo, "received"));
    lost_column.set_metric(metric_index(echo, "lost"));
    rtt.set_metric(metric_index(echo, "rtt"));
    for (uint32_t e = first; e < first + n; ++e) {
      if (empty(e)) block.add_empty(e - first);
      const bool answered = !empty(e) && !lost(e);
      received.add_count(answered);
      lost_column.add_count(!empty(e) && lost(e));
      rtt.add_count(answered);
      rtt.add_least(answered ? rtt_of(e) : 0);
      if (in_blocks || empty(e)) continue;
      v1::Row& row = *out.add_rows();
      row.set_edge(e);
      for (const char* name : {"planned", "sent", lost(e) ? "lost" : "received"}) {
        v1::Cell* cell = row.add_cells();
        cell->set_metric(metric_index(echo, name));
        cell->set_counter(1);
      }
      if (lost(e)) continue;
      v1::Cell* cell = row.add_cells();
      cell->set_metric(rtt.metric());
      cell->mutable_histogram()->set_count(1);
      for (const auto set : {&v1::Histogram::set_sum, &v1::Histogram::set_min, &v1::Histogram::set_max})
        (cell->mutable_histogram()->*set)(rtt_of(e));
    }
    if (!in_blocks) return;
    for (const char* name : {"planned", "sent"}) {
      if (block.empty().empty()) {
        one.set_metric(metric_index(echo, name));
        *block.add_columns() = one;
        continue;
      }
      v1::Column& all = *block.add_columns();
      all.set_metric(metric_index(echo, name));
      for (uint32_t e = first; e < first + n; ++e) all.add_count(!empty(e));
    }
    for (v1::Column* column : {&received, &lost_column, &rtt}) *block.add_columns() = *column;
    *out.add_blocks() = block;
  }

  model::TestPlan plan() const {
    return plan_of(echo, "sweep", 0, {{"a", "10.0.0.0/19", false}}, {"loss < 100%", "max(rtt) < 10s"});
  }

  model::Report run_sweep(bool in_blocks) {
    const std::string id = runs->create(request_of({plan()})).value();
    const v1::Task source = script.last("a", v1::SOURCE);
    runs->on_ready("a", ready_of(source));
    runs->on_record("a", sweep(source, in_blocks));
    for (int i = 0; i < 200 && report(id).state == model::RunState::running; ++i) loop.turn(20'000'000);
    return report(id);
  }
};

std::string json_of(const model::Report& report) {
  std::string lines;
  for (model::ReportLines text(report); text.next(lines);) {
  }
  const std::string id(report.id.size(), 'x');
  for (size_t at = 0; (at = lines.find(report.id, at)) != std::string::npos;)
    lines.replace(at, id.size(), id);
  return lines;
}

TEST_F(ManyEdgesTest, ColumnsSayWhatRowsSaid) {
  reset();
  const std::string blocks = json_of(run_sweep(true));
  reset();
  const std::string rows = json_of(run_sweep(false));
  EXPECT_EQ(blocks.size(), rows.size());
  EXPECT_TRUE(blocks == rows);
}

TEST_F(ManyEdgesTest, EveryEdgeHasItsOwn) {
  reset();
  const model::Report done = run_sweep(true);
  const model::TestReport& test = done.tests[0];
  ASSERT_EQ(test.edges.size(), kTargets);
  const model::EdgeReport edge = test.edges.at(4003);
  EXPECT_EQ(edge.address, "10.0.15.164");
  EXPECT_EQ(edge.target_name, "10.0.15.164");
  EXPECT_EQ(edge.state, EdgeState::complete);
  EXPECT_EQ(edge.verdict, Verdict::pass);
  EXPECT_DOUBLE_EQ(edge.metrics.at("rtt").max, static_cast<double>(rtt_of(4003)) / 1e9);
  EXPECT_EQ(test.edges.verdict(1007), Verdict::fail);
  EXPECT_EQ(test.edges.state(5003), EdgeState::no_data);
  EXPECT_EQ(test.edges.at(5003).reason, "testlet_failed");
  EXPECT_EQ(test.edges.verdict(5003), Verdict::unknown);
  uint64_t sent = 0, lost_probes = 0;
  for (const model::EdgeReport& e : test.edges) {
    if (e.metrics.empty()) continue;
    sent += static_cast<uint64_t>(e.metrics.at("sent").value);
    lost_probes += static_cast<uint64_t>(e.metrics.at("lost").value);
  }
  EXPECT_EQ(sent, test.total.at("sent").value);
  EXPECT_EQ(lost_probes, test.total.at("lost").value);
  const auto all = test.count_edges();
  EXPECT_EQ(all.ok, kTargets - 8 - 10);
  EXPECT_EQ(all.verdicts.at("fail"), 8u);
  EXPECT_EQ(all.states.at("no_data"), 10u);
  ASSERT_EQ(test.expectations.size(), 2u);
  EXPECT_EQ(test.expectations[0].worst_edge, "a → 10.0.0.8");
  EXPECT_EQ(test.expectations[1].worst_edge, "a → 10.0.31.254");
  EXPECT_EQ(done.state, model::RunState::partial);
  EXPECT_EQ(done.reason, "10 of 8190 edges are not complete");
  EXPECT_THAT(done.first_incomplete, HasSubstr("sweep, a → 10.0.19.137: "));
}

// As it is under way: what came so far, of a run that goes on.
TEST_F(ManyEdgesTest, ASnapshotStaysWhenTheRunGoesOn) {
  reset();
  const std::string id = runs->create(request_of({plan()})).value();
  const v1::Task source = script.last("a", v1::SOURCE);
  runs->on_ready("a", ready_of(source));
  v1::Record record = sweep(source, true);
  record.set_last(false);
  runs->on_record("a", record);
  const auto now = runs->report(id).value();
  record.clear_blocks();
  record.set_seq(2);
  record.set_last(true);
  runs->on_record("a", record);
  EXPECT_EQ(now->tests[0].edges.state(0), EdgeState::running);
  EXPECT_EQ(now->tests[0].edges.at(0).metrics.at("sent").value, 1);
  EXPECT_EQ(now->tests[0].verdict, Verdict::unknown);
  EXPECT_EQ(report(id).tests[0].edges.state(0), EdgeState::complete);
}

TEST_F(ManyEdgesTest, TheStoreKeepsEveryEdge) {
  const model::Report done = run_sweep(true);
  EXPECT_EQ(done.tests[0].edges.size(), kTargets);
  const auto read = finished->get(done.id);
  ASSERT_TRUE(read) << read.error().detail;
  EXPECT_EQ((*read)->tests[0].edges.size(), kTargets);
  EXPECT_EQ((*read)->tests[0].edges.at(4003).metrics.at("rtt").count, 1u);
}

TEST_F(ManyEdgesTest, BlocksThatLieAreTakenAsFarAsTheyGo) {
  reset();
  const std::string id = runs->create(request_of({plan()})).value();
  const v1::Task source = script.last("a", v1::SOURCE);
  runs->on_ready("a", ready_of(source));
  v1::Record record = sweep(source, true);
  record.mutable_blocks(0)->set_n(UINT32_MAX);
  record.mutable_blocks(1)->set_first(UINT32_MAX);
  record.mutable_blocks(2)->mutable_columns(2)->set_metric(99);
  record.mutable_blocks(2)->mutable_empty()->Add(UINT32_MAX);
  record.mutable_blocks(2)->mutable_empty()->Add(0);
  runs->on_record("a", record);
  EXPECT_EQ(report(id).tests[0].edges.size(), kTargets);
}

}  // namespace
}  // namespace todd::run
