#pragma once
// From what a run knows of the edges of a test to their reports. Internal to this folder.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/model/edges.h"
#include "coordinator/model/expect.h"
#include "coordinator/run/state.h"

namespace todd::run {

// The edges of one test: made into reports as they are asked for. Holds all it needs, for it outlives the
// run.
class RunEdges : public model::EdgeSource {
 public:
  // Takes the table and the edges of the plan.
  RunEdges(const Run& run, const TestRun& test, EdgeTable table, std::vector<model::Edge> planned);

  size_t size() const override { return table_.slots.size(); }
  model::EdgeReport at(size_t i) const override;
  model::EdgeState state(size_t i) const override;
  model::Verdict verdict(size_t i) const override {
    return verdicts_.empty() ? model::Verdict::none : verdicts_[i];
  }
  size_t bytes() const override;

  // Evaluates every expectation; sets the verdicts of the edges. total: of the test, without windows.
  std::vector<model::Outcome> evaluate(const std::vector<model::Expectation>& expectations,
                                       model::EdgeData& total);
  std::string label(size_t i) const;
  // Of a test alongside another: what all edges together measured in the window, for a report.
  model::MetricReports window_total(model::Window window) const;

 private:
  // What the edges of a task share.
  struct Source {
    model::Quality quality;
    double seconds = 0;
    bool began = false;
  };
  class Reader;

  const Source* source_of(const Slot& slot) const;
  bool has_data(const Slot& slot) const {
    return slot.has_record && (slot.flat || (slot.more && !slot.more->cells.empty()));
  }
  // Whether what was not sent spoils what was measured.
  bool unsent(size_t i) const;
  uint64_t counter(uint32_t metric, size_t i) const;
  stats::Values values(size_t i) const;
  // What it measured in the window; of all edges together.
  stats::Values values(size_t i, model::Window window) const;
  stats::Values total_values(model::Window window) const;
  std::string name_of(size_t i) const;

  EdgeTable table_;
  std::vector<model::Edge> planned_;
  manifest::Testlet testlet_;
  manifest::Testlet window_testlet_;  // of a test alongside another: with the metrics of windows
  bool alongside_;
  std::unordered_map<uint32_t, Source> sources_;  // by task of the run
  std::vector<model::Verdict> verdicts_;          // empty: nothing was expected
  uint32_t unsent_, planned_metric_;              // metrics; their number if there is none
};

// What spoils a task's numbers so much that nothing may be concluded from them.
model::Quality judged(const Task& task);

}  // namespace todd::run
