#include "engine/manifest/params.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

namespace todd::manifest {
namespace {

using Given = std::map<std::string, std::string>;

tl::unexpected<Error> invalid(const Param& param, std::string_view what) {
  return fail(Errc::invalid, fmt::format("{}: {}", param.name, what));
}

template <class T, class Field>
Status store(Result<T> parsed, Field& field) {
  if (!parsed) return tl::unexpected(parsed.error());
  field = static_cast<Field>(*parsed);
  return {};
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

Status take_text(const Param& param, const std::string& text, TypedValue& value) {
  if (param.repeat) {
    if (auto good = join_texts(split_texts(text)); !good) return tl::unexpected(good.error());
  }
  value.s = text;
  return {};
}

Status parse_choice(const Param& param, const std::string& text, TypedValue& value) {
  const auto found = std::find(param.choices.begin(), param.choices.end(), text);
  if (found == param.choices.end()) {
    return fail(Errc::invalid, fmt::format("\"{}\" is none of {}{}", text, joined(param.choices),
                                           did_you_mean(text, param.choices)));
  }
  value.i = found - param.choices.begin();
  value.s = text;
  return {};
}

Status parse_scalar(const Param& param, const std::string& text, TypedValue& value) {
  switch (param.type) {
    case ParamType::boolean: return store(parse_boolean(text), value.i);
    case ParamType::integer: return store(parse_integer(text), value.i);
    case ParamType::real: return store(parse_real(text), value.r);
    case ParamType::text: return take_text(param, text, value);
    case ParamType::duration: return store(parse_duration(text), value.i);
    case ParamType::size: return store(parse_size(text), value.i);
    case ParamType::rate: return store(parse_rate(text), value.r);
    case ParamType::bitrate: return store(parse_bitrate(text), value.i);
    case ParamType::ratio: return store(parse_ratio(text), value.r);
    case ParamType::choice: return parse_choice(param, text, value);
  }
  return fail(Errc::invalid, "a parameter of unknown type");
}

// For comparing: exact for 64-bit integers where long double has 64 bits of mantissa, near enough elsewhere.
long double amount(const TypedValue& value) {
  const bool in_r =
      value.type == ParamType::real || value.type == ParamType::rate || value.type == ParamType::ratio;
  return in_r ? static_cast<long double>(value.r) : static_cast<long double>(value.i);
}

Status check_range(const Param& param, const std::string& text, const TypedValue& value) {
  // The host's rate (no testlet has a param of that name): "max" is no amount but the wish for as much as
  // there is.
  if (param.name == "rate" && std::isinf(value.r)) return {};
  bool outside = false;
  for (const bool upper : {false, true}) {
    const std::string& bound = upper ? param.max : param.min;
    if (bound.empty()) continue;
    TypedValue limit;
    limit.type = param.type;
    if (auto parsed = parse_scalar(param, bound, limit); !parsed) return parsed;
    outside |= upper ? amount(value) > amount(limit) : amount(value) < amount(limit);
  }
  if (!outside) return {};
  const std::string allowed = param.max.empty()   ? "at least " + param.min
                              : param.min.empty() ? "at most " + param.max
                                                  : param.min + " to " + param.max;
  return fail(Errc::invalid, fmt::format("{} is out of range, allowed {}", text, allowed));
}

const Param* find(const std::vector<Param>& params, const std::string& name) {
  const auto found =
      std::find_if(params.begin(), params.end(), [&](const Param& param) { return param.name == name; });
  return found == params.end() ? nullptr : &*found;
}

}  // namespace

Result<std::string> join_texts(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    if (text.empty()) return fail(Errc::invalid, "one of its texts is empty");
    if (text.find('\n') != text.npos)
      return fail(Errc::invalid, "one of its texts has more than one line, give each line by itself");
  }
  return fmt::format("{}", fmt::join(texts, "\n"));
}

std::vector<std::string> split_texts(const std::string& value) {
  std::vector<std::string> texts;
  if (value.empty()) return texts;
  for (size_t begin = 0, end = 0; end != value.npos; begin = end + 1) {
    end = value.find('\n', begin);
    texts.push_back(value.substr(begin, end - begin));
  }
  return texts;
}

Status check_secret_name(const std::string& name) {
  const bool good = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (good && !name.empty() && name.size() <= 64 && name.front() != '.') return {};
  return fail(Errc::invalid,
              "the name of a secret is A-Z, a-z, 0-9, '.', '_' and '-', at most 64, and begins with no dot");
}

Result<std::string> parse_secret(const std::string& text) {
  if (!text.starts_with(kSecretPrefix))
    return fail(
        Errc::invalid,
        "is a secret, which is never written down: put it into a file NAME in the folder of secrets of "
        "each host that tests, and write secret:NAME on the command line, {secret: NAME} in a suite");
  std::string name = text.substr(kSecretPrefix.size());
  if (auto good = check_secret_name(name); !good) return tl::unexpected(good.error());
  return name;
}

Result<TypedValue> parse_value(const Param& param, const std::string& text) {
  TypedValue value;
  value.type = param.type;
  if (param.secret) {
    auto name = parse_secret(text);
    if (!name) return invalid(param, name.error().detail);
    value.secret = std::move(*name);
    return value;
  }
  Status parsed = parse_scalar(param, text, value);
  if (parsed) parsed = check_range(param, text, value);
  if (parsed) return value;
  return invalid(param, parsed.error().detail);
}

Result<std::vector<TypedValue>> resolve_params(const std::vector<Param>& params, const Given& given) {
  for (const auto& [name, text] : given) {
    if (find(params, name) != nullptr || find(host_params(), name) != nullptr) continue;
    std::vector<std::string> known;
    for (const Param& param : params) known.push_back(param.name);
    for (const Param& param : host_params()) known.push_back(param.name);
    std::string hint = did_you_mean(name, known);
    if (hint.empty()) hint = "; known are " + joined(known);
    return fail(Errc::invalid, fmt::format("unknown parameter \"{}\"{}", name, hint));
  }
  std::vector<TypedValue> values;
  values.reserve(params.size());
  for (const Param& param : params) {
    const auto text = given.find(param.name);
    if (text == given.end() && param.required) {
      return invalid(param, fmt::format("is required{}{}", param.doc.empty() ? "" : ": ", param.doc));
    }
    if (text == given.end() && param.dflt.empty()) {
      values.emplace_back().type = param.type;
      continue;
    }
    auto value = parse_value(param, text == given.end() ? param.dflt : text->second);
    if (!value) return tl::unexpected(value.error());
    value->given = text != given.end();
    values.push_back(std::move(*value));
  }
  return values;
}

}  // namespace todd::manifest
