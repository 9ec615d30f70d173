#pragma once
// Expectations: `p99(rtt) < 20ms`, `total: loss < 0.5%`, `90% of edges: p50(rtt) < 5ms`.
//
//   expectation = [ "total:" | N "% of edges:" ] value ( < | <= | > | >= | == | != ) literal
//   value       = metric | metric[key] | (min|max|mean|stddev|pN|pN.N)(histogram) | rate(counter)
//
// Of a test alongside another a metric may be `idle.METRIC` or `loaded.METRIC`: of the time when that other
// test did not run, or did; and of these there is `responsiveness` too.
//
// What an edge says is one of pass, fail and unknown. It is unknown
// - without data, or with data of suspect quality;
// - that did not run to its end, where what was measured would pass, or is an amount that was still growing
//   towards its limit (`received >= 900`);
// - for pN, with fewer than 1/(1-N/100) answers (p99: 100; below the median 1/(N/100)); for a spread, with
// too
//   few for either of its quantiles; for stddev, fewer than 2; for the other functions, none;
// - for a ratio over nothing, and for one that passes only because one event would already be more than the
//   limit: `loss < 0.5%` with
//   nothing lost of 100 sent (200 are needed). Limits of exactly 0 % and 100 % are statements about these
//   probes and need one;
// - where `undetermined` probes, counted as lost or as answered, would turn the answer round;
// - for a gauge nobody set, and for rate() over no time;
// - for what a task with very many edges keeps of all of them together only.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/model/report.h"
#include "coordinator/model/verdict.h"
#include "engine/base/result.h"
#include "engine/manifest/manifest.h"
#include "engine/stats/metric.h"

namespace todd::model {

// When a test alongside another measured: at any time, while that one did not run, while it did.
enum class Window { whole, idle, loaded };

struct Expectation {
  enum class Scope { edges, total, percent };
  enum class Function { none, min, max, mean, stddev, percentile, rate };
  enum class Op { lt, le, gt, ge, eq, ne };

  std::string text;  // as written
  Scope scope = Scope::edges;
  double percent = 100;  // of Scope::percent
  Function function = Function::none;
  double percentile = 0;
  Window window = Window::whole;
  manifest::Metric metric;
  std::string key;  // of a breakdown
  Op op = Op::lt;
  double literal = 0;  // in the metric's own base unit (ns for durations); per second for rate()
  Severity severity = Severity::fail;
};

// Errc::invalid names what is wrong, with the nearest metric for an unknown one. alongside: the test goes
// along with another, so that idle. and loaded. mean something.
Result<Expectation> parse_expectation(std::string_view text, const manifest::Testlet& testlet,
                                      bool alongside = false);

// Whether the text is of idle. or loaded. metrics, which are those of a test alongside.
bool names_window(std::string_view text);

// The testlet with the metrics that a window has besides: where it has a histogram `rtt`, `responsiveness`,
// round trips per minute.
manifest::Testlet in_window(manifest::Testlet testlet);
// Sets those of them that follow from the others.
void add_window_metrics(stats::Values& metrics);

// The samples an edge must have before the expectation can be told; 1 if any amount does.
uint64_t samples_needed(const Expectation& expectation);

// For a ratio with a limit that so few events cannot tell from none (or all): how many it takes. 0: they can.
uint64_t events_needed(const Expectation& expectation, uint64_t events);

// How much is kept of an edge. flat: of a task with very many, all but breakdowns, texts, percentiles, and
// metrics that say so (manifest::Metric::only_total).
enum class Row { whole, flat };

// What is known of one edge when a test has ended, or of a test's total.
struct EdgeData {
  std::string name;  // "from → to"
  bool has_data = false;
  bool suspect = false;
  Row row = Row::whole;
  bool cut_short = false;  // the edge did not run to its end: what it lacks might have failed
  double seconds = 0;      // that the metrics cover
  stats::Values metrics;
};

struct Outcome {
  Verdict verdict = Verdict::unknown;
  std::string observed;    // of the worst edge, with its unit; "-" if nothing could be told
  std::string worst_edge;  // empty for a total
  std::string reason;      // why unknown, or how many edges hold
};

// Scope edges: every edge by itself. total: once on the merged data; unknown if any edge has no data or is
// suspect. percent: so many
// edges must pass, where one without data does not; unknown if the edges that are unknown could make the
// difference.
// No edges at all: unknown.
Outcome evaluate(const Expectation& expectation, const std::vector<EdgeData>& edges, const EdgeData& total);

// The same edge by edge, for whoever does not have them all at once.
class Evaluation {
 public:
  // Borrows the expectation.
  explicit Evaluation(const Expectation& expectation) : expectation_(&expectation) {}
  // The next edge; returns what evaluate_edge does. Its name is not looked at.
  Verdict add(const EdgeData& edge);
  // After the last. name_of: of the edge that was added as the i-th.
  Outcome end(const EdgeData& total, const std::function<std::string(size_t)>& name_of) const;

 private:
  Outcome end_edges(const std::function<std::string(size_t)>& name_of) const;
  Outcome end_percent(const std::function<std::string(size_t)>& name_of) const;
  Outcome end_total(const EdgeData& total, const std::function<std::string(size_t)>& name_of) const;
  std::string unknown_text(const std::function<std::string(size_t)>& name_of) const;

  static constexpr size_t kNone = SIZE_MAX;
  const Expectation* expectation_;
  size_t edges_ = 0, pass_ = 0, fail_ = 0, unknown_ = 0, no_data_ = 0;  // no_data: of the unknown
  std::optional<double> worst_;
  size_t worst_edge_ = kNone, unknown_edge_ = kNone, spoilt_edge_ = kNone;
  std::string unknown_reason_;
  const char* spoilt_ = "";  // why nothing is said of the total
};

// What evaluate_edge looks at, of EdgeData::metrics: nothing else need be there.
std::vector<std::string> metrics_of(const Expectation& expectation);

// What one edge alone says: for EdgeReport::verdict, where every expectation but those on the total counts.
Verdict evaluate_edge(const Expectation& expectation, const EdgeData& edge);

// A warning never fails, nor does it make anything unknown.
Verdict counted(const Expectation& expectation, Verdict verdict);

// The value of a ratio metric from its counters; NaN over nothing.
double ratio_of(const manifest::Metric& metric, const stats::Values& metrics);

// The value of a spread metric from its histogram, in the metric's own base unit: the difference of the same
// percentiles that a report has. NaN where nothing was recorded, or no distribution is kept.
double spread_of(const manifest::Metric& metric, const stats::Values& metrics);

// UCUM's byte is "By"; "B" is what people write. Reports say "B".
bool is_bytes(std::string_view ucum_unit);

// For the report: base units, ratios computed; declared metrics only, of kind info none. Metrics nobody
// recorded (and spreads without a value) are left out, except ratios
// and counters; of a flat row, also those it has no place for.
MetricReports to_report(const manifest::Testlet& testlet, const stats::Values& metrics, Row row = Row::whole);

}  // namespace todd::model
