#include "coordinator/run/edges.h"

#include <algorithm>
#include <utility>

namespace todd::run {
namespace {
using model::EdgeState;
using model::Verdict;

uint32_t metric_index(const manifest::Testlet& testlet, std::string_view name) {
  const auto& metrics = testlet.metrics;
  const auto found =
      std::find_if(metrics.begin(), metrics.end(), [&](const auto& metric) { return metric.name == name; });
  return static_cast<uint32_t>(found - metrics.begin());
}
}  // namespace

// Loss by this host's doing is told apart by the metric `undetermined`; here it only counts where it is more
// than a stray packet.
model::Quality judged(const Task& task) {
  constexpr double kLateMostS = 0.1;  // the pacer gives up on a ticket then
  model::Quality quality = task.quality;
  quality.lateness_p99_s = task.lateness.percentile(99) / 1e9;
  quality.clock_error_s = static_cast<double>(task.clock_error_ns) / 1e9;
  quality.measured_s = static_cast<double>(task.to_ns - task.from_ns) / 1e9;
  if (task.missing > 0 || !task.dropped.empty()) quality.causes.push_back("records_missing");
  if (quality.lateness_p99_s > kLateMostS) quality.causes.push_back("late_departures");
  if (quality.local_drops > 0 && quality.local_drops * 100 > task.sent)
    quality.causes.push_back("local_drops");
  quality.grade = quality.causes.empty() ? model::Grade::good : model::Grade::suspect;
  return quality;
}

RunEdges::RunEdges(const Run& run, const TestRun& test, EdgeTable table, std::vector<model::Edge> planned)
    : table_(std::move(table)),
      planned_(std::move(planned)),
      testlet_(test.plan->testlet),
      window_testlet_(test.plan->alongside.empty() ? manifest::Testlet() : model::in_window(testlet_)),
      alongside_(!test.plan->alongside.empty()),
      unsent_(metric_index(testlet_, "unsent")),
      planned_metric_(metric_index(testlet_, "planned")) {
  for (const Unit& unit : test.units) {
    for (const uint32_t t : unit.tasks) {
      const Task& task = *run.tasks[t];
      if (!task.source) continue;
      sources_[t] = {judged(task), static_cast<double>(task.to_ns - task.from_ns) / 1e9,
                     task.phase == Task::Phase::running || task.phase == Task::Phase::ended};
    }
  }
}

const RunEdges::Source* RunEdges::source_of(const Slot& slot) const {
  const auto found = sources_.find(slot.source_task);
  return found == sources_.end() ? nullptr : &found->second;
}

// What was decided, or before that how far it is.
EdgeState RunEdges::state(size_t i) const {
  const Slot& slot = table_.slots[i];
  if (slot.decided) return slot.state;
  const Source* source = source_of(slot);
  return slot.has_record || (source != nullptr && source->began) ? EdgeState::running : EdgeState::waiting;
}

uint64_t RunEdges::counter(uint32_t metric, size_t i) const {
  const Slot& slot = table_.slots[i];
  return (slot.flat ? table_.columns.counter(metric, i) : 0) +
         (slot.more ? slot.more->cells.counter(metric) : 0);
}

// What share of the probes got lost is not known where many never left.
bool RunEdges::unsent(size_t i) const { return counter(unsent_, i) * 100 > counter(planned_metric_, i); }

stats::Values RunEdges::values(size_t i) const {
  const Slot& slot = table_.slots[i];
  stats::Values out;
  if (slot.more) out = slot.more->cells.values(testlet_);
  if (!slot.flat) return out;
  for (uint32_t m = 0; m < testlet_.metrics.size(); ++m) {
    stats::Value value;
    if (table_.columns.read(m, i, value))
      stats::merge(out[testlet_.metrics[m].name], value, testlet_.metrics[m].merge);
  }
  return out;
}

namespace {
const Cells& cells_of(const Windows& windows, model::Window window) {
  return window == model::Window::idle ? windows.idle : windows.loaded;
}
}  // namespace

stats::Values RunEdges::values(size_t i, model::Window window) const {
  const Slot& slot = table_.slots[i];
  if (!slot.more) return {};
  stats::Values out = cells_of(slot.more->windows, window).values(testlet_);
  model::add_window_metrics(out);
  return out;
}

stats::Values RunEdges::total_values(model::Window window) const {
  Cells total;
  for (const Slot& slot : table_.slots)
    if (slot.more) total.merge(testlet_, cells_of(slot.more->windows, window));
  stats::Values out = total.values(testlet_);
  model::add_window_metrics(out);
  return out;
}

model::MetricReports RunEdges::window_total(model::Window window) const {
  const stats::Values values = total_values(window);
  return values.empty() ? model::MetricReports() : model::to_report(window_testlet_, values);
}

std::string RunEdges::name_of(size_t i) const {
  const uint32_t edge = table_.edge_of(i);
  return table_.is_range(edge) ? table_.address_of(i, planned_) : planned_[edge].target_name;
}

std::string RunEdges::label(size_t i) const {
  model::EdgeReport edge;
  edge.source_agent = planned_[table_.edge_of(i)].source.agent;
  edge.target_name = name_of(i);
  return edge.label();
}

model::EdgeReport RunEdges::at(size_t i) const {
  const Slot& slot = table_.slots[i];
  const model::Edge& edge = planned_[table_.edge_of(i)];
  model::EdgeReport out;
  out.source_agent = edge.source.agent;
  out.source_groups = edge.source.groups;
  out.target_name = name_of(i);
  out.target_groups = edge.target_agent.groups;
  out.target_agent = edge.target_agent.agent;
  out.address = table_.address_of(i, planned_);
  out.state = state(i);
  out.verdict = verdict(i);
  const stats::Values values = this->values(i);
  if (has_data(slot))
    out.metrics = model::to_report(testlet_, values, slot.flat ? model::Row::flat : model::Row::whole);
  for (const auto& [name, value] : values) {
    if (value.kind == stats::Kind::info && !value.info.empty()) out.info[name] = value.info;
  }
  // A task's stamps and engine are those of the edges it measured, not of one that it could not.
  if (const Source* source = source_of(slot); slot.has_record && source != nullptr) {
    out.quality = source->quality;
    if (unsent(i)) {
      out.quality.causes.push_back("unsent");
      out.quality.grade = model::Grade::suspect;
    }
  }
  out.detail = table_.why(i).detail;
  if (out.state != EdgeState::complete) out.reason = table_.why(i).reason;
  if (slot.more) {
    out.resolve_s = static_cast<double>(slot.more->resolve_ns) / 1e9;
    out.examples = slot.more->examples;
    out.periods = slot.more->periods;
    out.samples = slot.more->samples;
  }
  if (alongside_) {
    if (const stats::Values idle = this->values(i, model::Window::idle); !idle.empty())
      out.idle = model::to_report(window_testlet_, idle);
    if (const stats::Values loaded = this->values(i, model::Window::loaded); !loaded.empty())
      out.loaded = model::to_report(window_testlet_, loaded);
  }
  return out;
}

// Fills in what is evaluated of one edge after the other. Only flat rows are read metric by metric, and of
// them only what the expectations look at.
class RunEdges::Reader {
 public:
  Reader(const RunEdges& edges, const std::vector<model::Expectation>& expectations) : edges_(edges) {
    for (const model::Expectation& expectation : expectations) {
      for (const std::string& name : model::metrics_of(expectation)) {
        const uint32_t metric = metric_index(edges.testlet_, name);
        if (metric == edges.testlet_.metrics.size() || flat_.metrics.contains(name)) continue;
        wanted_.emplace_back(metric, &flat_.metrics[name]);
      }
    }
    flat_.row = model::Row::flat;
  }

