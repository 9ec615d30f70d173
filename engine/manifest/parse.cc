#include <openssl/evp.h>
#include <simdjson.h>

#include <fmt/format.h>

#include "engine/base/check.h"
#include "engine/manifest/manifest.h"
#include "engine/manifest/validate.h"

namespace todd::manifest {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// The fields of one JSON object. The first error is kept with the place it happened at; reading then goes on
// with defaults, so that callers need not look after every field.
class Fields {
 public:
  Fields(object from, std::string place, std::string& error)
      : object_(from), place_(std::move(place)), error_(error) {}

  bool has(const char* name) const { return object_[name].error() == simdjson::SUCCESS; }

  void require(const char* name) {
    if (!has(name)) complain(name, "is missing");
  }
  void text(const char* name, std::string& out) {
    if (!has(name)) return;
    std::string_view value;
    if (object_[name].get_string().get(value)) return complain(name, "must be a text");
    out = value;
  }
  void flag(const char* name, bool& out) {
    if (has(name) && object_[name].get_bool().get(out)) complain(name, "must be true or false");
  }
  template <class T>
  void number(const char* name, T& out, uint64_t most) {
    if (!has(name)) return;
    uint64_t value = 0;
    if (object_[name].get_uint64().get(value) || value > most) {
      return complain(name, fmt::format("must be a whole number of 0 to {}", most));
    }
    out = static_cast<T>(value);
  }
  void real(const char* name, double& out) {
    if (has(name) && object_[name].get_double().get(out)) complain(name, "must be a number");
  }
  // One of the enumerators from `first` on, as `name_of` spells them.
  template <class E>
  void choice(const char* name, E& out, E first, E last, const char* (*name_of)(E)) {
    if (!has(name)) return;
    std::string word;
    text(name, word);
    std::string all;
    for (int i = static_cast<int>(first); i <= static_cast<int>(last); ++i) {
      const char* known = name_of(static_cast<E>(i));
      if (word == known) {
        out = static_cast<E>(i);
        return;
      }
      all += fmt::format("{}{}", all.empty() ? "" : ", ", known);
    }
    complain(name, fmt::format("\"{}\" is none of {}", word, all));
  }
  void texts(const char* name, std::vector<std::string>& out) {
    each(name, [&](element item, const std::string& place) {
      std::string_view value;
      if (item.get_string().get(value)) return complain_at(place, "must be a text");
      out.emplace_back(value);
    });
  }
  // Calls use(Fields) for each object of an array.
  template <class Use>
  void objects(const char* name, Use use) {
    each(name, [&](element item, const std::string& place) {
      object value;
      if (item.get_object().get(value)) return complain_at(place, "must be an object");
      use(Fields(value, place + ".", error_));
    });
  }
  template <class Use>
  void one(const char* name, Use use) {
    if (!has(name)) return;
    object value;
    if (object_[name].get_object().get(value)) return complain(name, "must be an object");
    use(Fields(value, place_ + name + ".", error_));
  }

 private:
  void complain(const char* name, std::string_view what) { complain_at(place_ + name, what); }
  void complain_at(const std::string& place, std::string_view what) {
    if (error_.empty()) error_ = fmt::format("{} {}", place, what);
  }
  template <class Use>
  void each(const char* name, Use use) {
    if (!has(name)) return;
    array items;
    if (object_[name].get_array().get(items)) return complain(name, "must be a list");
    size_t i = 0;
    for (const element item : items) use(item, fmt::format("{}{}[{}]", place_, name, i++));
  }

