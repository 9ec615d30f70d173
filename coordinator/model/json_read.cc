// JSON back to a report: what the command does with the answer of the API.
#include <cmath>
#include <cstdio>
#include <ctime>

#include <fmt/format.h>
#include <simdjson.h>

#include "coordinator/model/json.h"
#include "engine/manifest/params.h"

namespace todd::model {

namespace {

using simdjson::dom::element;

// Reads with fallbacks; the first value of a wrong type is remembered by its key.
class Reader {
 public:
  bool ok() const { return wrong_.empty(); }
  const std::string& wrong() const { return wrong_; }

  std::string text(element at, const char* key) {
    element value;
    if (!find(at, key, value)) return "";
    std::string_view found;
    if (value.get(found)) wrong(key);
    return std::string(found);
  }

  // NaN for null.
  double number(element at, const char* key) {
    element value;
    if (at[key].get(value)) return 0;
    if (value.is_null()) return NAN;
    double found = 0;
    if (value.get(found)) wrong(key);
    return found;
  }

  uint64_t count(element at, const char* key) {
    element value;
    if (!find(at, key, value)) return 0;
    uint64_t found = 0;
    if (value.get(found)) wrong(key);
    return found;
  }

  bool boolean(element at, const char* key) {
    element value;
    if (!find(at, key, value)) return false;
    bool found = false;
    if (value.get(found)) wrong(key);
    return found;
  }

  int64_t time(element at, const char* key) {
    const std::string text = this->text(at, key);
    if (text.empty()) return 0;
    std::tm tm{};
    int micros = 0, used = 0;
    const int got = std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%6d%n", &tm.tm_year, &tm.tm_mon,
                                &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &micros, &used);
    if (got != 7 || text.substr(static_cast<size_t>(used)) != "Z") {
      wrong(key);
      return 0;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t{timegm(&tm)} * 1'000'000 + micros) * 1000;
  }

  template <class Enum>
  Enum word(element at, const char* key, Enum fallback) {
    const std::string text = this->text(at, key);
    if (text.empty()) return fallback;
    const auto value = parse_enum<Enum>(text);
    if (!value) wrong(key);
    return value.value_or(fallback);
  }

  Verdict verdict(element at) {
    const auto value = parse_verdict(text(at, "verdict"));
    if (!value) wrong("verdict");
    return value.value_or(Verdict::none);
  }

  std::vector<std::string> texts(element at, const char* key) {
    std::vector<std::string> result;
    each(at, key, [&](element item) {
      std::string_view found;
      if (item.get(found)) wrong(key);
      result.emplace_back(found);
    });
    return result;
  }

  std::map<std::string, std::string> map(element at, const char* key) {
    std::map<std::string, std::string> result;
    each_field(at, key, [&](std::string_view name, element item) {
      std::string_view found;
      if (item.get(found)) wrong(key);
      result.emplace(name, found);
    });
    return result;
  }

  std::map<std::string, ParamReport> params(element at) {
    std::map<std::string, ParamReport> result;
    each_field(at, "params", [&](std::string_view name, element item) {
      ParamReport& param = result[std::string(name)];
      if (item.is_array()) {
        param.form = ParamForm::list;
        std::vector<std::string> texts;
        for (element one : simdjson::dom::array(item)) {
          std::string_view found;
          if (one.get(found)) wrong("params");
          texts.emplace_back(found);
        }
        const auto joined = manifest::join_texts(texts);
        if (!joined) wrong("params");
        param.text = joined.value_or("");
        return;
      }
      if (item.is_object()) {
        param.form = ParamForm::secret;
        param.text = text(item, "secret");
        return;
      }
      std::string_view found;
      if (item.get(found)) wrong("params");
      param.text = found;
    });
    return result;
  }

  std::map<std::string, uint64_t> counts(element at, const char* key) {
    std::map<std::string, uint64_t> result;
    each_field(at, key, [&](std::string_view name, element item) {
      uint64_t found = 0;
      if (item.get(found)) wrong(key);
      result.emplace(name, found);
    });
    return result;
  }

  template <class Take>
  void each(element at, const char* key, Take take) {
    element value;
    if (!find(at, key, value)) return;
    simdjson::dom::array items;
    if (value.get(items)) return wrong(key);
    for (element item : items) take(item);
  }

