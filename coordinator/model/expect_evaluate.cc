#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "coordinator/model/expect.h"
#include "coordinator/model/table.h"

namespace todd::model {

// A ratio of like things, 0..1; the other ratios are rates (bytes over time).
namespace {
bool is_fraction(const manifest::Metric& metric) {
  return metric.kind == stats::Kind::ratio && metric.unit == "1";
}

// From counters as recorded (bytes, nanoseconds) to the ratio's unit.
double ratio_scale(const manifest::Metric& metric) { return metric.unit == "bit/s" ? 8e9 : 1; }

using Op = Expectation::Op;
using Function = Expectation::Function;
using Scope = Expectation::Scope;

bool holds(Op op, double value, double limit) {
  switch (op) {
    case Op::lt: return value < limit;
    case Op::le: return value <= limit;
    case Op::gt: return value > limit;
    case Op::ge: return value >= limit;
    case Op::eq: return value == limit;
    case Op::ne: return value != limit;
  }
  return false;
}

// What one edge says. `value` is NaN if there is none.
struct Finding {
  Verdict verdict = Verdict::unknown;
  double value = NAN;
  std::string reason;
};

Finding unknown(std::string reason, double value = NAN) {
  return {Verdict::unknown, value, std::move(reason)};
}

uint64_t counter_of(const EdgeData& edge, const std::string& name) {
  const auto found = edge.metrics.find(name);
  return found == edge.metrics.end() ? 0 : found->second.counter;
}

Finding judge(const Expectation& e, double value) {
  return {holds(e.op, value, e.literal) ? Verdict::pass : Verdict::fail, value, ""};
}

// Unknown where the answer depends on what became of the undetermined probes: the value may be up to `most`.
Finding judge_range(const Expectation& e, double value, double most, uint64_t undetermined) {
  const bool limit_within = e.literal >= value && e.literal <= most && most > value;
  const bool exact = e.op == Op::eq || e.op == Op::ne;
  if (holds(e.op, value, e.literal) == holds(e.op, most, e.literal) && !(exact && limit_within))
    return judge(e, value);
  return unknown(fmt::format("{} undetermined probes could change it", undetermined), value);
}

Finding judge_ratio(const Expectation& e, const EdgeData& edge) {
  const uint64_t over = counter_of(edge, e.metric.denominator);
  if (over == 0) return unknown(fmt::format("{} is 0", e.metric.denominator));
  const double events = static_cast<double>(over);
  const uint64_t part = counter_of(edge, e.metric.numerator);
  const double value = static_cast<double>(part) / events * ratio_scale(e.metric);
  if (!is_fraction(e.metric)) return judge(e, value);
  // Of the probes sent, the undetermined may be lost or answered; other ratios do not know them.
  uint64_t undetermined = 0;
  if (e.metric.numerator == "lost" || e.metric.numerator == "received")
    undetermined = counter_of(edge, "undetermined");
  Finding finding =
      judge_range(e, value, std::min(1.0, static_cast<double>(part + undetermined) / events), undetermined);
  if (finding.verdict != Verdict::pass) return finding;
  if (const uint64_t needed = events_needed(e, over)) {
    return unknown(fmt::format("{} {} cannot resolve it, {} would", over, e.metric.denominator, needed),
                   value);
  }
  return finding;
}

Finding judge_counter(const Expectation& e, const EdgeData& edge) {
  const double scale = e.function == Function::rate ? edge.seconds : 1;
  if (!(scale > 0)) return unknown("no time was measured");
  const uint64_t counted = counter_of(edge, e.metric.name);
  const double value = static_cast<double>(counted) / scale;
  if (e.metric.name != "lost" && e.metric.name != "received") return judge(e, value);
  const uint64_t undetermined = counter_of(edge, "undetermined");
  return judge_range(e, value, static_cast<double>(counted + undetermined) / scale, undetermined);
}

// Of a histogram, or of a spread, which is of one.
Finding judge_histogram(const Expectation& e, const EdgeData& edge) {
  const bool spread = e.metric.kind == stats::Kind::spread;
  const std::string& name = spread ? e.metric.histogram : e.metric.name;
  const auto found = edge.metrics.find(name);
  const uint64_t count = found == edge.metrics.end() ? 0 : found->second.histogram.count;
  if (count == 0) return unknown("no answers");
  const stats::Histogram& histogram = found->second.histogram;
  if ((spread || e.function == Function::stddev || e.function == Function::percentile) &&
      !histogram.has_shape())
    return unknown(fmt::format(
        "with so many edges the distribution of {} is kept of all together only; say \"total:\"", name));
  double value = 0;
  switch (e.function) {
    case Function::min: value = static_cast<double>(histogram.min); break;
    case Function::max: value = static_cast<double>(histogram.max); break;
    case Function::stddev: value = histogram.stddev(); break;
    case Function::percentile: value = histogram.percentile(e.percentile); break;
    default: value = spread ? spread_of(e.metric, edge.metrics) : histogram.mean();
  }
  if (const uint64_t needed = samples_needed(e); count < needed) {
    return unknown(fmt::format("{} answers are too few, it needs {}", count, needed), value);
  }
  return judge(e, value);
}

Finding judge_values(const Expectation& e, const EdgeData& edge) {
  if (edge.row == Row::flat && (e.metric.only_total || e.metric.kind == stats::Kind::breakdown))
    return unknown(
        fmt::format("with so many edges {} is kept of all together only; say \"total:\"", e.metric.name));
  const auto found = edge.metrics.find(e.metric.name);
  switch (e.metric.kind) {
    case stats::Kind::ratio: return judge_ratio(e, edge);
    case stats::Kind::counter: return judge_counter(e, edge);
    case stats::Kind::spread:
    case stats::Kind::histogram: return judge_histogram(e, edge);
    case stats::Kind::breakdown: {
      if (found == edge.metrics.end()) return judge(e, 0);
      const auto key = found->second.breakdown.find(e.key);
      return judge(e, key == found->second.breakdown.end() ? 0 : static_cast<double>(key->second));
    }
    case stats::Kind::gauge:
      if (found == edge.metrics.end() || !found->second.has_gauge) return unknown("was not measured");
      return judge(e, found->second.gauge);
    case stats::Kind::info: break;
  }
  return unknown("nothing can be expected of text");
}

// Whether more of the same test could turn the finding round: anything that holds may still break; of what
// does not hold, an amount that only grows may still reach its limit.
bool could_turn(const Expectation& e, const Finding& finding) {
  if (finding.verdict == Verdict::pass) return true;
  const bool grows = e.metric.kind == stats::Kind::counter || e.metric.kind == stats::Kind::breakdown;
  if (!grows || e.function == Function::rate) return false;
  switch (e.op) {
    case Op::lt:
    case Op::le: return false;
    case Op::eq: return finding.value < e.literal;
    case Op::gt:
    case Op::ge:
    case Op::ne: return true;
  }
  return true;
}

Finding judge_edge(const Expectation& e, const EdgeData& edge) {
  if (!edge.has_data)
    return unknown(e.window == Window::idle     ? "nothing was measured while idle"
                   : e.window == Window::loaded ? "nothing was measured while loaded"
                                                : "no data");
  Finding finding = judge_values(e, edge);
  if (edge.suspect) return unknown("its quality is suspect", finding.value);
  if (edge.cut_short && finding.verdict != Verdict::unknown && could_turn(e, finding))
    return unknown("it did not run to its end", finding.value);
  return finding;
}

// Greater is worse. NaN is never compared.
double badness(const Expectation& e, double value) {
  switch (e.op) {
    case Op::lt:
    case Op::le: return value;
    case Op::gt:
    case Op::ge: return -value;
    case Op::eq: return std::abs(value - e.literal);
    case Op::ne: return -std::abs(value - e.literal);
  }
  return 0;
}

std::string observed_text(const Expectation& e, double value) {
  if (std::isnan(value)) return "-";
  const bool per_second = e.function == Function::rate;
  if (is_fraction(e.metric)) return format_amount(value, "%");
  if (e.metric.unit == "ns") return format_amount(value / 1e9, per_second ? "s/s" : "s");
  if (per_second && is_bytes(e.metric.unit)) return format_amount(value, "B") + "/s";
  if (is_bytes(e.metric.unit)) return format_amount(value, "B");
  return format_amount(value, per_second ? "/s" : e.metric.unit);
}

}  // namespace

uint64_t events_needed(const Expectation& e, uint64_t events) {
  if (!is_fraction(e.metric)) return 0;
  double room = 0;  // what a passing value leaves between the limit and its end
  if (e.op == Op::lt || e.op == Op::le) room = e.literal;
  if (e.op == Op::gt || e.op == Op::ge) room = 1 - e.literal;
  if (room <= 0 || room >= 1) return 0;
  const auto needed = static_cast<uint64_t>(std::ceil(1 / room - 1e-6));
  return events < needed ? needed : 0;
}

Verdict Evaluation::add(const EdgeData& edge) {
  const size_t index = edges_++;
  const Finding finding = judge_edge(*expectation_, edge);
  pass_ += finding.verdict == Verdict::pass;
  fail_ += finding.verdict == Verdict::fail;
  if (finding.verdict == Verdict::unknown) {
    ++unknown_;
    no_data_ += !edge.has_data;
    if (unknown_edge_ == kNone) {
      unknown_edge_ = index;
      unknown_reason_ = finding.reason;
    }
  }
  if (spoilt_edge_ == kNone && (!edge.has_data || edge.suspect || edge.cut_short)) {
    spoilt_edge_ = index;
    spoilt_ = !edge.has_data ? "no data"
              : edge.suspect ? "its quality is suspect"
                             : "it did not run to its end";
  }
  // A value of suspect quality is shown only if there is none better.
  if (std::isnan(finding.value) || finding.verdict == Verdict::unknown) return finding.verdict;
  if (!worst_ || badness(*expectation_, finding.value) > badness(*expectation_, *worst_)) {
    worst_ = finding.value;
    worst_edge_ = index;
  }
  return finding.verdict;
}

using NameOf = std::function<std::string(size_t)>;

std::string Evaluation::unknown_text(const NameOf& name_of) const {
  std::string text = fmt::format("{}: {}", name_of(unknown_edge_), unknown_reason_);
  if (unknown_ > 1) text += fmt::format(" (and {} more)", unknown_ - 1);
  return text;
}

Outcome Evaluation::end_edges(const NameOf& name_of) const {
  Outcome outcome;
  outcome.observed = observed_text(*expectation_, worst_.value_or(NAN));
  if (worst_edge_ != kNone)
    outcome.worst_edge = name_of(worst_edge_);
  else if (unknown_edge_ != kNone)
    outcome.worst_edge = name_of(unknown_edge_);
  if (unknown_ > 0) outcome.reason = unknown_text(name_of);
  outcome.verdict = fail_ > 0 ? Verdict::fail : unknown_ > 0 ? Verdict::unknown : Verdict::pass;
  return outcome;
}

Outcome Evaluation::end_percent(const NameOf& name_of) const {
  Outcome outcome;
  outcome.observed =
      format_amount(static_cast<double>(pass_) / static_cast<double>(edges_), "%") + " of edges";
  outcome.reason = fmt::format("{} of {} edges hold", pass_, edges_);
  // Where no value fails, an edge that does not hold for want of one is worse than any that does.
  const bool without_value = fail_ == 0 && unknown_ > 0;
  const size_t worst = without_value ? unknown_edge_ : worst_edge_;
  if (worst != kNone) outcome.worst_edge = name_of(worst);
  if (without_value)
    outcome.reason += ", " + unknown_text(name_of);
  else if (worst_)
    outcome.reason += fmt::format(", the worst has {}", observed_text(*expectation_, *worst_));
  const auto enough = [&](size_t holding) {
    return 100.0 * static_cast<double>(holding) >= expectation_->percent * static_cast<double>(edges_);
  };
  if (enough(pass_)) {
    outcome.verdict = Verdict::pass;
  } else if (enough(pass_ + unknown_ - no_data_)) {
    outcome.verdict = Verdict::unknown;
    if (!without_value) outcome.reason += "; " + unknown_text(name_of);
  } else {
    outcome.verdict = Verdict::fail;
  }
  return outcome;
}

Outcome Evaluation::end_total(const EdgeData& total, const NameOf& name_of) const {
  const Finding finding = judge_edge(*expectation_, total);
  Outcome outcome{finding.verdict, observed_text(*expectation_, finding.value), "", finding.reason};
  if (spoilt_edge_ != kNone) {
    outcome.verdict = Verdict::unknown;
    outcome.reason = fmt::format("{}: {}", name_of(spoilt_edge_), spoilt_);
  }
  return outcome;
}

Outcome Evaluation::end(const EdgeData& total, const NameOf& name_of) const {
  if (edges_ == 0) return {Verdict::unknown, "-", "", "there are no edges"};
  switch (expectation_->scope) {
    case Scope::total: return end_total(total, name_of);
    case Scope::percent: return end_percent(name_of);
    case Scope::edges: break;
  }
  return end_edges(name_of);
}

std::vector<std::string> metrics_of(const Expectation& e) {
  std::vector<std::string> names = {e.metric.name};
  if (e.metric.kind == stats::Kind::ratio) names = {e.metric.numerator, e.metric.denominator};
  if (e.metric.kind == stats::Kind::spread) names = {e.metric.histogram};
  names.emplace_back("undetermined");
  return names;
}

Outcome evaluate(const Expectation& expectation, const std::vector<EdgeData>& edges, const EdgeData& total) {
  Evaluation evaluation(expectation);
  for (const EdgeData& edge : edges) evaluation.add(edge);
  return evaluation.end(total, [&](size_t i) { return edges[i].name; });
}

Verdict evaluate_edge(const Expectation& expectation, const EdgeData& edge) {
  return judge_edge(expectation, edge).verdict;
}

Verdict counted(const Expectation& expectation, Verdict verdict) {
  return expectation.severity == Severity::warn ? Verdict::none : verdict;
}

double ratio_of(const manifest::Metric& metric, const stats::Values& metrics) {
  const auto part = metrics.find(metric.numerator);
  const auto whole = metrics.find(metric.denominator);
  if (whole == metrics.end() || whole->second.counter == 0) return NAN;
  const uint64_t n = part == metrics.end() ? 0 : part->second.counter;
  return static_cast<double>(n) / static_cast<double>(whole->second.counter) * ratio_scale(metric);
}

double spread_of(const manifest::Metric& metric, const stats::Values& metrics) {
  const auto found = metrics.find(metric.histogram);
  if (found == metrics.end() || !found->second.histogram.has_shape()) return NAN;
  // Of a quantile in decimals the percentile that was meant: 100 * 0.07 is 7.000000000000001, another rank.
  const auto at = [&](double quantile) {
    return found->second.histogram.percentile(std::round(quantile * 1e10) / 1e8);
  };
  return at(metric.high) - at(metric.low);
}

namespace {
constexpr const char* kRtt = "rtt";
constexpr const char* kResponsiveness = "responsiveness";
}  // namespace

manifest::Testlet in_window(manifest::Testlet testlet) {
  const manifest::Metric* rtt = testlet.metric(kRtt);
  const bool has = rtt != nullptr && rtt->kind == stats::Kind::histogram && rtt->unit == "ns";
  if (!has || testlet.metric(kResponsiveness) != nullptr) return testlet;
  manifest::Metric metric;
  metric.name = kResponsiveness;
  metric.unit = "{round_trip}/min";
  metric.kind = stats::Kind::gauge;
  testlet.metrics.push_back(std::move(metric));
  return testlet;
}

// The word is that of draft-ietf-ippm-responsiveness, the value only a part of what it wants: it probes with
// requests inside and outside of the connections that load the network.
void add_window_metrics(stats::Values& metrics) {
  constexpr double kMinuteNs = 60e9;
  const auto rtt = metrics.find(kRtt);
  if (rtt == metrics.end() || rtt->second.kind != stats::Kind::histogram) return;
  if (const double mean = rtt->second.histogram.mean(); rtt->second.histogram.count > 0 && mean > 0) {
    stats::Value& value = metrics[kResponsiveness];
    value.kind = stats::Kind::gauge;
    value.has_gauge = true;
    value.gauge = kMinuteNs / mean;
  }
}

namespace {

void fill_histogram(const stats::Histogram& histogram, double scale, MetricReport& out) {
  out.count = histogram.count;
  out.sum = static_cast<double>(histogram.sum) * scale;
  const bool none = histogram.count == 0;
  const auto scaled = [&](double value) { return none ? NAN : value * scale; };
  out.min = scaled(static_cast<double>(histogram.min));
  out.max = scaled(static_cast<double>(histogram.max));
  out.mean = scaled(histogram.mean());
  out.stddev = out.p50 = out.p90 = out.p95 = out.p99 = out.p999 = NAN;
  if (!histogram.has_shape()) return;
  out.stddev = scaled(histogram.stddev());
  out.p50 = scaled(histogram.percentile(50));
  out.p90 = scaled(histogram.percentile(90));
  out.p95 = scaled(histogram.percentile(95));
  out.p99 = scaled(histogram.percentile(99));
  out.p999 = scaled(histogram.percentile(99.9));
}

}  // namespace

MetricReports to_report(const manifest::Testlet& testlet, const stats::Values& metrics, Row row) {
  MetricReports result;
  for (const auto& metric : testlet.metrics) {
    if (row == Row::flat && metric.only_total) continue;
    const auto found = metrics.find(metric.name);
    const bool recorded = found != metrics.end();
    const double scale = metric.unit == "ns" ? 1e-9 : 1;
    MetricReport report;
    report.unit = metric.unit == "ns" ? "s" : is_bytes(metric.unit) ? "B" : metric.unit;
    switch (metric.kind) {
      case stats::Kind::counter:
        report.kind = MetricKind::counter;
        report.value = recorded ? static_cast<double>(found->second.counter) * scale : 0;
        break;
      case stats::Kind::ratio:
        report.kind = MetricKind::ratio;
        report.value = ratio_of(metric, metrics);
        break;
      case stats::Kind::gauge:
        if (!recorded || !found->second.has_gauge) continue;
        report.kind = MetricKind::gauge;
        report.value = found->second.gauge * scale;
        break;
      case stats::Kind::histogram:
        if (!recorded) continue;
        report.kind = MetricKind::histogram;
        fill_histogram(found->second.histogram, scale, report);
        break;
      case stats::Kind::breakdown:
        if (!recorded) continue;
        report.kind = MetricKind::breakdown;
        report.values = found->second.breakdown;
        break;
      case stats::Kind::spread:
        report.kind = MetricKind::spread;
        report.value = spread_of(metric, metrics) * scale;
        if (std::isnan(report.value)) continue;
        break;
      case stats::Kind::info: continue;
    }
    result.emplace(metric.name, std::move(report));
  }
  return result;
}

}  // namespace todd::model
