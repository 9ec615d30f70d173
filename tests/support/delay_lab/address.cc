#include "tests/support/delay_lab/address.h"

#include <arpa/inet.h>

#include "engine/manifest/units.h"

namespace todd::delay_lab {

Address Address::v4(const void* four_bytes) {
  Address address;
  address.bytes.s6_addr[10] = address.bytes.s6_addr[11] = 0xff;
  std::memcpy(address.bytes.s6_addr + 12, four_bytes, 4);
  return address;
}

Address Address::v6(const void* sixteen_bytes) {
  Address address;
  std::memcpy(&address.bytes, sixteen_bytes, 16);
  return address;
}

std::string Address::text() const {
  char text[INET6_ADDRSTRLEN] = "?";
  if (is_v4())
    inet_ntop(AF_INET, v4_bytes(), text, sizeof text);
  else
    inet_ntop(AF_INET6, &bytes, text, sizeof text);
  return text;
}

bool Prefix::contains(const Address& other) const {
  const int whole = bits / 8;
  if (std::memcmp(&address.bytes, &other.bytes, static_cast<size_t>(whole)) != 0) return false;
  if (bits % 8 == 0) return true;
  const int mask = 0xff << (8 - bits % 8) & 0xff;
  return ((address.bytes.s6_addr[whole] ^ other.bytes.s6_addr[whole]) & mask) == 0;
}

Result<Address> parse_address(std::string_view text) {
  const std::string copy(text);
  uint8_t bytes[16];
  if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) return Address::v4(bytes);
  if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) return Address::v6(bytes);
  return fail(Errc::invalid, "'" + copy + "' is no address; 192.0.2.1 or 2001:db8::1 would be");
}

Result<Prefix> parse_prefix(std::string_view text) {
  const auto slash = text.find('/');
  auto address = parse_address(text.substr(0, slash));
  if (!address) return tl::unexpected(address.error());
  Prefix prefix{*address, 128};
  if (slash == std::string_view::npos) return prefix;
  const int most = address->is_v4() ? 32 : 128;
  const auto bits = manifest::parse_integer(text.substr(slash + 1));
  if (!bits || *bits < 0 || *bits > most)
    return fail(Errc::invalid,
                std::string(1, '\'').append(text) + "' needs a length of 0 to " + std::to_string(most));
  prefix.bits = static_cast<int>(*bits) + 128 - most;
  for (int bit = prefix.bits; bit < 128; ++bit)
    if (address->bytes.s6_addr[bit / 8] & 0x80 >> bit % 8)
      return fail(Errc::invalid, std::string(1, '\'').append(text) + "' has address bits beyond its length");
  return prefix;
}

}  // namespace todd::delay_lab