  template <class Take>
  void each_field(element at, const char* key, Take take) {
    element value;
    if (!find(at, key, value)) return;
    simdjson::dom::object fields;
    if (value.get(fields)) return wrong(key);
    for (auto field : fields) take(field.key, field.value);
  }

  element object(element at, const char* key) {
    element value;
    if (at[key].get(value) || !value.is_object()) wrong(key);
    return value;
  }

 private:
  static bool find(element at, const char* key, element& out) { return !at[key].get(out) && !out.is_null(); }
  void wrong(const char* key) {
    if (wrong_.empty()) wrong_ = key;
  }

  std::string wrong_;
};

MetricReports read_metrics(Reader& reader, element at, const char* key) {
  MetricReports metrics;
  reader.each_field(at, key, [&](std::string_view name, element item) {
    MetricReport metric;
    metric.kind = reader.word(item, "kind", MetricKind::counter);
    metric.unit = reader.text(item, "unit");
    metric.value = reader.number(item, "value");
    metric.count = reader.count(item, "count");
    metric.sum = reader.number(item, "sum");
    metric.min = reader.number(item, "min");
    metric.max = reader.number(item, "max");
    metric.mean = reader.number(item, "mean");
    metric.stddev = reader.number(item, "stddev");
    metric.p50 = reader.number(item, "p50");
    metric.p90 = reader.number(item, "p90");
    metric.p95 = reader.number(item, "p95");
    metric.p99 = reader.number(item, "p99");
    metric.p999 = reader.number(item, "p999");
    metric.values = reader.counts(item, "values");
    metrics.emplace(name, std::move(metric));
  });
  return metrics;
}

Quality read_quality(Reader& reader, element at) {
  Quality quality;
  const element value = reader.object(at, "quality");
  if (!reader.ok()) return quality;
  if (const std::string grade = reader.text(value, "grade"); !grade.empty())
    quality.grade = reader.word(value, "grade", Grade::good);
  quality.causes = reader.texts(value, "causes");
  quality.tx_stamp = reader.text(value, "tx_stamp");
  quality.rx_stamp = reader.text(value, "rx_stamp");
  quality.engine = reader.text(value, "engine");
  quality.lateness_p99_s = reader.number(value, "lateness_p99_s");
  quality.local_drops = reader.count(value, "local_drops");
  quality.clock_error_s = reader.number(value, "clock_error_s");
  quality.unmatched = reader.count(value, "unmatched");
  quality.samples_dropped = reader.count(value, "samples_dropped");
  quality.lane_cpu_s = reader.number(value, "lane_cpu_s");
  quality.worker_cpu_s = reader.number(value, "worker_cpu_s");
  quality.measured_s = reader.number(value, "measured_s");
  quality.other_tasks = reader.count(value, "other_tasks");
  return quality;
}

EdgeReport read_edge(Reader& reader, element at) {
  EdgeReport edge;
  const element source = reader.object(at, "source");
  const element target = reader.object(at, "target");
  if (!reader.ok()) return edge;
  edge.source_agent = reader.text(source, "agent");
  edge.source_groups = reader.texts(source, "groups");
  edge.target_name = reader.text(target, "name");
  edge.target_groups = reader.texts(target, "groups");
  edge.target_agent = reader.text(target, "agent");
  edge.address = reader.text(at, "address");
  edge.resolve_s = reader.number(at, "resolve_s");
  edge.verdict = reader.verdict(at);
  edge.state = reader.word(at, "state", EdgeState::no_data);
  edge.reason = reader.text(at, "reason");
  edge.detail = reader.text(at, "detail");
  edge.metrics = read_metrics(reader, at, "metrics");
  edge.idle = read_metrics(reader, at, "idle");
  edge.loaded = read_metrics(reader, at, "loaded");
  edge.info = reader.map(at, "info");
  reader.each(at, "examples", [&](element item) {
    edge.examples.push_back(
        {reader.time(item, "at"), reader.text(item, "outcome"), reader.text(item, "detail")});
  });
  reader.each(at, "periods", [&](element item) {
    edge.periods.push_back({reader.time(item, "started_at"), reader.number(item, "seconds"),
                            reader.boolean(item, "partial"), read_metrics(reader, item, "metrics")});
  });
  reader.each(at, "samples", [&](element item) {
    const double ttl = reader.number(item, "ttl");
    edge.samples.push_back({reader.time(item, "at"), reader.number(item, "rtt"), reader.text(item, "outcome"),
                            reader.count(item, "seq"), ttl >= 0 && ttl <= 255 ? static_cast<int>(ttl) : -1,
                            reader.text(item, "tx_stamp"), reader.text(item, "rx_stamp")});
  });
  edge.quality = read_quality(reader, at);
  return edge;
}

EdgeSummary read_summary(Reader& reader, element at) {
  EdgeSummary summary;
  summary.edges = reader.count(at, "edges");
  summary.ok = reader.count(at, "ok");
  summary.verdicts = reader.counts(at, "verdicts");
  summary.states = reader.counts(at, "states");
  return summary;
}

TestReport read_test(Reader& reader, element at) {
  TestReport test;
  test.name = reader.text(at, "name");
  test.testlet = reader.text(at, "testlet");
  test.testlet_version = reader.text(at, "testlet_version");
  test.params = reader.params(at);
  test.alongside = reader.text(at, "alongside");
  test.from = reader.text(at, "from");
  test.to = reader.text(at, "to");
  test.verdict = reader.verdict(at);
  test.total = read_metrics(reader, at, "total");
  test.idle = read_metrics(reader, at, "idle");
  test.loaded = read_metrics(reader, at, "loaded");
  reader.each(at, "edges", [&](element item) { test.edges.push_back(read_edge(reader, item)); });
  if (element summary; !at["summary"].get(summary)) test.summary = read_summary(reader, summary);
  reader.each(at, "expectations", [&](element item) {
    test.expectations.push_back({reader.text(item, "expr"), reader.word(item, "severity", Severity::fail),
                                 reader.verdict(item), reader.text(item, "observed"),
                                 reader.text(item, "worst_edge"), reader.text(item, "reason")});
  });
  return test;
}

}  // namespace

