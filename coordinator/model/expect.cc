#include "coordinator/model/expect.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

namespace todd::model {

bool is_bytes(std::string_view ucum_unit) { return ucum_unit == "By" || ucum_unit == "B"; }

namespace {

using Op = Expectation::Op;
using Function = Expectation::Function;
using Scope = Expectation::Scope;

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

struct Parts {
  std::string_view value;
  std::string_view literal;
  Op op = Op::lt;
};

// Cuts `value op literal` at the first operator outside of brackets (a breakdown's key may hold any sign).
Result<Parts> cut(std::string_view text) {
  static constexpr struct {
    std::string_view sign;
    Op op;
  } kOps[] = {{"<=", Op::le}, {">=", Op::ge}, {"==", Op::eq}, {"!=", Op::ne}, {"<", Op::lt}, {">", Op::gt}};
  bool in_key = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '[') in_key = true;
    if (text[i] == ']') in_key = false;
    if (in_key) continue;
    for (const auto& candidate : kOps) {
      if (!text.substr(i).starts_with(candidate.sign)) continue;
      return Parts{trim(text.substr(0, i)), trim(text.substr(i + candidate.sign.size())), candidate.op};
    }
    if (text[i] == '=') return fail(Errc::invalid, "\"=\" is no comparison: write ==");
  }
  return fail(Errc::invalid, "there is no comparison in it: write one such as p99(rtt) < 20ms");
}

// Takes "total:" or "90% of edges:" off the front.
Status read_scope(std::string_view& text, Expectation& out) {
  const size_t colon = text.find(':');
  const size_t bracket = text.find('[');
  if (colon == std::string_view::npos || bracket < colon) return {};
  const std::string_view scope = trim(text.substr(0, colon));
  text = trim(text.substr(colon + 1));
  if (scope == "total") {
    out.scope = Scope::total;
    return {};
  }
  const size_t sign = scope.find('%');
  if (sign != std::string_view::npos && trim(scope.substr(sign + 1)) == "of edges") {
    auto percent = manifest::parse_real(trim(scope.substr(0, sign)));
    if (percent && *percent > 0 && *percent <= 100) {
      out.scope = Scope::percent;
      out.percent = *percent;
      return {};
    }
    return fail(Errc::invalid, fmt::format("\"{}\" must be above 0% and at most 100%", scope));
  }
  return fail(Errc::invalid,
              fmt::format("\"{}:\" is not understood: it is \"total:\" or \"90% of edges:\"", scope));
}

// "p99.9" -> 99.9
std::optional<double> percentile_of(std::string_view name) {
  if (name.size() < 2 || name[0] != 'p' || name.find_first_not_of("0123456789.", 1) != std::string_view::npos)
    return std::nullopt;
  auto value = manifest::parse_real(name.substr(1));
  if (!value) return std::nullopt;
  return *value;
}

Status read_function(std::string_view name, Expectation& out) {
  static constexpr struct {
    std::string_view name;
    Function function;
  } kFunctions[] = {{"min", Function::min},
                    {"max", Function::max},
                    {"mean", Function::mean},
                    {"stddev", Function::stddev},
                    {"rate", Function::rate}};
  for (const auto& candidate : kFunctions) {
    if (name != candidate.name) continue;
    out.function = candidate.function;
    return {};
  }
  if (const auto percentile = percentile_of(name)) {
    if (*percentile <= 0 || *percentile >= 100) {
      return fail(
          Errc::invalid,
          fmt::format("{} is no percentile: N of pN is above 0 and below 100 (min and max are the ends)",
                      name));
    }
    out.function = Function::percentile;
    out.percentile = *percentile;
    return {};
  }
  return fail(Errc::invalid,
              fmt::format("there is no function \"{}\"{}", name,
                          ": it is min, max, mean, stddev, rate, or a percentile such as p99"));
}

struct WindowPrefix {
  std::string_view text;
  Window window;
};
constexpr WindowPrefix kWindows[] = {{"idle.", Window::idle}, {"loaded.", Window::loaded}};

Status find_metric(const std::string& name, const manifest::Testlet& testlet, Expectation& out) {
  if (const manifest::Metric* metric = testlet.metric(name)) {
    out.metric = *metric;
    return {};
  }
  std::vector<std::string> names;
  for (const auto& metric : testlet.metrics) {
    if (metric.kind != stats::Kind::info) names.push_back(metric.name);
  }
  std::string hint = manifest::did_you_mean(name, names);
  if (hint.empty()) hint = fmt::format(": it has {}", fmt::join(names, ", "));
  return fail(Errc::invalid, fmt::format("{} has no metric \"{}\"{}", testlet.id, name, hint));
}

