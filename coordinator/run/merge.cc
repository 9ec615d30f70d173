#include "coordinator/run/merge.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <utility>

#include "coordinator/model/expect.h"
#include "coordinator/proto/histogram.h"
#include "coordinator/run/windows.h"
#include "todd/v1/task.pb.h"

namespace todd::run {
namespace {
using wire::histogram_of;

stats::Value value_of(const v1::Cell& cell, stats::Kind kind) {
  stats::Value out;
  out.kind = kind;
  switch (kind) {
    case stats::Kind::counter: out.counter = cell.counter(); break;
    case stats::Kind::gauge:
      out.has_gauge = cell.has_gauge();
      out.gauge = cell.gauge();
      break;
    case stats::Kind::histogram: out.histogram = histogram_of(cell.histogram()); break;
    case stats::Kind::breakdown:
      for (const v1::Tally& tally : cell.tallies())
        stats::add_to_breakdown(out.breakdown, tally.key(), tally.n());
      break;
    case stats::Kind::info: out.info = cell.info(); break;
    case stats::Kind::ratio:
    case stats::Kind::spread: break;
  }
  return out;
}

// One record on its way into a run.
class Merger {
 public:
  Merger(Run& run, Task& task, const v1::Record& record, int64_t offset_ns, const RunsOptions& options,
         sink::SinkSet* sinks)
      : run_(run),
        task_(task),
        test_(run.tests[task.test]),
        testlet_(test_.plan->testlet),
        record_(record),
        offset_ns_(offset_ns),
        to_ns_(record.to_wall_ns() == 0 ? 0 : record.to_wall_ns() - offset_ns),
        from_ns_(std::min(to_ns_,
                          record.from_wall_ns() == 0 ? since(run, task) : record.from_wall_ns() - offset_ns)),
        options_(options),
        sinks_(sinks) {}

  void merge() {
    for (const v1::Block& block : record_.blocks()) merge_block(block);
    for (const v1::Row& row : record_.rows()) merge_row(row);
    for (const v1::Cell& cell : record_.totals()) {
      if (!known(cell)) continue;
      count_sent(cell);
      test_.total.merge(testlet_, cell.metric(), value_of(cell, testlet_.metrics[cell.metric()].kind));
    }
    for (const v1::Sample& sample : record_.samples()) add_sample(sample);
    for (const v1::Example& example : record_.examples()) add_example(example);
    if (record_.has_quality()) add_quality(record_.quality());
    // What a dead worker left says so in the record that ends the task; any other agent had no room for it.
    if (record_.partial() && record_.state() != "error" && !record_.detail().empty())
      task_.dropped = record_.detail();
    if (to_ns_ > from_ns_) {
      task_.from_ns = task_.from_ns == 0 ? from_ns_ : std::min(task_.from_ns, from_ns_);
      task_.to_ns = std::max(task_.to_ns, to_ns_);
    }
  }

 private:
  // Where a record that does not say when its period began goes on from.
  static int64_t since(const Run& run, const Task& task) {
    return task.to_ns != 0 ? task.to_ns : run.tests[task.test].units[task.unit].started_wall_ns;
  }
  bool known(const v1::Cell& cell) const {
    return cell.metric() < testlet_.metrics.size() &&
           !stats::is_derived(testlet_.metrics[cell.metric()].kind);
  }
  void count_sent(const v1::Cell& cell) {
    if (testlet_.metrics[cell.metric()].name == "sent") task_.sent += cell.counter();
  }
  Slot* slot_of(uint32_t row) { return row < task_.slots.size() ? &test_.slots[task_.slots[row]] : nullptr; }

