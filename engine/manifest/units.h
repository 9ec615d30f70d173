#pragma once
// Amounts as people write them, to and from integers in base units. Errors (invalid) name the text and an
// example of what would do. A fraction finer than the base unit is refused, not rounded. Surrounding blanks
// are not allowed.

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace todd::manifest {

// "1.5ms" -> ns. Units ns us ms s m h d; one is required (but "0" is 0). May be negative.
Result<int64_t> parse_duration(std::string_view text);

// "1472", "64k", "64Ki", "1.5MB" -> bytes. Bare = bytes; k M G T decimal, Ki Mi Gi Ti binary; B may follow.
Result<int64_t> parse_size(std::string_view text);

// "50Mbit/s", "50M", "1.5Gbit/s" -> bit/s. Bare = bit/s; k M G T are decimal.
Result<int64_t> parse_bitrate(std::string_view text);

// "10", "10/s", "600/min", "6/h" -> per second; "max" -> HUGE_VAL. k and M may follow the number. Not
// negative.
Result<double> parse_rate(std::string_view text);

// "0.5%" or "0.005" -> 0.005. Within 0..1.
Result<double> parse_ratio(std::string_view text);

// "1000", "1k", "1.5M", "1G", "0x2a" -> integer. May be negative.
Result<int64_t> parse_integer(std::string_view text);

// "1.5", "-2e-3" -> finite real number.
Result<double> parse_real(std::string_view text);

// true yes on 1, false no off 0.
Result<bool> parse_boolean(std::string_view text);

// Up to four significant digits and the unit that suits: "1.5ms", "64KiB", "1.472kB", "50Mbit/s", "1.2M".
// What four digits can hold is parsed back to the same number.
std::string format_duration(int64_t ns);
std::string format_size(int64_t bytes);
std::string format_bitrate(int64_t bits_per_second);
std::string format_count(int64_t n);

}  // namespace todd::manifest
