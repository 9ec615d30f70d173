#include "engine/manifest/validate.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "engine/manifest/params.h"

namespace todd::manifest {
namespace {

// Names stand in expressions, URLs and time-series databases.
bool well_formed(const std::string& name, std::string_view also = "") {
  if (name.empty() || name.size() > 63 || name[0] < 'a' || name[0] > 'z') return false;
  return std::all_of(name.begin(), name.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || also.find(c) != also.npos;
  });
}

// Ids also stand as names of tests (at most 63 characters) and of files; a dot separates two parts.
bool well_formed_id(const std::string& id) {
  return well_formed(id, ".-") && id.back() != '.' && id.find("..") == id.npos;
}

tl::unexpected<Error> invalid(const Testlet& testlet, std::string_view what) {
  return fail(Errc::invalid, fmt::format("manifest: testlet {}: {}", testlet.id, what));
}

bool has_range(ParamType type) {
  using enum ParamType;
  return type != boolean && type != text && type != choice;
}

Status validate_param(const Testlet& testlet, const Param& param) {
  const auto wrong = [&](std::string_view what) {
    return invalid(testlet, fmt::format("param {}: {}", param.name, what));
  };
  if (!well_formed(param.name)) return wrong("a name is a-z, 0-9 and _, beginning with a letter");
  const auto& hosts = host_params();
  if (std::any_of(hosts.begin(), hosts.end(), [&](const Param& host) { return host.name == param.name; })) {
    return wrong("this name is the host's");
  }
  if ((param.type == ParamType::choice) == param.choices.empty())
    return wrong("a choice, and nothing else, has choices");
  if (param.type != ParamType::text && !param.pattern.empty()) return wrong("only a text has a pattern");
  if (param.type != ParamType::text && param.repeat) return wrong("only a text may be repeated");
  if (param.secret && param.type != ParamType::text) return wrong("only a text is a secret");
  if (param.secret && (param.repeat || !param.dflt.empty() || !param.pattern.empty()))
    return wrong("a secret is given once, has no default, and no pattern: nobody could check it");
  if (param.proxy && (param.type != ParamType::text || param.secret || !param.dflt.empty()))
    return wrong("a proxy is a text, no secret, and has no default");
  if (!has_range(param.type) && !(param.min.empty() && param.max.empty()))
    return wrong("this type has no range");
  if (param.required && !param.dflt.empty())
    return wrong("the user must give it, so a default is refused: write \"\"");
  Param bare = param;  // the bounds themselves are read without a range
  bare.min.clear();
  bare.max.clear();
  for (const std::string* bound : {&param.min, &param.max}) {
    if (bound->empty()) continue;
    if (auto value = parse_value(bare, *bound); !value) return wrong("bound: " + value.error().detail);
  }
  if (param.dflt.empty()) return {};
  if (auto value = parse_value(param, param.dflt); !value) return wrong("default: " + value.error().detail);
  return {};
}

// What is wrong with a metric that would be known of an edge where what it is computed from is not.
std::string only_total_too(const Metric& from) {
  return fmt::format("of \"{}\" only the total is kept, so it must say only_total too", from.name);
}

Status validate_metric(const Testlet& testlet, const Metric& metric) {
  const auto wrong = [&](std::string_view what) {
    return invalid(testlet, fmt::format("metric {}: {}", metric.name, what));
  };
  if (!well_formed(metric.name)) return wrong("a name is a-z, 0-9 and _, beginning with a letter");
  if (metric.kind != stats::Kind::breakdown && !metric.keys.empty())
    return wrong("only a breakdown has keys");
  if (metric.kind == stats::Kind::spread) {
    const Metric* histogram = testlet.metric(metric.histogram);
    if (histogram == nullptr || histogram->kind != stats::Kind::histogram)
      return wrong(
          fmt::format("\"{}\" is no histogram of this testlet; a spread is of one", metric.histogram));
    if (histogram->unit != metric.unit)
      return wrong(fmt::format("its unit must be that of \"{}\", {}", histogram->name, histogram->unit));
    if (!(metric.low >= 0 && metric.low < metric.high && metric.high <= 1))
      return wrong("a spread lies between two quantiles, 0 <= low < high <= 1");
    if (histogram->only_total && !metric.only_total) return wrong(only_total_too(*histogram));
  }
  if (metric.kind != stats::Kind::ratio) return {};
  for (const std::string* name : {&metric.numerator, &metric.denominator}) {
    const Metric* counter = testlet.metric(*name);
    if (counter == nullptr || counter->kind != stats::Kind::counter) {
      return wrong(fmt::format("\"{}\" is no counter of this testlet; a ratio needs two", *name));
    }
    if (counter->only_total && !metric.only_total) return wrong(only_total_too(*counter));
  }
  return {};
}

Status validate_schedule(const Testlet& testlet) {
  const ScheduleDefaults& s = testlet.schedule;
  if (!s.interval.empty() && !s.rate.empty())
    return invalid(testlet, "schedule: interval and rate exclude each other");
  const std::pair<const char*, const std::string*> all[] = {{"count", &s.count},
                                                            {"interval", &s.interval},
                                                            {"rate", &s.rate},
                                                            {"duration", &s.duration},
                                                            {"timeout", &s.timeout}};
  for (const auto& [name, text] : all) {
    if (text->empty()) continue;
    for (const Param& param : host_params()) {
      if (param.name != name) continue;
      if (auto value = parse_value(param, *text); !value)
        return invalid(testlet, "schedule: " + value.error().detail);
    }
  }
  return {};
}

Status validate_testlet(const Testlet& testlet) {
  if (!well_formed_id(testlet.id)) {
    return invalid(
        testlet,
        "an id is a-z, 0-9, -, _ and single dots between parts, at most 63, beginning with a letter");
  }
  if (!testlet.source && !testlet.responder) return invalid(testlet, "is neither source nor responder");
  if (testlet.target_kind != "host" && testlet.target_kind != "endpoint" && testlet.target_kind != "url") {
    return invalid(testlet,
                   fmt::format("target_kind \"{}\" is none of host, endpoint, url", testlet.target_kind));
  }
  std::set<std::string> names;
  for (const Param& param : testlet.params) {
    if (auto valid = validate_param(testlet, param); !valid) return valid;
    if (!names.insert(param.name).second)
      return invalid(testlet, fmt::format("param {} is declared twice", param.name));
  }
  names.clear();
  for (const Metric& metric : testlet.metrics) {
    if (auto valid = validate_metric(testlet, metric); !valid) return valid;
    if (!names.insert(metric.name).second)
      return invalid(testlet, fmt::format("metric {} is declared twice", metric.name));
  }
  return validate_schedule(testlet);
}

}  // namespace

Status validate(const Manifest& manifest) {
  std::set<std::string> ids;
  for (const Testlet& testlet : manifest.testlets) {
    if (auto valid = validate_testlet(testlet); !valid) return valid;
    if (!ids.insert(testlet.id).second) return invalid(testlet, "is declared twice");
  }
  return {};
}

}  // namespace todd::manifest