  void merge_row(const v1::Row& row) {
    Slot* slot = slot_of(row.edge());
    if (slot == nullptr) return;
    slot->has_record = slot->has_record || task_.source;
    const bool wanted = sinks_ != nullptr || (task_.source && options_.max_periods > 0);
    const bool holds = task_.source && test_.main != TestRun::kNone;
    Cells period;
    stats::Values delta;
    for (const v1::Cell& cell : row.cells()) {
      if (!known(cell)) continue;
      if (!record_.compact()) count_sent(cell);
      const manifest::Metric& metric = testlet_.metrics[cell.metric()];
      stats::Value value = value_of(cell, metric.kind);
      slot->details().cells.merge(testlet_, cell.metric(), value);
      // Where rows are compact, the agent sends the totals itself.
      if (!record_.compact()) test_.total.merge(testlet_, cell.metric(), value);
      if (holds) period.merge(testlet_, cell.metric(), value);
      if (wanted) delta[metric.name] = std::move(value);
    }
    if (holds) hold(*slot, std::move(period));
    if (delta.empty()) return;
    if (sinks_ != nullptr) write_point(*slot, delta, next_point_ns(*slot));
    if (task_.source) keep_period(*slot, delta);
  }

  void hold(Slot& slot, Cells period) {
    Windows& windows = slot.details().windows;
    windows.held.push_back({from_ns_, to_ns_, std::move(period)});
    sort_held(testlet_, work_beside(run_, test_, static_cast<size_t>(&slot - test_.slots.data())), windows);
  }

  // The flat rows come once, cumulative, as the end of the last period.
  void merge_block(const v1::Block& block) {
    test_.columns.add(testlet_, block, task_.slots, test_.slots.size());
    const uint64_t end = std::min<uint64_t>(task_.slots.size(), uint64_t{block.first()} + block.n());
    auto empty = block.empty().begin();
    for (uint64_t row = block.first(); row < end; ++row) {
      while (empty != block.empty().end() && *empty < row - block.first()) ++empty;
      if (empty != block.empty().end() && *empty == row - block.first()) continue;
      Slot& slot = test_.slots[task_.slots[row]];
      slot.flat = true;
      slot.has_record = slot.has_record || task_.source;
      const bool period = task_.source && options_.max_periods > 0;
      const bool kept = period && run_.periods < options_.max_periods;
      stats::Values values;
      if (sinks_ != nullptr || kept) values = flat_values(block, row);
      // Those of the responder come beside the source's, not in their place.
      if (sinks_ != nullptr) write_point(slot, values, to_ns_ + (task_.source ? 0 : 1));
      if (period) keep_period(slot, values);
    }
  }
  // What a block's columns bring of a row.
  stats::Values flat_values(const v1::Block& block, uint64_t row) const {
    stats::Values values;
    for (const v1::Column& column : block.columns()) {
      if (column.metric() >= testlet_.metrics.size()) continue;
      stats::Value value;
      if (test_.columns.read(column.metric(), task_.slots[row], value))
        values[testlet_.metrics[column.metric()].name] = std::move(value);
    }
    return values;
  }

  int64_t next_point_ns(Slot& slot) const {
    int64_t& last_ns = slot.details().last_point_ns;
    return last_ns = std::max(last_ns + 1, to_ns_);
  }

  void write_point(const Slot& slot, const stats::Values& delta, int64_t at_ns) {
    const auto index = static_cast<size_t>(&slot - test_.slots.data());
    const model::Edge& edge = test_.plan->edges[test_.edge_of(index)];
    sinks_->write({run_.id, run_.request.suite, test_.plan->label, testlet_, edge.source.agent,
                   edge.target_name, test_.address_of(index, test_.plan->edges), at_ns, delta});
  }

  void keep_period(Slot& slot, const stats::Values& delta) {
    if (options_.max_periods == 0) return;
    if (run_.periods >= options_.max_periods) {
      // An edge's only period is its metrics once more: nothing is lost.
      if (record_.last() && record_.seq() == 1) return;
      if (run_.periods++ == options_.max_periods) run_.warnings.push_back(periods_warning(options_));
      return;
    }
    ++run_.periods;
    model::PeriodReport period;
    period.started_at_ns = from_ns_;
    period.seconds = static_cast<double>(to_ns_ - from_ns_) / 1e9;
    period.partial = record_.partial();
    period.metrics = model::to_report(testlet_, delta, slot.flat ? model::Row::flat : model::Row::whole);
    slot.details().periods.push_back(std::move(period));
  }

