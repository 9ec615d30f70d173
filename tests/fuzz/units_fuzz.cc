// Amounts that are accepted are formatted to text that is accepted.
#include <cmath>
#include <string>
#include <string_view>

#include "engine/base/check.h"
#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

using namespace todd::manifest;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  // Near the top of the range the rounding of the format may leave it.
  constexpr double kSafe = 0x1p62;
  if (const auto v = parse_duration(text); v && std::abs(static_cast<double>(*v)) < kSafe)
    TODD_CHECK(parse_duration(format_duration(*v)));
  if (const auto v = parse_size(text); v && static_cast<double>(*v) < kSafe)
    TODD_CHECK(parse_size(format_size(*v)));
  if (const auto v = parse_bitrate(text); v && static_cast<double>(*v) < kSafe)
    TODD_CHECK(parse_bitrate(format_bitrate(*v)));
  if (const auto v = parse_integer(text); v && std::abs(static_cast<double>(*v)) < kSafe)
    TODD_CHECK(parse_integer(format_count(*v)));
  if (const auto v = parse_rate(text)) TODD_CHECK(*v >= 0 && (std::isfinite(*v) || text == "max"));
  if (const auto v = parse_ratio(text)) TODD_CHECK(*v >= 0 && *v <= 1);
  if (const auto v = parse_real(text)) TODD_CHECK(std::isfinite(*v));
  (void)parse_boolean(text);
  (void)nearest(std::string(text), {"count", "interval", "rate", "duration"});
  return 0;
}
