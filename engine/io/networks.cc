#include "engine/io/networks.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "engine/io/sockets.h"

namespace todd::io {
namespace {

using Bytes = std::array<uint8_t, 16>;
constexpr size_t kMapped = 12;  // bytes before the IPv4 address of a mapped one

Bytes mapped(const uint8_t* v4) {
  Bytes out{};
  out[10] = out[11] = 0xff;
  std::memcpy(out.data() + kMapped, v4, 4);
  return out;
}

Bytes bytes_of(const Address& address) {
  if (address.sa.sa_family == AF_INET) return mapped(reinterpret_cast<const uint8_t*>(&address.v4.sin_addr));
  Bytes out;
  std::memcpy(out.data(), &address.v6.sin6_addr, out.size());
  return out;
}

// The IPv4 address that one of IPv6 stands for, as a mapped one; false if it stands for none.
bool carried(const Bytes& address, Bytes& out) {
  static constexpr uint8_t kNat64[12] = {0, 0x64, 0xff, 0x9b};
  static constexpr uint8_t k6to4[2] = {0x20, 0x02};
  static constexpr uint8_t kV4Mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(std::begin(kV4Mapped), std::end(kV4Mapped), address.begin()))
    out = address;
  else if (std::equal(std::begin(kNat64), std::end(kNat64), address.begin()))
    out = mapped(address.data() + kMapped);
  else if (std::equal(std::begin(k6to4), std::end(k6to4), address.begin()))
    out = mapped(address.data() + sizeof k6to4);
  else
    return false;
  return true;
}

}  // namespace

Result<Network> Network::parse(const std::string& text) {
  const auto wrong = [&](const std::string& why) { return fail(Errc::invalid, "\"" + text + "\" " + why); };
  const size_t slash = text.find('/');
  const std::string host = text.substr(0, slash);
  const auto address = parse_address(host, 0);
  if (!address || host.find('%') != host.npos)
    return wrong("is no network: write 10.0.0.0/8, 2001:db8::/32 or an address");
  const bool v4 = address->sa.sa_family == AF_INET;
  size_t prefix = v4 ? 32 : 128;
  if (slash != text.npos) {
    size_t bits = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, bits);
    if (error != std::errc() || rest != end || bits > prefix)
      return wrong("has a prefix that is none: 0 to " + std::to_string(prefix));
    prefix = bits;
  }
  if (v4) prefix += kMapped * 8;
  Network out;
  out.text_ = text;
  out.v4_ = v4;
  out.first_ = out.last_ = bytes_of(*address);
  for (size_t bit = prefix; bit < 128; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if ((out.first_[bit / 8] & mask) != 0)
      return wrong("has bits behind its prefix: write the network's own address");
    out.last_[bit / 8] = static_cast<uint8_t>(out.last_[bit / 8] | mask);
  }
  return out;
}

bool Network::meets(const Address& first, const Address& last) const {
  const Bytes from = bytes_of(first), to = bytes_of(last);
  if (v4_ == (first.sa.sa_family == AF_INET) && from <= last_ && first_ <= to) return true;
  if (!v4_ || first.sa.sa_family == AF_INET) return false;
  Bytes from4, to4;
  const bool begins = carried(from, from4), ends = carried(to, to4);
  return begins != ends || (begins && from4 <= last_ && first_ <= to4);
}

const Network* find_network(const std::vector<Network>& networks, const Address& address) {
  for (const Network& network : networks)
    if (network.contains(address)) return &network;
  return nullptr;
}

}  // namespace todd::io