  object object_;
  std::string place_;
  std::string& error_;
};

void read_param(Fields f, Param& param) {
  f.require("name");
  f.require("type");
  f.text("name", param.name);
  f.choice("type", param.type, ParamType::boolean, ParamType::choice, param_type_name);
  f.text("dflt", param.dflt);
  f.text("min", param.min);
  f.text("max", param.max);
  f.texts("choices", param.choices);
  f.text("doc", param.doc);
  f.text("pattern", param.pattern);
  f.flag("required", param.required);
  f.flag("secret", param.secret);
  f.flag("repeat", param.repeat);
  f.flag("proxy", param.proxy);
}

void read_metric(Fields f, Metric& metric) {
  using stats::GaugeMerge;
  using stats::Kind;
  f.require("name");
  f.require("kind");
  f.text("name", metric.name);
  f.choice("kind", metric.kind, Kind::counter, Kind::spread, stats::kind_name);
  f.text("unit", metric.unit);
  f.text("doc", metric.doc);
  f.choice("merge", metric.merge, GaugeMerge::sum, GaugeMerge::last, stats::gauge_merge_name);
  f.text("numerator", metric.numerator);
  f.text("denominator", metric.denominator);
  if (metric.kind == Kind::spread) {
    f.text("histogram", metric.histogram);
    f.real("low", metric.low);
    f.real("high", metric.high);
  }
  f.flag("host", metric.host);
  f.flag("only_total", metric.only_total);
  f.texts("keys", metric.keys);
}

void read_testlet(Fields f, Testlet& testlet) {
  f.require("id");
  f.text("id", testlet.id);
  f.text("version", testlet.version);
  f.text("summary", testlet.summary);
  f.text("doc", testlet.doc);
  f.flag("source", testlet.source);
  f.flag("responder", testlet.responder);
  f.flag("heavy", testlet.heavy);
  f.flag("probes", testlet.probes);
  f.flag("warms_up", testlet.warms_up);
  f.flag("bulk", testlet.bulk);
  f.number("needs", testlet.needs, UINT32_MAX);
  f.text("target_kind", testlet.target_kind);
  f.number("default_port", testlet.default_port, UINT16_MAX);
  f.texts("default_expect", testlet.default_expect);
  f.one("schedule", [&](Fields s) {
    s.flag("tickets", testlet.schedule.tickets);
    s.text("count", testlet.schedule.count);
    s.text("interval", testlet.schedule.interval);
    s.text("rate", testlet.schedule.rate);
    s.text("duration", testlet.schedule.duration);
    s.text("timeout", testlet.schedule.timeout);
  });
  f.objects("params", [&](Fields p) { read_param(p, testlet.params.emplace_back()); });
  const auto counted = host_metrics(testlet);
  testlet.metrics.assign(counted.begin(), counted.end());
  f.objects("metrics", [&](Fields m) { read_metric(m, testlet.metrics.emplace_back()); });
}

std::string sha256_hex(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  TODD_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view json) {
  if (json.size() > kMaxManifestBytes) {
    return fail(Errc::exhausted,
                fmt::format("manifest: {} bytes, at most {} are allowed", json.size(), kMaxManifestBytes));
  }
  simdjson::dom::parser parser;
  object root;
  if (const auto error = parser.parse(json.data(), json.size()).get_object().get(root)) {
    return fail(Errc::invalid, fmt::format("manifest: no JSON object: {}", simdjson::error_message(error)));
  }
  std::string error;
  Fields f(root, "", error);
  Manifest manifest;
  f.require("format");
  f.number("format", manifest.format, INT32_MAX);
  if (error.empty() && manifest.format != kFormat) {
    return fail(
        Errc::unsupported,
        fmt::format("manifest: format {} is not known, this version reads format {}; use a ToDD of the "
                    "version that the testlet was built with",
                    manifest.format, kFormat));
  }
  f.require("abi_major");
  f.require("abi_minor");
  f.require("testlets");
  f.number("abi_major", manifest.abi_major, UINT16_MAX);
  f.number("abi_minor", manifest.abi_minor, UINT16_MAX);
  f.text("sdk", manifest.sdk);
  f.objects("testlets", [&](Fields t) { read_testlet(t, manifest.testlets.emplace_back()); });
  if (!error.empty()) return fail(Errc::invalid, "manifest: " + error);
  if (auto valid = validate(manifest); !valid) return tl::unexpected(valid.error());
  manifest.hash = sha256_hex(json);
  return manifest;
}

}  // namespace todd::manifest
