#include "plugins/ping/payload.h"

#include <algorithm>
#include <cstring>
#include <random>

namespace todd::ping {

namespace {

constexpr size_t kMaxPatternBytes = 16;  // as ping -p

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Empty if it is no pattern in hex.
std::vector<uint8_t> parse_hex(std::string_view text) {
  if (text.size() % 2 != 0 || text.size() > 2 * kMaxPatternBytes) return {};
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return {};
    bytes.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return bytes;
}

}  // namespace

bool Payload::known(std::string_view pattern) {
  return pattern == "increment" || pattern == "zero" || pattern == "random" || !parse_hex(pattern).empty();
}

Payload::Payload(std::string_view pattern, uint32_t longest, uint64_t seed) : random_(pattern == "random") {
  bytes_.resize(longest + (random_ ? 1u << kShiftBits : 1u));  // never empty, so that there is an address
  if (random_) {
    std::mt19937_64 noise(seed);
    for (uint8_t& byte : bytes_) byte = static_cast<uint8_t>(noise() >> 56);
  } else if (pattern == "increment") {
    // Differs at each byte, so that a shifted or cut echo cannot look right.
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = static_cast<uint8_t>(0x10 + i % 0xe0);
  } else if (const std::vector<uint8_t> repeated = parse_hex(pattern); !repeated.empty()) {
    for (size_t i = 0; i < bytes_.size(); ++i) bytes_[i] = repeated[i % repeated.size()];
  }
}

size_t first_difference(const uint8_t* a, const uint8_t* b, size_t size) {
  if (size == 0 || std::memcmp(a, b, size) == 0) return size;  // nearly always, and much faster than a search
  return static_cast<size_t>(std::mismatch(a, a + size, b).first - a);
}

}  // namespace todd::ping