// Where the testlet has told which keys there can be: another would hold forever, or never.
Status check_key(const std::string& key, const manifest::Metric& metric) {
  const auto& keys = metric.keys;
  if (key.empty() || keys.empty() || std::find(keys.begin(), keys.end(), key) != keys.end()) return {};
  std::string hint = manifest::did_you_mean(key, keys);
  if (hint.empty()) hint = fmt::format(": it has {}", fmt::join(keys, ", "));
  return fail(Errc::invalid, fmt::format("{} has no key \"{}\"{}", metric.name, key, hint));
}

std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && (text[0] == '"' || text[0] == '\'') && text.back() == text[0];
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// Whether function and key fit the metric's kind.
Status check_kind(const Expectation& e) {
  const std::string& name = e.metric.name;
  const bool has_function = e.function != Function::none;
  const char* kind = stats::kind_name(e.metric.kind);
  if (!e.key.empty() && e.metric.kind != stats::Kind::breakdown) {
    return fail(Errc::invalid,
                fmt::format("{} is a {} and has no keys: write {} without [{}]", name, kind, name, e.key));
  }
  switch (e.metric.kind) {
    case stats::Kind::histogram:
      if (!has_function) {
        return fail(
            Errc::invalid,
            fmt::format("{} is a histogram: say which value of it, p99({}) or mean({})", name, name, name));
      }
      if (e.function == Function::rate) {
        return fail(Errc::invalid,
                    fmt::format("rate() is of counters, {} is a histogram: use p99({})", name, name));
      }
      return {};
    case stats::Kind::counter:
      if (has_function && e.function != Function::rate) {
        return fail(Errc::invalid, fmt::format("{} is a counter: write {} or rate({})", name, name, name));
      }
      return {};
    case stats::Kind::breakdown:
      if (e.key.empty()) {
        return fail(Errc::invalid,
                    fmt::format("{} is a breakdown: say which key of it, as in {}[KEY]", name, name));
      }
      if (auto known = check_key(e.key, e.metric); !known) return known;
      [[fallthrough]];
    case stats::Kind::gauge:
    case stats::Kind::ratio:
    case stats::Kind::spread:
      if (has_function)
        return fail(Errc::invalid, fmt::format("{} is a {}: write {} alone", name, kind, name));
      return {};
    case stats::Kind::info:
      return fail(Errc::invalid, fmt::format("{} is text: nothing can be expected of it", name));
  }
  return {};
}

Status read_value(std::string_view text, const manifest::Testlet& testlet, bool alongside, Expectation& out) {
  if (text.empty()) return fail(Errc::invalid, "the value before the comparison is missing");
  std::string_view inside = text;
  const size_t open = text.find('(');
  if (open != std::string_view::npos && open < text.find('[')) {
    if (text.back() != ')')
      return fail(Errc::invalid, fmt::format("\"{}\" has no closing parenthesis", text));
    if (auto known = read_function(trim(text.substr(0, open)), out); !known) return known;
    inside = trim(text.substr(open + 1, text.size() - open - 2));
  }
  const size_t bracket = inside.find('[');
  if (bracket != std::string_view::npos) {
    if (inside.back() != ']')
      return fail(Errc::invalid, fmt::format("\"{}\" has no closing bracket", inside));
    out.key = unquoted(trim(inside.substr(bracket + 1, inside.size() - bracket - 2)));
    if (out.key.empty()) return fail(Errc::invalid, fmt::format("\"{}\" names no key", inside));
    inside = trim(inside.substr(0, bracket));
  }
  for (const WindowPrefix& prefix : kWindows) {
    if (!inside.starts_with(prefix.text)) continue;
    if (!alongside)
      return fail(Errc::invalid, fmt::format("{} is of a test alongside another, which this is not", inside));
    if (out.function == Function::rate)
      return fail(Errc::invalid, fmt::format("there is no rate() of {}: how long it was measured in all is "
                                             "not known to the period",
                                             inside));
    out.window = prefix.window;
    inside.remove_prefix(prefix.text.size());
    break;
  }
  const manifest::Testlet& of = out.window == Window::whole ? testlet : in_window(testlet);
  if (auto found = find_metric(std::string(inside), of, out); !found) return found;
  return check_kind(out);
}