Result<Report> read_report(std::string_view json) {
  simdjson::dom::parser parser;
  element root;
  if (const auto error = parser.parse(json.data(), json.size()).get(root)) {
    return fail(Errc::corrupt, fmt::format("the report is no JSON: {}", simdjson::error_message(error)));
  }
  if (!root.is_object()) return fail(Errc::corrupt, "the report is no JSON object");
  Reader reader;
  Report report;
  report.schema_version = static_cast<int>(reader.count(root, "schema_version"));
  report.id = reader.text(root, "id");
  report.suite = reader.text(root, "suite");
  report.spec_digest = reader.text(root, "spec_digest");
  report.trigger = reader.word(root, "trigger", Trigger::manual);
  report.labels = reader.map(root, "labels");
  report.check = reader.boolean(root, "check");
  report.state = reader.word(root, "state", RunState::running);
  report.verdict = reader.verdict(root);
  report.reason = reader.text(root, "reason");
  report.first_incomplete = reader.text(root, "first_incomplete");
  report.started_at_ns = reader.time(root, "started_at");
  report.finished_at_ns = reader.time(root, "finished_at");
  report.warnings = reader.texts(root, "warnings");
  reader.each(root, "tests", [&](element item) { report.tests.push_back(read_test(reader, item)); });
  reader.each(root, "agents", [&](element item) {
    report.agents.push_back({reader.text(item, "name"), reader.text(item, "id"), reader.text(item, "version"),
                             reader.boolean(item, "connected"), reader.text(item, "engine"),
                             reader.number(item, "clock_offset_s"), reader.number(item, "clock_error_s"),
                             reader.text(item, "reason")});
  });
  reader.each(root, "delivery", [&](element item) {
    report.delivery.push_back({reader.text(item, "sink"), reader.text(item, "state"),
                               reader.count(item, "pending"), reader.count(item, "delivered"),
                               reader.count(item, "dead")});
  });
  if (!reader.ok())
    return fail(Errc::corrupt, fmt::format("the report's \"{}\" cannot be read", reader.wrong()));
  return report;
}

}  // namespace todd::model
