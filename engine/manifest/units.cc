#include "engine/manifest/units.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <span>

#include <fmt/format.h>

namespace todd::manifest {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;  // in base units
};

constexpr int64_t kSecond = 1'000'000'000;
constexpr Unit kDurations[] = {
    {"ns", 1},           {"us", 1'000},         {"ms", 1'000'000},      {"s", kSecond},
    {"m", 60 * kSecond}, {"h", 3600 * kSecond}, {"d", 86'400 * kSecond}};
constexpr Unit kDecimal[] = {{"", 1},          {"k", 1'000},         {"K", 1'000},
                             {"M", 1'000'000}, {"G", 1'000'000'000}, {"T", 1'000'000'000'000}};
constexpr Unit kBinary[] = {
    {"Ki", int64_t{1} << 10}, {"Mi", int64_t{1} << 20}, {"Gi", int64_t{1} << 30}, {"Ti", int64_t{1} << 40}};

tl::unexpected<Error> invalid(std::string_view text, std::string_view why) {
  return fail(Errc::invalid, fmt::format("\"{}\": {}", text, why));
}

const Unit* find(std::span<const Unit> units, std::string_view name) {
  const auto found =
      std::find_if(units.begin(), units.end(), [&](const Unit& unit) { return unit.name == name; });
  return found == units.end() ? nullptr : &*found;
}

// A decimal number taken apart, so that it can be scaled without rounding.
struct Decimal {
  bool negative = false;
  std::string_view whole, fraction;  // digits
  std::string_view number;           // as written
  std::string_view unit;             // what follows
};

std::optional<Decimal> split(std::string_view text) {
  const auto digits = [](std::string_view rest) {
    return rest.substr(0, std::min(rest.find_first_not_of("0123456789"), rest.size()));
  };
  Decimal d;
  std::string_view rest = text;
  if (rest.starts_with('-') || rest.starts_with('+')) {
    d.negative = rest.front() == '-';
    rest.remove_prefix(1);
  }
  d.whole = digits(rest);
  rest.remove_prefix(d.whole.size());
  if (rest.starts_with('.')) {
    d.fraction = digits(rest.substr(1));
    if (d.fraction.empty()) return std::nullopt;
    rest.remove_prefix(1 + d.fraction.size());
  }
  if (d.whole.empty()) return std::nullopt;
  d.number = text.substr(0, text.size() - rest.size());
  d.unit = rest;
  return d;
}

// number * factor, if that is a whole number and fits.
Result<int64_t> scale(std::string_view text, const Decimal& d, int64_t factor) {
  std::string_view fraction = d.fraction;
  while (fraction.ends_with('0')) fraction.remove_suffix(1);
  __int128 digits = 0;
  __int128 divisor = 1;
  const auto append = [&](std::string_view part) {
    for (const char c : part) {
      if (digits > INT64_MAX) return false;
      digits = digits * 10 + (c - '0');
    }
    return true;
  };
  // 18 places: finer than any factor can make whole.
  if (fraction.size() > 18) return invalid(text, "is finer than the base unit; round it");
  for (size_t i = 0; i < fraction.size(); ++i) divisor *= 10;
  if (!append(d.whole) || !append(fraction)) return invalid(text, "is too large");
  __int128 scaled = 0;
  if (__builtin_mul_overflow(digits, static_cast<__int128>(factor), &scaled))
    return invalid(text, "is too large");
  if (scaled % divisor != 0) return invalid(text, "is finer than the base unit; round it");
  scaled /= divisor;
  if (scaled > INT64_MAX) return invalid(text, "is too large");
  return static_cast<int64_t>(d.negative ? -scaled : scaled);
}

// Four significant digits, without an exponent and trailing zeros.
std::string four_digits(double v) {
  const int places = v < 10 ? 3 : v < 100 ? 2 : v < 1000 ? 1 : 0;
  std::string text = fmt::format("{:.{}f}", v, places);
  if (places > 0) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
  }
  return text;
}

// In the first unit (largest first) of which `v` has `least` or more.
std::string format(int64_t v, std::span<const Unit> largest_first, std::string_view suffix,
                   double least = 1) {
  const double amount = std::abs(static_cast<double>(v));
  for (const Unit& unit : largest_first) {
    const double in_unit = amount / static_cast<double>(unit.factor);
    if (in_unit < least && unit.factor != 1) continue;
    return fmt::format("{}{}{}{}", v < 0 ? "-" : "", four_digits(in_unit), unit.name, suffix);
  }
  return fmt::format("{}{}", v, suffix);
}

constexpr Unit kDecimalDown[] = {
    {"T", 1'000'000'000'000}, {"G", 1'000'000'000}, {"M", 1'000'000}, {"k", 1'000}, {"", 1}};

}  // namespace

Result<int64_t> parse_duration(std::string_view text) {
  constexpr const char* kExample = "is no duration; write for example 10s, 1.5ms or 2h";
  const auto d = split(text);
  if (!d) return invalid(text, kExample);
  if (d->unit.empty()) {
    if (text == "0") return 0;
    return invalid(text, fmt::format("{0} what? write {0}s or {0}ms", d->number));
  }
  const Unit* unit = find(kDurations, d->unit);
  if (unit == nullptr) {
    return invalid(
        text, fmt::format("\"{}\" is no unit of time; use ns, us, ms, s, m, h or d, for example {}s", d->unit,
                          d->number));
  }
  return scale(text, *d, unit->factor);
}

Result<int64_t> parse_size(std::string_view text) {
  constexpr const char* kExample = "is no size; write for example 1472, 64k (64000), 64Ki (65536) or 1.5MB";
  const auto d = split(text);
  if (!d || d->negative) return invalid(text, kExample);
  std::string_view name = d->unit;
  if (name.ends_with('B')) name.remove_suffix(1);
  const Unit* unit = find(kDecimal, name);
  if (unit == nullptr) unit = find(kBinary, name);
  if (unit == nullptr) return invalid(text, kExample);
  return scale(text, *d, unit->factor);
}

Result<int64_t> parse_bitrate(std::string_view text) {
  constexpr const char* kExample = "is no bit rate; write for example 50Mbit/s, 50M or 1.5Gbit/s";
  const auto d = split(text);
  if (!d || d->negative) return invalid(text, kExample);
  std::string_view name = d->unit;
  if (name.ends_with("bit/s")) name.remove_suffix(5);
  const Unit* unit = find(kDecimal, name);
  if (unit == nullptr) return invalid(text, kExample);
  return scale(text, *d, unit->factor);
}

Result<double> parse_rate(std::string_view text) {
  constexpr const char* kExample = "is no rate; write for example 10, 10/s, 600/min or max";
  if (text == "max") return HUGE_VAL;
  const auto d = split(text);
  if (!d || d->negative) return invalid(text, kExample);
  const size_t slash = std::min(d->unit.find('/'), d->unit.size());
  const Unit* factor = find(kDecimal, d->unit.substr(0, slash));
  const std::string_view per = d->unit.substr(slash);
  const double seconds = per.empty() || per == "/s"     ? 1
                         : per == "/min" || per == "/m" ? 60
                         : per == "/h"                  ? 3600
                                                        : 0;
  if (factor == nullptr || seconds == 0) return invalid(text, kExample);
  const auto number = parse_real(d->number.starts_with('+') ? d->number.substr(1) : d->number);
  if (!number) return invalid(text, kExample);
  const double rate = *number * static_cast<double>(factor->factor) / seconds;
  return std::isfinite(rate) ? Result<double>(rate)
                             : invalid(text, "is too large; write max for as fast as possible");
}

Result<double> parse_ratio(std::string_view text) {
  const bool percent = text.ends_with('%');
  const auto number = parse_real(percent ? text.substr(0, text.size() - 1) : text);
  if (!number) return invalid(text, "is no ratio; write for example 0.5% or 0.005");
  if (!percent && *number > 1 && *number <= 100) {
    return invalid(text, fmt::format("a ratio is 0 to 1; if percent is meant write {}%", text));
  }
  const double ratio = percent ? *number / 100 : *number;
  if (!(ratio >= 0 && ratio <= 1)) return invalid(text, "a ratio is 0 to 1 or 0% to 100%, for example 0.5%");
  return ratio;
}

Result<int64_t> parse_integer(std::string_view text) {
  if (text.starts_with("0x")) {
    uint64_t bits = 0;
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), bits, 16);
    if (error == std::errc() && end == text.data() + text.size() && bits <= INT64_MAX)
      return static_cast<int64_t>(bits);
  }
  const auto d = split(text);
  const Unit* unit = d ? find(kDecimal, d->unit) : nullptr;
  if (unit == nullptr) return invalid(text, "is no whole number; write for example 1000 or 1k");
  return scale(text, *d, unit->factor);
}

Result<double> parse_real(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return invalid(text, "is no number; write for example 1.5");
  }
  return value;
}