Result<double> as_number(Result<int64_t> value) {
  if (!value) return tl::unexpected(value.error());
  return static_cast<double>(*value);
}

// A plain number; k, M and G may follow.
Result<double> read_number(std::string_view text) {
  if (auto real = manifest::parse_real(text)) return *real;
  return as_number(manifest::parse_integer(text));
}

Result<double> read_per_second(const std::string& unit, std::string_view text) {
  if (is_bytes(unit))
    return as_number(manifest::parse_size(text.ends_with("/s") ? text.substr(0, text.size() - 2) : text));
  return manifest::parse_rate(text);
}

struct Form {
  Result<double> value;
  const char* example;
};

Form read_in_unit(const Expectation& e, std::string_view text) {
  const std::string& unit = e.metric.unit;
  if (e.function == Function::rate) return {read_per_second(unit, text), is_bytes(unit) ? "1MB/s" : "10/s"};
  if (e.metric.kind == stats::Kind::ratio && unit == "1") return {manifest::parse_ratio(text), "0.5%"};
  if (unit == "ns") return {as_number(manifest::parse_duration(text)), "20ms"};
  if (is_bytes(unit)) return {as_number(manifest::parse_size(text)), "64KiB"};
  if (unit == "bit/s") return {as_number(manifest::parse_bitrate(text)), "50Mbit/s"};
  return {read_number(text), "100"};
}

Status read_literal(std::string_view text, Expectation& out) {
  if (text.empty()) return fail(Errc::invalid, "the limit after the comparison is missing");
  Form form = read_in_unit(out, text);
  if (form.value && std::isfinite(*form.value)) {
    out.literal = *form.value;
    return {};
  }
  const std::string why = form.value ? std::string("not finite") : form.value.error().detail;
  return fail(
      Errc::invalid,
      fmt::format("\"{}\" is no limit for {}, which is in {}: write one such as {} ({})", text,
                  out.metric.name, out.function == Function::rate ? out.metric.unit + "/s" : out.metric.unit,
                  form.example, why));
}

}  // namespace

bool names_window(std::string_view text) {
  for (const WindowPrefix& prefix : kWindows) {
    const size_t at = text.find(prefix.text);
    if (at == std::string_view::npos || text.find('[') < at) continue;
    if (at == 0 || std::string_view(" \t\r\n(:").find(text[at - 1]) != std::string_view::npos) return true;
  }
  return false;
}

Result<Expectation> parse_expectation(std::string_view text, const manifest::Testlet& testlet,
                                      bool alongside) {
  static constexpr size_t kMaxBytes = 1024;
  if (text.size() > kMaxBytes)
    return fail(Errc::invalid, fmt::format("an expectation is at most {} bytes", kMaxBytes));
  Expectation expectation;
  expectation.text = trim(text);
  std::string_view rest = expectation.text;
  const auto refuse = [&](const Error& error) {
    return fail(error.code, fmt::format("expectation \"{}\": {}", expectation.text, error.detail));
  };
  if (auto scope = read_scope(rest, expectation); !scope) return refuse(scope.error());
  auto parts = cut(rest);
  if (!parts) return refuse(parts.error());
  if (auto value = read_value(parts->value, testlet, alongside, expectation); !value)
    return refuse(value.error());
  expectation.op = parts->op;
  if (auto literal = read_literal(parts->literal, expectation); !literal) return refuse(literal.error());
  return expectation;
}

namespace {

// For the percentile to be another value than the least or the greatest; those two need only be there.
uint64_t samples_needed_for(double percentile) {
  const double tail = std::min(percentile, 100 - percentile);
  // Less a hair: 100 / (100 - 99.9) is 1000.0000000000057.
  return tail > 0 ? static_cast<uint64_t>(std::max(1.0, std::ceil(100 / tail - 1e-6))) : 1;
}

}  // namespace

uint64_t samples_needed(const Expectation& e) {
  if (e.metric.kind == stats::Kind::spread)
    return std::max(samples_needed_for(100 * e.metric.low), samples_needed_for(100 * e.metric.high));
  switch (e.function) {
    case Function::percentile: return samples_needed_for(e.percentile);
    case Function::stddev: return 2;
    default: return 1;
  }
}

}  // namespace todd::model