  // The same of an edge that was just read, in a window.
  const model::EdgeData& read(size_t i, const model::EdgeData& whole, model::Window window) {
    window_.metrics = edges_.values(i, window);
    window_.has_data = whole.has_data && !window_.metrics.empty();
    window_.cut_short = whole.cut_short;
    window_.suspect = whole.suspect;
    return window_;
  }

  // Until the next call.
  const model::EdgeData& read(size_t i) {
    const Slot& slot = edges_.table_.slots[i];
    const bool columns_alone = slot.flat && (!slot.more || slot.more->cells.empty());
    model::EdgeData& data = columns_alone ? flat_ : whole_;
    if (columns_alone) {
      for (const auto& [metric, value] : wanted_) edges_.table_.columns.read(metric, i, *value);
    } else {
      data.metrics = edges_.values(i);
      data.row = slot.flat ? model::Row::flat : model::Row::whole;
    }
    data.has_data = edges_.has_data(slot);
    data.cut_short = edges_.state(i) != EdgeState::complete;
    data.suspect = false;
    data.seconds = 0;
    if (slot.source_task != last_task_) {
      last_task_ = slot.source_task;
      source_ = edges_.source_of(slot);
    }
    if (slot.has_record && source_ != nullptr) {
      data.suspect = source_->quality.grade == model::Grade::suspect || edges_.unsent(i);
      data.seconds = source_->seconds;
    }
    return data;
  }

 private:
  const RunEdges& edges_;
  model::EdgeData flat_, whole_, window_;
  std::vector<std::pair<uint32_t, stats::Value*>> wanted_;  // in flat_
  uint32_t last_task_ = Slot::kNoTask;
  const Source* source_ = nullptr;  // of last_task_
};

std::vector<model::Outcome> RunEdges::evaluate(const std::vector<model::Expectation>& expectations,
                                               model::EdgeData& total) {
  verdicts_.assign(expectations.empty() ? 0 : size(), Verdict::none);
  std::vector<model::Evaluation> evaluations(expectations.begin(), expectations.end());
  Reader reader(*this, expectations);
  for (size_t i = 0; i < verdicts_.size(); ++i) {
    const model::EdgeData& data = reader.read(i);
    total.seconds = std::max(total.seconds, data.seconds);
    for (size_t e = 0; e < expectations.size(); ++e) {
      const model::Window window = expectations[e].window;
      const model::EdgeData& seen = window == model::Window::whole ? data : reader.read(i, data, window);
      const Verdict verdict = model::counted(expectations[e], evaluations[e].add(seen));
      if (expectations[e].scope != model::Expectation::Scope::total)
        verdicts_[i] = model::combine(verdicts_[i], verdict);
    }
  }
  std::vector<model::Outcome> outcomes;
  for (size_t e = 0; e < expectations.size(); ++e) {
    model::EdgeData in_window;
    const bool whole = expectations[e].window == model::Window::whole;
    if (!whole && expectations[e].scope == model::Expectation::Scope::total) {
      in_window.metrics = total_values(expectations[e].window);
      in_window.has_data = !in_window.metrics.empty();
    }
    outcomes.push_back(evaluations[e].end(whole ? total : in_window, [this](size_t i) { return label(i); }));
  }
  return outcomes;
}

size_t RunEdges::bytes() const {
  return sizeof *this + table_.bytes() + planned_.size() * sizeof(model::Edge) +
         verdicts_.size() * sizeof(Verdict) + sources_.size() * sizeof(Source);
}

}  // namespace todd::run
