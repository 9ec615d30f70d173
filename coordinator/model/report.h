#pragma once
// The result of a run in the one shape that every output shares. Plain values in base units: s, B, bit/s, 1.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/model/edge_report.h"
#include "coordinator/model/edges.h"
#include "coordinator/model/param_form.h"
#include "coordinator/model/verdict.h"

namespace todd::model {

// All edges of a test, counted.
struct EdgeSummary {
  uint64_t edges = 0, ok = 0;
  std::map<std::string, uint64_t> verdicts, states;
};

struct ExpectationReport {
  std::string expr;
  Severity severity = Severity::fail;
  Verdict verdict = Verdict::unknown;
  std::string observed;  // with its unit: "23.4 ms"
  std::string worst_edge;
  std::string reason;  // why unknown
};

struct TestReport {
  std::string name;
  std::string testlet;
  std::string testlet_version;
  std::map<std::string, ParamReport> params;
  std::string alongside;  // the test it goes along with; empty: none
  std::string from;
  std::string to;
  Verdict verdict = Verdict::none;
  MetricReports total;
  MetricReports idle, loaded;  // parts of total, as those of an edge
  EdgeReports edges;
  std::optional<EdgeSummary>
      summary;  // where edges holds only those that are not ok, because there are too many
  std::vector<ExpectationReport> expectations;

  EdgeSummary count_edges() const;  // summary, or counted now
};

struct AgentReport {
  std::string name;
  std::string id;
  std::string version;
  bool connected = false;
  std::string engine;
  double clock_offset_s = 0;
  double clock_error_s = 0;
  std::string reason;  // why it took no part or stopped; empty: it did all
};

struct Delivery {
  std::string sink;
  std::string state;  // "pending", "delivered", "failing", "dead"
  uint64_t pending = 0, delivered = 0, dead = 0;
};

struct Report {
  int schema_version = 1;
  std::string id;
  std::string suite;
  std::string spec_digest;
  Trigger trigger = Trigger::manual;
  std::map<std::string, std::string> labels;
  bool check = false;  // both ends of every edge were prepared, and nothing was started
  RunState state = RunState::completed;
  Verdict verdict = Verdict::none;
  int64_t started_at_ns = 0;   // wall clock, 0: not yet
  int64_t finished_at_ns = 0;  // 0: not yet
  std::string reason;          // why failed, cancelled or partial; empty when completed
  // Where edges are not complete, and that is the reason: the first, as "TEST, EDGE: WHY". Else empty.
  std::string first_incomplete;
  std::vector<std::string> warnings;
  std::vector<TestReport> tests;
  std::vector<AgentReport> agents;
  std::vector<Delivery> delivery;
};

}  // namespace todd::model
