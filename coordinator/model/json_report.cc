// Reports to JSON.
#include <algorithm>
#include <cmath>

#include "coordinator/model/json.h"
#include "engine/manifest/params.h"

namespace todd::model {

namespace {

void text_or_null(JsonWriter& json, std::string_view name, const std::string& value) {
  json.key(name);
  if (value.empty())
    json.null();
  else
    json.text(value);
}

void write_map(JsonWriter& json, std::string_view name, const std::map<std::string, std::string>& values) {
  json.key(name).begin_object();
  for (const auto& [key, value] : values) json.field(key, value);
  json.end_object();
}

// Whole numbers of less than 2^53, which a double holds exactly, without exponent: 1000000, not 1e+06.
void write_value(JsonWriter& json, double value) {
  json.key("value");
  if (std::abs(value) < 9007199254740992.0 && value == std::trunc(value)) {
    json.integer(static_cast<int64_t>(value));
  } else {
    json.number(value);
  }
}

void write_metric(JsonWriter& json, const MetricReport& metric) {
  json.begin_object().field("kind", name_of(metric.kind)).field("unit", metric.unit);
  switch (metric.kind) {
    case MetricKind::counter:
    case MetricKind::gauge:
    case MetricKind::ratio:
    case MetricKind::spread: write_value(json, metric.value); break;
    case MetricKind::histogram:
      json.field("count", metric.count)
          .field("sum", metric.sum)
          .field("min", metric.min)
          .field("max", metric.max);
      json.field("mean", metric.mean).field("stddev", metric.stddev).field("p50", metric.p50);
      json.field("p90", metric.p90)
          .field("p95", metric.p95)
          .field("p99", metric.p99)
          .field("p999", metric.p999);
      break;
    case MetricKind::breakdown:
      json.key("values").begin_object();
      for (const auto& [key, count] : metric.values) json.field(key, count);
      json.end_object();
      break;
  }
  json.end_object();
}

void write_metrics(JsonWriter& json, std::string_view name, const MetricReports& metrics) {
  json.key(name).begin_object();
  for (const auto& [key, metric] : metrics) {
    json.key(key);
    write_metric(json, metric);
  }
  json.end_object();
}

// Of a test alongside another, where it measured anything then.
void write_windows(JsonWriter& json, const MetricReports& idle, const MetricReports& loaded) {
  if (!idle.empty()) write_metrics(json, "idle", idle);
  if (!loaded.empty()) write_metrics(json, "loaded", loaded);
}

void write_quality(JsonWriter& json, const Quality& quality) {
  json.key("quality").begin_object();
  text_or_null(json, "grade", quality.grade ? name_of(*quality.grade) : "");
  json.field("causes", quality.causes);
  text_or_null(json, "tx_stamp", quality.tx_stamp);
  text_or_null(json, "rx_stamp", quality.rx_stamp);
  text_or_null(json, "engine", quality.engine);
  json.field("lateness_p99_s", quality.lateness_p99_s).field("local_drops", quality.local_drops);
  json.field("clock_error_s", quality.clock_error_s).field("unmatched", quality.unmatched);
  json.field("samples_dropped", quality.samples_dropped).field("lane_cpu_s", quality.lane_cpu_s);
  json.field("worker_cpu_s", quality.worker_cpu_s).field("measured_s", quality.measured_s);
  json.field("other_tasks", quality.other_tasks).end_object();
}

void write_periods(JsonWriter& json, const std::vector<PeriodReport>& periods) {
  json.key("periods").begin_array();
  for (const PeriodReport& period : periods) {
    json.begin_object().key("started_at").time(period.started_at_ns);
    json.field("seconds", period.seconds).field("partial", period.partial);
    write_metrics(json, "metrics", period.metrics);
    json.end_object();
  }
  json.end_array();
}

void write_samples(JsonWriter& json, const std::vector<SampleReport>& samples) {
  json.key("samples").begin_array();
  for (const SampleReport& sample : samples) {
    json.begin_object().key("at").time(sample.at_ns);
    json.field("rtt", sample.rtt_s).field("outcome", sample.outcome).field("seq", sample.seq);
    json.key("ttl");
    if (sample.ttl < 0)
      json.null();
    else
      json.integer(sample.ttl);
    text_or_null(json, "tx_stamp", sample.tx_stamp);
    text_or_null(json, "rx_stamp", sample.rx_stamp);
    json.end_object();
  }
  json.end_array();
}

// The fields of an edge, into an object that is open.
void write_edge_fields(JsonWriter& json, const EdgeReport& edge, const ReportOptions& options) {
  json.key("source")
      .begin_object()
      .field("agent", edge.source_agent)
      .field("groups", edge.source_groups)
      .end_object();
  json.key("target").begin_object().field("name", edge.target_name).field("groups", edge.target_groups);
  text_or_null(json, "agent", edge.target_agent);
  json.end_object();
  text_or_null(json, "address", edge.address);
  if (edge.resolve_s > 0) json.field("resolve_s", edge.resolve_s);
  json.field("verdict", verdict_name(edge.verdict)).field("state", name_of(edge.state));
  text_or_null(json, "reason", edge.reason);
  text_or_null(json, "detail", edge.detail);
  write_metrics(json, "metrics", edge.metrics);
  write_windows(json, edge.idle, edge.loaded);
  write_map(json, "info", edge.info);
  json.key("examples").begin_array();
  for (const Example& example : edge.examples) {
    json.begin_object().key("at").time(example.at_ns);
    json.field("outcome", example.outcome).field("detail", example.detail).end_object();
  }
  json.end_array();
  if (options.periods) write_periods(json, edge.periods);
  if (options.samples) write_samples(json, edge.samples);
  write_quality(json, edge.quality);
}

// The edges to write: all, or where they are too many those that are not ok, as far as they go.
class Choice {
 public:
  Choice(const TestReport& test, const ReportOptions& options)
      : edges_(test.edges), all_(edges_.size() <= options.max_edges) {
    if (all_) size_ = edges_.size();
    for (size_t i = 0; !all_ && i < edges_.size() && size_ < options.max_edges; ++i)
      size_ += !edges_.is_ok(i);
  }
  size_t size() const { return size_; }
  template <class Take>
  void each(Take take) const {
    if (all_) {
      for (const EdgeReport& edge : edges_) take(edge);
      return;
    }
    size_t taken = 0;
    for (size_t i = 0; taken < size_; ++i) {
      if (edges_.is_ok(i)) continue;
      take(edges_.at(i));
      ++taken;
    }
  }

