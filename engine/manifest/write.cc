#include <algorithm>

#include <fmt/format.h>

#include "engine/manifest/manifest.h"

namespace todd::manifest {
namespace {

// Appends JSON; commas are set by looking at what stands before.
class Writer {
 public:
  void open(char bracket) {
    comma();
    out_ += bracket;
  }
  void close(char bracket) { out_ += bracket; }

  void key(std::string_view name) {
    comma();
    quote(name);
    out_ += ':';
  }
  void value(const std::string& text) {
    comma();
    quote(text);
  }
  void field(std::string_view name, const std::string& text) {
    key(name);
    quote(text);
  }
  void flag(std::string_view name, bool set) {
    key(name);
    out_ += set ? "true" : "false";
  }
  void number(std::string_view name, uint64_t n) {
    key(name);
    out_ += std::to_string(n);
  }
  // Finite; the shortest text that reads back the same.
  void real(std::string_view name, double value) {
    key(name);
    out_ += fmt::format("{}", value);
  }
  void texts(std::string_view name, const std::vector<std::string>& all) {
    key(name);
    open('[');
    for (const std::string& text : all) value(text);
    close(']');
  }
  std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!out_.empty() && out_.back() != '{' && out_.back() != '[' && out_.back() != ':') out_ += ',';
  }
  void quote(std::string_view text) {
    out_ += '"';
    for (const char c : text) {
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        out_ += fmt::format("\\u{:04x}", static_cast<int>(c));
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  std::string out_;
};

void write_param(Writer& w, const Param& param) {
  w.open('{');
  w.field("name", param.name);
  w.field("type", param_type_name(param.type));
  w.field("dflt", param.dflt);
  w.field("min", param.min);
  w.field("max", param.max);
  w.texts("choices", param.choices);
  w.field("doc", param.doc);
  w.field("pattern", param.pattern);
  w.flag("required", param.required);
  w.flag("secret", param.secret);
  w.flag("repeat", param.repeat);
  w.flag("proxy", param.proxy);
  w.close('}');
}

void write_metric(Writer& w, const Metric& metric) {
  w.open('{');
  w.field("name", metric.name);
  w.field("kind", stats::kind_name(metric.kind));
  w.field("unit", metric.unit);
  w.field("doc", metric.doc);
  w.field("merge", stats::gauge_merge_name(metric.merge));
  w.field("numerator", metric.numerator);
  w.field("denominator", metric.denominator);
  if (metric.kind == stats::Kind::spread) {
    w.field("histogram", metric.histogram);
    w.real("low", metric.low);
    w.real("high", metric.high);
  }
  w.flag("host", metric.host);
  w.flag("only_total", metric.only_total);
  w.texts("keys", metric.keys);
  w.close('}');
}

void write_schedule(Writer& w, const ScheduleDefaults& schedule) {
  w.open('{');
  w.flag("tickets", schedule.tickets);
  w.field("count", schedule.count);
  w.field("interval", schedule.interval);
  w.field("rate", schedule.rate);
  w.field("duration", schedule.duration);
  w.field("timeout", schedule.timeout);
  w.close('}');
}

void write_testlet(Writer& w, const Testlet& testlet) {
  w.open('{');
  w.field("id", testlet.id);
  w.field("version", testlet.version);
  w.field("summary", testlet.summary);
  w.field("doc", testlet.doc);
  w.flag("source", testlet.source);
  w.flag("responder", testlet.responder);
  w.flag("heavy", testlet.heavy);
  w.flag("probes", testlet.probes);
  w.flag("warms_up", testlet.warms_up);
  w.flag("bulk", testlet.bulk);
  w.number("needs", testlet.needs);
  w.field("target_kind", testlet.target_kind);
  w.number("default_port", testlet.default_port);
  w.texts("default_expect", testlet.default_expect);
  w.key("schedule");
  write_schedule(w, testlet.schedule);
  w.key("params");
  w.open('[');
  for (const Param& param : testlet.params) write_param(w, param);
  w.close(']');
  w.key("metrics");
  w.open('[');
  const auto standard = host_metrics(testlet);
  for (const Metric& metric : testlet.metrics) {
    if (std::find(standard.begin(), standard.end(), metric) != standard.end()) continue;
    write_metric(w, metric);
  }
  w.close(']');
  w.close('}');
}

}  // namespace

std::string write_manifest(const Manifest& manifest) {
  Writer w;
  w.open('{');
  w.number("format", static_cast<uint64_t>(manifest.format));
  w.number("abi_major", manifest.abi_major);
  w.number("abi_minor", manifest.abi_minor);
  w.field("sdk", manifest.sdk);
  w.key("testlets");
  w.open('[');
  for (const Testlet& testlet : manifest.testlets) write_testlet(w, testlet);
  w.close(']');
  w.close('}');
  return w.take();
}

}  // namespace todd::manifest