  void add_sample(const v1::Sample& in) {
    Slot* slot = slot_of(in.edge());
    if (slot == nullptr) return;
    if (run_.samples >= options_.max_samples) {
      if (run_.samples++ == options_.max_samples) {
        run_.warnings.push_back("only the first " + std::to_string(options_.max_samples) +
                                " samples are kept");
      }
      return;
    }
    ++run_.samples;
    static constexpr const char* kStamps[] = {"", "user", "kernel", "nic"};  // TODD_TS_NONE and up
    const auto stamp = [](uint32_t source) { return source < std::size(kStamps) ? kStamps[source] : ""; };
    model::SampleReport out;
    out.at_ns = in.at_wall_ns() - offset_ns_;
    out.rtt_s =
        in.rtt_ns() < 0 ? std::numeric_limits<double>::quiet_NaN() : static_cast<double>(in.rtt_ns()) / 1e9;
    out.outcome = in.outcome();
    out.seq = in.seq();
    out.ttl = in.ttl() == 0 ? -1 : static_cast<int>(in.ttl());
    out.tx_stamp = stamp(in.tx_stamp());
    out.rx_stamp = stamp(in.rx_stamp());
    slot->details().samples.push_back(std::move(out));
  }

  void add_example(const v1::Example& in) {
    Slot* slot = slot_of(in.edge());
    if (slot == nullptr) return;
    auto& examples = slot->details().examples;
    const auto same = std::count_if(examples.begin(), examples.end(),
                                    [&](const auto& e) { return e.outcome == in.outcome(); });
    constexpr size_t kOutcomes = 32;  // an agent invents no more
    if (static_cast<size_t>(same) >= options_.examples_per_outcome ||
        examples.size() >= kOutcomes * options_.examples_per_outcome)
      return;
    examples.push_back({in.at_wall_ns() - offset_ns_, in.outcome(), in.detail()});
  }

  void add_quality(const v1::Quality& in) {
    model::Quality& quality = task_.quality;
    if (!in.tx_stamp().empty()) quality.tx_stamp = in.tx_stamp();
    if (!in.rx_stamp().empty()) quality.rx_stamp = in.rx_stamp();
    if (!in.engine().empty()) {
      quality.engine = in.engine();
      run_.agent_engines[task_.agent] = in.engine();
    }
    quality.local_drops += in.local_drops();
    quality.unmatched += in.unmatched();
    quality.samples_dropped = std::max(quality.samples_dropped, in.samples_dropped());
    quality.lane_cpu_s += static_cast<double>(in.lane_cpu_ns()) / 1e9;
    quality.worker_cpu_s += static_cast<double>(in.worker_cpu_ns()) / 1e9;
    quality.other_tasks = std::max<uint64_t>(quality.other_tasks, in.other_tasks());
    task_.lateness.merge(histogram_of(in.lateness()));
  }

  Run& run_;
  Task& task_;
  TestRun& test_;
  const manifest::Testlet& testlet_;
  const v1::Record& record_;
  int64_t offset_ns_, to_ns_, from_ns_;  // to_ns_ before from_ns_, which needs it
  const RunsOptions& options_;
  sink::SinkSet* sinks_;
};

}  // namespace

std::string periods_warning(const RunsOptions& options) {
  return "only the first " + std::to_string(options.max_periods) + " periods are kept";
}

void merge_record(Run& run, Task& task, const v1::Record& record, int64_t offset_ns,
                  const RunsOptions& options, sink::SinkSet* sinks) {
  Merger(run, task, record, offset_ns, options, sinks).merge();
}

}  // namespace todd::run
