#pragma once
// Addresses of both families as one value: IPv4 is ::ffff:a.b.c.d, so that a prefix is a prefix whichever the
// family.

#include <netinet/in.h>

#include <compare>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace todd::delay_lab {

struct Address {
  in6_addr bytes{};

  static Address v4(const void* four_bytes);
  static Address v6(const void* sixteen_bytes);

  bool is_v4() const { return IN6_IS_ADDR_V4MAPPED(&bytes); }
  const uint8_t* v4_bytes() const { return bytes.s6_addr + 12; }
  std::string text() const;
  bool operator==(const Address& other) const { return std::memcmp(&bytes, &other.bytes, sizeof bytes) == 0; }
};

struct AddressHash {
  size_t operator()(const Address& address) const {
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(&address.bytes), sizeof address.bytes});
  }
};

// An address and how many of its 128 bits count.
struct Prefix {
  Address address;
  int bits = 128;

  bool contains(const Address& other) const;
};

// "192.0.2.1", "2001:db8::1".
Result<Address> parse_address(std::string_view text);
// "192.0.2.1", "10.64.0.0/16", "fd64::/64". An address with bits beyond the prefix is refused.
Result<Prefix> parse_prefix(std::string_view text);

}  // namespace todd::delay_lab
