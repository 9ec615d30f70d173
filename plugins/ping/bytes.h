#pragma once
// Numbers in network byte order.

#include <cstddef>
#include <cstdint>

namespace todd::ping {

inline void put_number(uint8_t* to, size_t bytes, uint64_t value) {
  for (size_t i = bytes; i-- > 0; value >>= 8) to[i] = static_cast<uint8_t>(value);
}

inline uint64_t get_number(const uint8_t* from, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value = value << 8 | from[i];
  return value;
}

}  // namespace todd::ping