Result<bool> parse_boolean(std::string_view text) {
  if (text == "true" || text == "yes" || text == "on" || text == "1") return true;
  if (text == "false" || text == "no" || text == "off" || text == "0") return false;
  return invalid(text, "is neither yes nor no; write true or false");
}

std::string format_duration(int64_t ns) {
  if (ns == 0) return "0s";
  // People say 90s and 36h, not 1.5m and 1.5d.
  const double amount = std::abs(static_cast<double>(ns)) / kSecond;
  if (amount >= 60) {
    constexpr Unit kLong[] = {
        {"d", 86'400 * kSecond}, {"h", 3600 * kSecond}, {"m", 60 * kSecond}, {"s", kSecond}};
    for (const Unit& unit : kLong) {
      if (ns % unit.factor == 0 && std::abs(ns / unit.factor) < 10'000)
        return fmt::format("{}{}", ns / unit.factor, unit.name);
    }
    return format(ns, kLong, "", 2);
  }
  constexpr Unit kShort[] = {{"s", kSecond}, {"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}};
  return format(ns, kShort, "");
}

std::string format_size(int64_t bytes) {
  for (const Unit* unit = std::end(kBinary); unit-- != std::begin(kBinary);) {
    const int64_t n = bytes / unit->factor;
    if (bytes % unit->factor == 0 && n != 0 && std::abs(n) < 1024) return fmt::format("{}{}B", n, unit->name);
  }
  return format(bytes, kDecimalDown, "B");
}

std::string format_bitrate(int64_t bits_per_second) { return format(bits_per_second, kDecimalDown, "bit/s"); }

std::string format_count(int64_t n) {
  // Up to four digits nothing is gained by a suffix.
  return std::abs(static_cast<double>(n)) < 10'000 ? fmt::format("{}", n) : format(n, kDecimalDown, "");
}

}  // namespace todd::manifest