 private:
  const EdgeReports& edges_;
  bool all_;
  size_t size_ = 0;
};

void write_summary(JsonWriter& json, const EdgeSummary& summary, size_t shown) {
  json.key("summary").begin_object().field("edges", summary.edges).field("shown", uint64_t{shown});
  json.field("ok", summary.ok).key("verdicts").begin_object();
  for (const auto& [name, count] : summary.verdicts) json.field(name, count);
  json.end_object().key("states").begin_object();
  for (const auto& [name, count] : summary.states) json.field(name, count);
  json.end_object().end_object();
}

void write_test(JsonWriter& json, const TestReport& test, const ReportOptions& options, bool with_edges) {
  json.begin_object().field("name", test.name).field("testlet", test.testlet);
  json.field("testlet_version", test.testlet_version);
  write_params(json, test.params);
  if (!test.alongside.empty()) json.field("alongside", test.alongside);
  json.field("from", test.from).field("to", test.to).field("verdict", verdict_name(test.verdict));
  write_metrics(json, "total", test.total);
  write_windows(json, test.idle, test.loaded);
  if (with_edges) {
    const Choice edges(test, options);
    if (test.summary || edges.size() < test.edges.size())
      write_summary(json, test.count_edges(), edges.size());
    json.key("edges").begin_array();
    edges.each([&](const EdgeReport& edge) {
      json.begin_object();
      write_edge_fields(json, edge, options);
      json.end_object();
      json.let_go();
    });
    json.end_array();
  }
  json.key("expectations").begin_array();
  for (const ExpectationReport& expectation : test.expectations) {
    json.begin_object().field("expr", expectation.expr).field("severity", name_of(expectation.severity));
    json.field("verdict", verdict_name(expectation.verdict)).field("observed", expectation.observed);
    text_or_null(json, "worst_edge", expectation.worst_edge);
    text_or_null(json, "reason", expectation.reason);
    json.end_object();
  }
  json.end_array().end_object();
}

void write_agents(JsonWriter& json, const std::vector<AgentReport>& agents) {
  json.key("agents").begin_array();
  for (const AgentReport& agent : agents) {
    json.begin_object().field("name", agent.name).field("id", agent.id).field("version", agent.version);
    json.field("connected", agent.connected);
    text_or_null(json, "engine", agent.engine);
    json.field("clock_offset_s", agent.clock_offset_s).field("clock_error_s", agent.clock_error_s);
    text_or_null(json, "reason", agent.reason);
    json.end_object();
  }
  json.end_array();
}

// The fields of a run, into an object that is open.
void write_run_fields(JsonWriter& json, const Report& report, const ReportOptions& options, bool with_edges) {
  json.field("schema_version", report.schema_version).field("id", report.id).field("suite", report.suite);
  json.field("spec_digest", report.spec_digest).field("trigger", name_of(report.trigger));
  write_map(json, "labels", report.labels);
  json.field("check", report.check);
  json.field("state", name_of(report.state)).field("verdict", verdict_name(report.verdict));
  text_or_null(json, "reason", report.reason);
  text_or_null(json, "first_incomplete", report.first_incomplete);
  json.key("started_at").time(report.started_at_ns).key("finished_at").time(report.finished_at_ns);
  json.field("warnings", report.warnings);
  json.key("tests").begin_array();
  for (const TestReport& test : report.tests) write_test(json, test, options, with_edges);
  json.end_array();
  write_agents(json, report.agents);
  json.key("delivery").begin_array();
  for (const Delivery& delivery : report.delivery) {
    json.begin_object()
        .field("sink", delivery.sink)
        .field("state", delivery.state)
        .field("pending", delivery.pending);
    json.field("delivered", delivery.delivered).field("dead", delivery.dead).end_object();
  }
  json.end_array();
}

}  // namespace

void write_params(JsonWriter& json, const std::map<std::string, ParamReport>& params) {
  json.key("params").begin_object();
  for (const auto& [name, param] : params) {
    if (param.form == ParamForm::list)
      json.field(name, manifest::split_texts(param.text));
    else if (param.form == ParamForm::secret)
      json.key(name).begin_object().field("secret", param.text).end_object();
    else
      json.field(name, param.text);
  }
  json.end_object();
}

void write_report(JsonWriter& json, const Report& report, const ReportOptions& options) {
  json.begin_object();
  write_run_fields(json, report, options, true);
  json.end_object();
}

bool ReportLines::next(std::string& out) {
  JsonWriter json(out);
  if (!begun_) {
    begun_ = true;
    json.begin_object().field("type", "run");
    write_run_fields(json, *report_, options_, false);
  } else {
    while (test_ < report_->tests.size() && edge_ == report_->tests[test_].edges.size()) ++test_, edge_ = 0;
    if (test_ == report_->tests.size()) return false;
    const TestReport& test = report_->tests[test_];
    json.begin_object().field("type", "edge").field("run", report_->id).field("test", test.name);
    write_edge_fields(json, test.edges.at(edge_++), options_);
  }
  json.end_object();
  out += '\n';
  return true;
}

}  // namespace todd::model
