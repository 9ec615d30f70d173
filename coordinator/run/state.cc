#include "coordinator/run/state.h"

#include <algorithm>
#include <cmath>

#include "coordinator/model/expand.h"
#include "engine/schedule/schedule.h"
#include "engine/schedule/targets.h"

namespace todd::run {
namespace {
constexpr uint64_t kMostSlots = 2 * uint64_t{model::kMaxEdges};  // of a run

// One unit, or one per edge where a test limits how many run at a time.
void lay_out_units(TestRun& test, uint32_t index) {
  const auto edges = static_cast<uint32_t>(test.plan->edges.size());
  if (test.plan->at_once == 0) {
    Unit unit;
    unit.test = index;
    for (uint32_t e = 0; e < edges; ++e) unit.edges.push_back(e);
    test.units.push_back(std::move(unit));
    return;
  }
  for (uint32_t e = 0; e < edges; ++e) {
    Unit unit;
    unit.test = index;
    unit.index = e;
    unit.edges = {e};
    test.units.push_back(std::move(unit));
  }
}

// Ties each test alongside another to that one.
Status tie_alongside(Run& run) {
  for (uint32_t t = 0; t < run.tests.size(); ++t) {
    TestRun& test = run.tests[t];
    if (test.plan->alongside.empty()) continue;
    for (uint32_t m = 0; m < run.tests.size(); ++m) {
      if (run.tests[m].plan->label == test.plan->alongside && m != t) test.main = m;
    }
    const bool fits = test.main != TestRun::kNone && run.tests[test.main].main == TestRun::kNone &&
                      run.tests[test.main].first_slot == test.first_slot &&
                      run.tests[test.main].units.size() == test.units.size();
    if (!fits)
      return fail(Errc::invalid, "test \"" + test.plan->label + "\" does not go along with \"" +
                                     test.plan->alongside + "\": it has other edges");
    run.tests[test.main].alongside.push_back(t);
  }
  return {};
}
}  // namespace

void Cells::merge(const manifest::Testlet& testlet, uint32_t metric, const stats::Value& from) {
  if (from.kind == stats::Kind::gauge && !from.has_gauge) return;
  auto at = std::lower_bound(cells_.begin(), cells_.end(), metric,
                             [](const Cell& c, uint32_t m) { return c.metric < m; });
  if (at == cells_.end() || at->metric != metric) {
    at = cells_.emplace(at);
    at->metric = metric;
  }
  if (from.kind == stats::Kind::counter) {
    at->counter += from.counter;
    return;
  }
  if (from.kind == stats::Kind::gauge) {
    const auto rule = testlet.metrics[metric].merge;
    at->gauge = at->has_gauge ? stats::merge_gauges(at->gauge, from.gauge, rule) : from.gauge;
    at->has_gauge = true;
    return;
  }
  if (!at->rest) at->rest = std::make_unique<stats::Value>();
  stats::merge(*at->rest, from, testlet.metrics[metric].merge);
}

namespace {
stats::Value value_of(const Cells::Cell& cell) {
  if (cell.rest) return *cell.rest;
  stats::Value value;
  value.has_gauge = cell.has_gauge;
  if (cell.has_gauge) {
    value.kind = stats::Kind::gauge;
    value.gauge = cell.gauge;
  } else {
    value.counter = cell.counter;
  }
  return value;
}
}  // namespace

void Cells::merge(const manifest::Testlet& testlet, const Cells& from) {
  for (const Cell& cell : from.cells_) merge(testlet, cell.metric, value_of(cell));
}

uint64_t Cells::counter(uint32_t metric) const {
  for (const Cell& cell : cells_) {
    if (cell.metric == metric) return cell.counter;
  }
  return 0;
}

stats::Values Cells::values(const manifest::Testlet& testlet) const {
  stats::Values out;
  for (const Cell& cell : cells_) out[testlet.metrics[cell.metric].name] = value_of(cell);
  return out;
}

Slot::Slot(const Slot& other)
    : source_task(other.source_task),
      why(other.why),
      state(other.state),
      decided(other.decided),
      has_record(other.has_record),
      flat(other.flat),
      more(other.more ? std::make_unique<SlotDetails>(*other.more) : nullptr) {}

uint32_t EdgeTable::edge_of(size_t slot) const {
  const auto after = std::upper_bound(first_slot.begin(), first_slot.end(), slot);
  return static_cast<uint32_t>(after - first_slot.begin()) - 1;
}

std::string EdgeTable::address_of(size_t slot, const std::vector<model::Edge>& edges) const {
  if (slots[slot].more && !slots[slot].more->address.empty()) return slots[slot].more->address;
  const uint32_t edge = edge_of(slot);
  return is_range(edge) ? schedule::host_at(edges[edge].target, slot - first_slot[edge])
                        : edges[edge].address;
}

std::string EdgeTable::known_address(uint32_t edge) const {
  const Slot& slot = slots[first_slot[edge]];
  return is_range(edge) || !slot.more ? "" : slot.more->address;
}

// Many edges in a row end for the same reason.
void EdgeTable::explain(Slot& slot, const char* reason, std::string detail) {
  Why why{reason, std::move(detail)};
  if (why == whys.front()) {
    slot.why = 0;
    return;
  }
  if (why != whys.back()) whys.push_back(std::move(why));
  slot.why = static_cast<uint32_t>(whys.size() - 1);
}

size_t EdgeTable::bytes() const {
  size_t bytes = slots.size() * sizeof(Slot) + columns.bytes() + whys.size() * sizeof(Why);
  for (const Slot& slot : slots) {
    if (!slot.more) continue;
    bytes += sizeof *slot.more + slot.more->cells.bytes() +
             slot.more->samples.size() * sizeof(model::SampleReport) +
             slot.more->periods.size() * sizeof(model::PeriodReport);
  }
  return bytes;
}

Result<std::unique_ptr<Run>> make_run(std::string id, Request request, int64_t started_wall_ns) {
  auto run = std::make_unique<Run>();
  run->id = std::move(id);
  run->request = std::move(request);
  run->started_wall_ns = started_wall_ns;
  uint64_t all = 0;
  for (model::TestPlan& plan : run->request.plans) {
    TestRun test;
    test.plan = &plan;
    uint32_t slots = 0;
    for (uint32_t e = 0; e < plan.edges.size(); ++e) {
      const auto targets = schedule::count(plan.edges[e].target);
      if (!targets) return tl::unexpected(targets.error());
      all += *targets;
      if (all > kMostSlots) {
        return fail(Errc::exhausted, "a run may have " + std::to_string(kMostSlots) +
                                         " targets over all tests; split the suite");
      }
      test.first_slot.push_back(slots);
      slots += static_cast<uint32_t>(*targets);
    }
    test.first_slot.push_back(slots);
    test.slots.resize(slots);
    lay_out_units(test, static_cast<uint32_t>(run->tests.size()));
    for (const std::string& warning : plan.warnings) run->warnings.push_back(plan.label + ": " + warning);
    run->tests.push_back(std::move(test));
  }
  if (all == 0) return fail(Errc::invalid, "nothing to run: no test of the suite has an edge");
  if (Status tied = tie_alongside(*run); !tied) return tl::unexpected(tied.error());
  return run;
}

bool all_ended(const Run& run, const Unit& unit) {
  return std::all_of(unit.tasks.begin(), unit.tasks.end(),
                     [&](uint32_t t) { return run.tasks[t]->phase == Task::Phase::ended; });
}

bool sources_ended(const Run& run, const Unit& unit) {
  return std::all_of(unit.tasks.begin(), unit.tasks.end(), [&](uint32_t t) {
    return !run.tasks[t]->source || run.tasks[t]->phase == Task::Phase::ended;
  });
}

std::string why_ended(const Task& task) {
  if (!task.failed_reason.empty()) return task.agent + ": " + task.failed_reason + ": " + task.failed_detail;
  return task.agent + ": " + (task.stopped_why.empty() ? "stopped by its agent" : task.stopped_why);
}

int64_t planned_ns(const model::TestPlan& plan, uint64_t targets_per_task) {
  constexpr double kHour = 3600e9;
  const manifest::HostParams& host = plan.host;
  const schedule::Schedule schedule(
      {.targets = static_cast<uint32_t>(std::clamp<uint64_t>(targets_per_task, 1, UINT32_MAX)),
       .count = host.count,
       .interval_ns = host.interval_ns,
       .rate = host.rate,
       .duration_ns = host.duration_ns,
       .shape = static_cast<schedule::Shape>(host.shape),
       .burst = host.burst,
       .ramp_ns = host.counted_ramp_ns()});
  const int64_t end = schedule.end_ns();
  return end == INT64_MAX ? static_cast<int64_t>(kHour)
                          : std::min(end, static_cast<int64_t>(366 * 24 * kHour));
}

std::string short_id(const std::string& id) {
  // Of a UUIDv7 this is the time in milliseconds: unique, and the prefix that resolve() takes.
  return id.substr(0, 13);
}

}  // namespace todd::run
