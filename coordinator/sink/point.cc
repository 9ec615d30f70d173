#include "coordinator/sink/point.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "coordinator/model/expect.h"
#include "coordinator/model/json.h"

namespace todd::sink {
namespace {
// Names and values come from users and networks. A line break would begin a line of its own and cannot be
// escaped in tags and keys; like other control characters it becomes a space. A backslash at the end would
// escape what follows.
std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < 0x20 || u == 0x7f) {
      out += "\\ ";
    } else if (c == '\\') {
      out += '/';
    } else {
      if (c == ',' || c == '=' || c == ' ') out += '\\';
      out += c;
    }
  }
  return out;
}

void append_tag(std::string& out, std::string_view name, const std::string& value) {
  if (value.empty()) return;  // the protocol knows no empty tags
  out += ',';
  out += name;
  out += '=';
  out += escaped(value);
}

// One field at a time, whatever the output.
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void whole(const std::string& name, uint64_t value) = 0;
  virtual void real(const std::string& name, double value) = 0;
};

class InfluxFields : public Fields {
 public:
  explicit InfluxFields(std::string& out) : out_(out) {}
  // Influx's integers are signed.
  void whole(const std::string& name, uint64_t value) override {
    add(name, fmt::format("{}i", std::min(value, uint64_t{INT64_MAX})));
  }
  void real(const std::string& name, double value) override {
    if (std::isfinite(value)) add(name, fmt::format("{}", value));
  }
  bool any() const { return any_; }

 private:
  void add(const std::string& name, const std::string& value) {
    if (any_) out_ += ',';
    any_ = true;
    // InfluxDB 1 refuses a field of this name.
    out_ += escaped(name == "time" ? "time_" : name);
    out_ += '=';
    out_ += value;
  }
  std::string& out_;
  bool any_ = false;
};

class JsonFields : public Fields {
 public:
  explicit JsonFields(model::JsonWriter& json) : json_(json) {}
  void whole(const std::string& name, uint64_t value) override { json_.field(name, value); }
  void real(const std::string& name, double value) override { json_.field(name, value); }

 private:
  model::JsonWriter& json_;
};

// From the testlet's base unit to that of the outputs.
double scale_of(const manifest::Metric& metric) { return metric.unit == "ns" ? 1e-9 : 1; }

void add_histogram(Fields& fields, const std::string& name, const stats::Histogram& h, double scale) {
  fields.whole(name + "_count", h.count);
  fields.real(name + "_sum", static_cast<double>(h.sum) * scale);
  if (h.count == 0) return;
  fields.real(name + "_min", static_cast<double>(h.min) * scale);
  fields.real(name + "_max", static_cast<double>(h.max) * scale);
  if (!h.has_shape()) return;
  for (const int p : {50, 90, 99}) fields.real(fmt::format("{}_p{}", name, p), h.percentile(p) * scale);
}

void add_spread(Fields& fields, const manifest::Metric& metric, const stats::Values& values) {
  const double value = model::spread_of(metric, values);
  if (!std::isnan(value)) fields.real(metric.name, value * scale_of(metric));
}

// Declared metrics only, in the manifest's order.
void add_fields(Fields& fields, const Point& point) {
  for (const manifest::Metric& metric : point.testlet.metrics) {
    if (metric.kind == stats::Kind::spread) {
      add_spread(fields, metric, point.metrics);
      continue;
    }
    const auto found = point.metrics.find(metric.name);
    if (found == point.metrics.end()) continue;
    const stats::Value& value = found->second;
    const double scale = scale_of(metric);
    switch (metric.kind) {
      case stats::Kind::counter:
        if (scale != 1) {
          fields.real(metric.name, static_cast<double>(value.counter) * scale);
        } else {
          fields.whole(metric.name, value.counter);
        }
        break;
      case stats::Kind::gauge:
        if (value.has_gauge) fields.real(metric.name, value.gauge * scale);
        break;
      case stats::Kind::histogram: add_histogram(fields, metric.name, value.histogram, scale); break;
      case stats::Kind::breakdown:
        for (const auto& [key, n] : value.breakdown) fields.whole(metric.name + "_" + key, n);
        break;
      case stats::Kind::ratio:
      case stats::Kind::spread:
      case stats::Kind::info: break;
    }
  }
}
}  // namespace

void append_influx(std::string& out, const Point& point) {
  const size_t begin = out.size();
  std::string id = point.testlet.id;
  // Query languages of time series take neither '.' nor '-' in a name without quoting.
  for (char& c : id) c = c == '.' || c == '-' ? '_' : c;
  out += "todd_" + escaped(id);
  append_tag(out, "run", point.run);
  append_tag(out, "suite", point.suite);
  append_tag(out, "test", point.test);
  append_tag(out, "source", point.source);
  append_tag(out, "target", point.target);
  append_tag(out, "address", point.address);
  out += ' ';
  InfluxFields fields(out);
  add_fields(fields, point);
  if (!fields.any()) {
    out.resize(begin);
    return;
  }
  out += fmt::format(" {}\n", point.at_ns);
}

void append_jsonl(std::string& out, const Point& point) {
  model::JsonWriter json(out);
  json.begin_object();
  json.key("at").time(point.at_ns);
  json.field("run", point.run).field("suite", point.suite).field("test", point.test);
  json.field("testlet", point.testlet.id).field("source", point.source).field("target", point.target);
  json.field("address", point.address);
  json.key("fields").begin_object();
  JsonFields fields(json);
  add_fields(fields, point);
  json.end_object().end_object();
  out += '\n';
}

}  // namespace todd::sink
