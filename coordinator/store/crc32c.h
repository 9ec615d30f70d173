#pragma once
#include <cstdint>
#include <string_view>

namespace todd::store {

// CRC-32C (Castagnoli), as in RFC 3720: "123456789" gives 0xE3069283.
uint32_t crc32c(std::string_view bytes);

}  // namespace todd::store
