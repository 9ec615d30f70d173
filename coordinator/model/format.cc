// Numbers and text for people (table.h).
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "coordinator/model/table.h"
#include "engine/base/utf8.h"

namespace todd::model {

namespace {

// Three significant digits, no trailing zeros after the point: "23.4", "1.5", "100".
std::string three_digits(double value) {
  const double size = std::abs(value);
  std::string text = size >= 99.95   ? fmt::format("{:.0f}", value)
                     : size >= 9.995 ? fmt::format("{:.1f}", value)
                     : size >= 0.01  ? fmt::format("{:.2f}", value)
                                     : fmt::format("{:.2g}", value);
  if (text.find('.') != std::string::npos && text.find('e') == std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

// With thousands apart: "12,345".
std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return fmt::format("{}{}", value < 0 ? "-" : "", digits);
}

std::string scaled(double value, std::string_view unit) {
  static constexpr std::array<const char*, 5> kPrefixes = {"", "k", "M", "G", "T"};
  size_t step = 0;
  while (std::abs(value) >= 999.5 && step + 1 < kPrefixes.size()) {
    value /= 1000;
    ++step;
  }
  return fmt::format("{} {}{}", three_digits(value), kPrefixes[step], unit);
}

std::string seconds(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0 s";
  if (size < 0.9995e-6) return three_digits(value * 1e9) + " ns";
  if (size < 0.9995e-3) return three_digits(value * 1e6) + " us";
  if (size < 0.9995) return three_digits(value * 1e3) + " ms";
  if (size < 120) return three_digits(value) + " s";
  if (size < 7200) return three_digits(value / 60) + " min";
  return three_digits(value / 3600) + " h";
}

// East Asian wide and full-width characters, and emoji.
bool is_wide(uint32_t c) {
  return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0x303E) || (c >= 0x3041 && c <= 0xA4CF) ||
         (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) ||
         (c >= 0xFF00 && c <= 0xFF60) || (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1F64F) ||
         (c >= 0x1F900 && c <= 0x1F9FF) || (c >= 0x20000 && c <= 0x3FFFD);
}

// Combining marks and joiners take no column.
bool is_zero_width(uint32_t c) {
  return (c >= 0x0300 && c <= 0x036F) || (c >= 0x200B && c <= 0x200D) || (c >= 0x20D0 && c <= 0x20FF) ||
         (c >= 0xFE00 && c <= 0xFE0F);
}

// Controls, and marks that turn the direction of what follows or split lines.
bool is_unprintable(uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

// The length of the escape sequence the text begins with: ESC [ ... letter, ESC ] ... BEL, or ESC and one
// byte.
size_t escape_length(std::string_view text) {
  if (text.size() < 2) return text.size();
  if (text[1] == '[') {
    size_t i = 2;
    while (i < text.size() && !(text[i] >= '@' && text[i] <= '~')) ++i;
    return std::min(i + 1, text.size());
  }
  if (text[1] == ']') {
    size_t i = 2;
    while (i < text.size() && text[i] != '\a' && text[i] != '\x1b') ++i;
    return i < text.size() && text[i] == '\a' ? i + 1 : i;
  }
  return 2;
}

}  // namespace

std::string format_amount(double value, std::string_view unit) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "unlimited" : "-unlimited";
  if (unit == "%") return three_digits(value * 100) + " %";
  if (unit == "s") return seconds(value);
  if (unit == "B" || unit == "bit/s") return scaled(value, unit);
  const std::string suffix = unit == "/s" || unit == "s/s" ? std::string(unit) : "";
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  const std::string number = whole                                                ? grouped(value)
                             : std::abs(value) >= 999.5 && std::abs(value) < 1e15 ? grouped(std::round(value))
                                                                                  : three_digits(value);
  return number + suffix;
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    uint32_t c = 0;
    const size_t length = utf8_length(text, &c);
    if (length == 0) {
      text.remove_prefix(1);
    } else if (c == 0x1B) {
      text.remove_prefix(escape_length(text));
    } else {
      if (!is_unprintable(c))
        out += text.substr(0, length);
      else if (c == '\n' || c == '\t')
        out += ' ';
      text.remove_prefix(length);
    }
  }
  return out;
}

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    uint32_t c = 0;
    const size_t length = utf8_length(text, &c);
    if (length == 0) {
      width += 1;
      text.remove_prefix(1);
      continue;
    }
    if (!is_zero_width(c)) width += is_wide(c) ? 2 : 1;
    text.remove_prefix(length);
  }
  return width;
}

}  // namespace todd::model
