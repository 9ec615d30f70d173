#include "coordinator/run/assemble.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "coordinator/model/expect.h"
#include "coordinator/model/plan.h"
#include "coordinator/run/edges.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::Verdict;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

uint64_t total_of(const TestRun& test, std::string_view name) {
  const auto& metrics = test.plan->testlet.metrics;
  for (uint32_t m = 0; m < metrics.size(); ++m) {
    if (metrics[m].name == name) return test.total.counter(m);
  }
  return 0;
}

// What becomes of a test's report once its edges are known.
void evaluate(const TestRun& test, RunEdges& edges, model::TestReport& out) {
  model::EdgeData total;
  total.name = "total";
  total.metrics = test.total.values(test.plan->testlet);
  total.has_data = !test.total.empty();
  const auto& expectations = test.plan->expectations;
  const auto outcomes = edges.evaluate(expectations, total);
  for (size_t e = 0; e < expectations.size(); ++e) {
    const model::Outcome& outcome = outcomes[e];
    out.expectations.push_back({expectations[e].text, expectations[e].severity, outcome.verdict,
                                outcome.observed, outcome.worst_edge, outcome.reason});
    out.verdict = model::combine(out.verdict, model::counted(expectations[e], outcome.verdict));
  }
}

// All but its edges.
model::TestReport frame_of(const TestRun& test) {
  const model::TestPlan& plan = *test.plan;
  model::TestReport out;
  out.name = plan.label;
  out.testlet = plan.testlet.id;
  out.testlet_version = plan.testlet.version;
  out.params = model::params_of(plan);
  out.alongside = plan.alongside;
  out.from = joined(plan.test.from.values);
  out.to = joined(plan.test.to.values);
  if (!test.total.empty()) out.total = model::to_report(plan.testlet, test.total.values(plan.testlet));
  return out;
}

void add_windows(const RunEdges& edges, model::TestReport& out) {
  if (out.alongside.empty()) return;
  out.idle = edges.window_total(model::Window::idle);
  out.loaded = edges.window_total(model::Window::loaded);
}
}  // namespace

model::TestReport assemble_test(const Run& run, const TestRun& test) {
  model::TestReport out = frame_of(test);
  const auto edges = std::make_shared<const RunEdges>(run, test, EdgeTable(test), test.plan->edges);
  add_windows(*edges, out);
  out.edges = model::EdgeReports(edges);
  if (!run.request.check_only && !test.plan->expectations.empty()) out.verdict = Verdict::unknown;
  return out;
}

model::TestReport conclude_test(const Run& run, TestRun& test) {
  model::TestReport out = frame_of(test);
  EdgeTable& table = test;
  auto edges = std::make_shared<RunEdges>(run, test, std::exchange(table, {}), std::move(test.plan->edges));
  if (!run.request.check_only) evaluate(test, *edges, out);
  add_windows(*edges, out);
  out.edges = model::EdgeReports(std::move(edges));
  return out;
}

void conclude(const Run& run, model::Report& report) {
  uint64_t all = 0, complete = 0, measured = 0;
  std::string first;
  for (const model::TestReport& test : report.tests) {
    for (size_t i = 0; i < test.edges.size(); ++i) {
      const EdgeState state = test.edges.state(i);
      ++all;
      complete += state == EdgeState::complete;
      measured += state == EdgeState::complete || state == EdgeState::partial;
      if (state != EdgeState::complete && first.empty()) {
        const model::EdgeReport edge = test.edges.at(i);
        first = test.name + ", " + edge.label() + ": " + (edge.detail.empty() ? edge.reason : edge.detail);
      }
    }
  }
  if (run.cancelled) {
    report.state = model::RunState::cancelled;
    report.reason = run.overdue ? run.cancel_detail() : "cancelled";
    // What was not run might have failed.
    if (report.verdict == Verdict::pass) report.verdict = Verdict::unknown;
    return;
  }
  report.state = complete == all ? model::RunState::completed
                 : measured > 0  ? model::RunState::partial
                                 : model::RunState::failed;
  if (complete < all) {
    report.reason = std::to_string(all - complete) + " of " + std::to_string(all) + " edges are not complete";
    report.first_incomplete = std::move(first);
  }
}

namespace {
// All but its tests.
model::Report assemble_frame(const Run& run) {
  model::Report out;
  out.id = run.id;
  out.suite = run.request.suite;
  out.spec_digest = run.request.spec_digest;
  out.trigger = run.request.trigger;
  out.labels = run.request.labels;
  out.check = run.request.check_only;
  out.state = model::RunState::running;
  out.started_at_ns = run.started_wall_ns;
  out.warnings = run.warnings;
  for (const auto& [what, agents] : run.lacking)
    out.warnings.push_back(joined({agents.begin(), agents.end()}) + ": " + what);
  for (const model::Facts& facts : run.request.agents) {
    model::AgentReport agent;
    agent.name = facts.agent;
    agent.id = facts.id;
    agent.version = facts.version;
    if (const auto engine = run.agent_engines.find(facts.agent); engine != run.agent_engines.end())
      agent.engine = engine->second;
    if (const auto why = run.agent_reasons.find(facts.agent); why != run.agent_reasons.end())
      agent.reason = why->second;
    out.agents.push_back(std::move(agent));
  }
  return out;
}

void add_test(model::Report& out, model::TestReport test) {
  out.verdict = model::combine(out.verdict, test.verdict);
  out.tests.push_back(std::move(test));
}
}  // namespace

model::Report assemble_run(const Run& run) {
  model::Report out = assemble_frame(run);
  for (const TestRun& test : run.tests) add_test(out, test.report ? *test.report : assemble_test(run, test));
  return out;
}

model::Report assemble_ended(Run& run) {
  model::Report out = assemble_frame(run);
  for (TestRun& test : run.tests) add_test(out, std::move(*test.report));
  return out;
}

TestProgress progress_of(const TestRun& test) {
  TestProgress out;
  out.name = test.plan->label;
  out.edges = test.report ? test.report->edges.size() : test.slots.size();
  out.edges_done = test.done;
  out.sent = total_of(test, "sent");
  out.received = total_of(test, "received");
  return out;
}

}  // namespace todd::run
