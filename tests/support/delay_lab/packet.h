#pragma once
// Ethernet frames to values and back: what the lab answers, and its answers. Pure functions over bytes.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tests/support/delay_lab/address.h"

namespace todd::delay_lab {

using Bytes = std::vector<uint8_t>;
using Mac = std::array<uint8_t, 6>;

enum class Protocol { icmp, udp, tcp, other };

// An echo request, ICMP or UDP. Owns its bytes, because the answer may be due long after the frame is gone.
struct Request {
  Mac from_mac{};
  Address from, to;
  Protocol protocol = Protocol::icmp;
  uint16_t ident = 0, sequence = 0;  // of UDP the source and the destination port
  Bytes packet;                      // from the IP header on
  size_t payload = 0;                // where in the packet the bytes after the ICMP or UDP header begin
};
// None for whatever is neither: fragments, other protocols, IPv6 extension headers, cut or inconsistent
// frames.
std::optional<Request> parse_request(std::span<const uint8_t> frame);

// What a relay is told of a packet that passes by: ports of TCP and UDP, and how many bytes are behind their
// headers; of others the bytes behind the IP header.
struct Passing {
  Address from, to;
  Protocol protocol = Protocol::other;
  uint16_t from_port = 0, to_port = 0;
  size_t payload = 0;
};
// None for what is not IP, and for fragments and cut or inconsistent frames.
std::optional<Passing> parse_passing(std::span<const uint8_t> frame);

// How a reply differs from an honest echo.
struct Reply {
  Address from;
  std::optional<size_t> keep;     // payload bytes, the rest is cut off
  std::optional<size_t> corrupt;  // the payload byte that is inverted; the last one if beyond the end
};
// Every checksum is right, over what is really sent.
Bytes build_reply(const Request& request, const Mac& mac, const Reply& reply);

struct IcmpComplaint {
  Address from;
  uint8_t type = 0, code = 0;
  uint32_t mtu = 0;
};
// An ICMP error about the request, quoting as much of it as Linux does: 576 bytes in all with IPv4, 1280 with
// IPv6.
Bytes build_icmp_error(const Request& request, const Mac& mac, const IcmpComplaint& complaint);

// Who asks by ARP or neighbour solicitation where an address is.
struct WhoHas {
  Mac from_mac{};
  Address from, target;
};
// None also for the probe of one's own address (a sender of 0.0.0.0 or ::), so that nobody finds it taken.
std::optional<WhoHas> parse_who_has(std::span<const uint8_t> frame);
Bytes build_is_at(const WhoHas& asked, const Mac& mac);

// RFC 1071, folded and inverted, of the bytes; `sum` is what is already added up.
uint16_t checksum(std::span<const uint8_t> bytes, uint32_t sum = 0);
// Of a message of this IP protocol with its pseudo header, RFC 768 and RFC 8200 section 8.1.
uint16_t checksum_between(const Address& from, const Address& to, uint8_t protocol,
                          std::span<const uint8_t> message);

}  // namespace todd::delay_lab
