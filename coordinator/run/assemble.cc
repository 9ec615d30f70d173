#include "coordinator/run/assemble.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "coordinator/model/expect.h"
#include "engine/base/check.h"

namespace todd::run {
namespace {
using model::EdgeState;
using model::Verdict;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string name_of(const TestRun& test, const Slot& slot) {
  const model::Edge& edge = test.plan->edges[slot.edge];
  return test.first_slot[slot.edge + 1] - test.first_slot[slot.edge] > 1 ? slot.address : edge.target_name;
}

// What spoils a task's numbers so much that nothing may be concluded from them. Loss by this host's doing is
// told apart by the metric `undetermined`; here it only counts where it is more than a stray packet.
model::Quality judged(const Task& task) {
  constexpr double kLateMostS = 0.1;  // the pacer gives up on a ticket then
  model::Quality quality = task.quality;
  quality.lateness_p99_s = task.lateness.percentile(99) / 1e9;
  quality.clock_error_s = static_cast<double>(task.clock_error_ns) / 1e9;
  if (task.missing > 0 || !task.dropped.empty()) quality.causes.push_back("records_missing");
  if (quality.lateness_p99_s > kLateMostS) quality.causes.push_back("late_departures");
  if (quality.local_drops > 0 && quality.local_drops * 100 > task.sent)
    quality.causes.push_back("local_drops");
  quality.grade = quality.causes.empty() ? model::Grade::good : model::Grade::suspect;
  return quality;
}

uint64_t total_of(const TestRun& test, std::string_view name) {
  const auto& metrics = test.plan->testlet.metrics;
  for (uint32_t m = 0; m < metrics.size(); ++m) {
    if (metrics[m].name == name) return test.total.counter(m);
  }
  return 0;
}

uint64_t count_of(const model::EdgeData& data, const char* name) {
  const auto found = data.metrics.find(name);
  return found == data.metrics.end() ? 0 : found->second.counter;
}

// What an edge is called: what was decided, or before that how far it is.
EdgeState state_of(const Run& run, const Slot& slot) {
  if (slot.state) return *slot.state;
  if (slot.has_record) return EdgeState::running;
  if (slot.source_task == Slot::kNoTask) return EdgeState::waiting;
  const Task::Phase phase = run.tasks[slot.source_task]->phase;
  return phase == Task::Phase::running || phase == Task::Phase::ended ? EdgeState::running
                                                                      : EdgeState::waiting;
}

model::EdgeReport edge_report(const Run& run, const TestRun& test, const Slot& slot, model::EdgeData& data) {
  const model::Edge& edge = test.plan->edges[slot.edge];
  model::EdgeReport out;
  out.source_agent = edge.source.agent;
  out.source_groups = edge.source.groups;
  out.target_name = name_of(test, slot);
  out.target_groups = edge.target_agent.groups;
  out.target_agent = edge.target_agent.agent;
  out.address = slot.address;
  out.state = state_of(run, slot);
  data.name = out.label();
  data.has_data = slot.has_record && !slot.cells.empty();
  data.cut_short = out.state != EdgeState::complete;
  data.metrics = slot.cells.values(test.plan->testlet);
  if (slot.source_task != Slot::kNoTask && run.tasks[slot.source_task]->compact) data.row = model::Row::flat;
  out.metrics = model::to_report(test.plan->testlet, data.metrics, data.row);
  if (!data.has_data) out.metrics.clear();
  for (const auto& [name, value] : data.metrics) {
    if (value.kind == stats::Kind::info && !value.info.empty()) out.info[name] = value.info;
  }
  // A task's stamps and engine are those of the edges it measured, not of one that it could not.
  if (slot.has_record && slot.source_task != Slot::kNoTask) {
    const Task& task = *run.tasks[slot.source_task];
    out.quality = judged(task);
    // What share of the probes got lost is not known where many never left.
    if (count_of(data, "unsent") * 100 > count_of(data, "planned")) {
      out.quality.causes.push_back("unsent");
      out.quality.grade = model::Grade::suspect;
    }
    data.suspect = out.quality.grade == model::Grade::suspect;
    data.seconds = static_cast<double>(task.to_ns - task.from_ns) / 1e9;
  }
  if (slot.more) {
    out.reason = out.state == EdgeState::complete ? "" : slot.more->reason;
    out.detail = slot.more->detail;
    out.examples = slot.more->examples;
    out.periods = slot.more->periods;
    out.samples = slot.more->samples;
  }
  return out;
}

// Secrets of the params are not for reports.
std::map<std::string, std::string> shown_params(const model::TestPlan& plan) {
  std::map<std::string, std::string> params = plan.test.params;
  for (auto& [name, value] : params) {
    const manifest::Param* param = plan.testlet.param(name);
    if (param != nullptr && param->secret) value = "***";
  }
  return params;
}

void evaluate(const TestRun& test, const std::vector<model::EdgeData>& edges, model::TestReport& out) {
  model::EdgeData total;
  total.name = "total";
  total.metrics = test.total.values(test.plan->testlet);
  total.has_data = !test.total.empty();
  for (const model::EdgeData& edge : edges) total.seconds = std::max(total.seconds, edge.seconds);
  for (const model::Expectation& expectation : test.plan->expectations) {
    const model::Outcome outcome = model::evaluate(expectation, edges, total);
    out.expectations.push_back({expectation.text, expectation.severity, outcome.verdict, outcome.observed,
                                outcome.worst_edge, outcome.reason});
    out.verdict = model::combine(out.verdict, model::counted(expectation, outcome.verdict));
    if (expectation.scope == model::Expectation::Scope::total) continue;
    for (size_t e = 0; e < edges.size(); ++e) {
      out.edges[e].verdict = model::combine(
          out.edges[e].verdict, model::counted(expectation, model::evaluate_edge(expectation, edges[e])));
    }
  }
}
}  // namespace

model::TestReport assemble_test(const Run& run, const TestRun& test, bool ended) {
  const model::TestPlan& plan = *test.plan;
  model::TestReport out;
  out.name = plan.label;
  out.testlet = plan.testlet.id;
  out.testlet_version = plan.testlet.version;
  out.params = shown_params(plan);
  out.from = joined(plan.test.from.values);
  out.to = joined(plan.test.to.values);
  std::vector<model::EdgeData> data(test.slots.size());
  out.edges.reserve(test.slots.size());
  for (size_t s = 0; s < test.slots.size(); ++s)
    out.edges.push_back(edge_report(run, test, test.slots[s], data[s]));
  if (!test.total.empty()) out.total = model::to_report(plan.testlet, test.total.values(plan.testlet));
  if (run.request.check_only) return out;
  if (ended) {
    evaluate(test, data, out);
  } else if (!plan.expectations.empty()) {
    out.verdict = Verdict::unknown;
  }
  return out;
}

void conclude(const Run& run, model::Report& report) {
  uint64_t all = 0, complete = 0, measured = 0;
  std::string first;
  for (const model::TestReport& test : report.tests) {
    for (const model::EdgeReport& edge : test.edges) {
      ++all;
      complete += edge.state == EdgeState::complete;
      measured += edge.state == EdgeState::complete || edge.state == EdgeState::partial;
      if (edge.state != EdgeState::complete && first.empty()) {
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
    report.reason = std::to_string(all - complete) + " of " + std::to_string(all) +
                    " edges are not complete; the first is " + first;
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
  for (const TestRun& test : run.tests)
    add_test(out, test.report ? *test.report : assemble_test(run, test, false));
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
