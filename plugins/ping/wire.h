#pragma once
// Bytes of the echo protocols and words for what ICMP said. No sockets, no clock.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "todd/testlet.h"

namespace todd::ping {

inline constexpr uint32_t kIcmpHeader = 8;  // type, code, checksum, ident, sequence
inline constexpr uint32_t kUdpKey = 8;      // the host's key at the front of a UDP probe
inline constexpr uint32_t kCookie = 8;      // the host's bytes behind the header of ICMP, where there is room
inline constexpr uint32_t kMaxPayload = 65507;  // largest payload of IPv4 with an 8-byte header
inline constexpr uint16_t kEchoPort = 7;        // RFC 862

// The first 8 bytes of a probe: type and code of an echo request, and 0 for what the host fills in (ident,
// sequence and checksum, or the key of UDP). family: 4 or 6, of the target.
std::array<uint8_t, kIcmpHeader> icmp_header(uint16_t family);

// Where the probe's own bytes begin in a message of `length` bytes: behind the header and the host's cookie,
// which a message that has no room for it goes without.
uint32_t own_bytes_at(bool udp, size_t length);

// How many routers a packet has passed, judged by its TTL: systems begin with 32, 64, 128 or 255.
uint8_t estimated_hops(uint8_t ttl);

// The closed name of an ICMP error ("host_unreachable"), the same word for both families where both have it.
const char* icmp_error_name(const todd_icmp_error& error);

inline constexpr std::string_view kPacketTooBig = "packet_too_big";

// All of these names.
inline constexpr const char* kIcmpErrorNames =
    "net_unreachable|host_unreachable|protocol_unreachable|port_unreachable|packet_too_big|"
    "source_route_failed|admin_prohibited|precedence_refused|unreachable|beyond_scope|policy_failed|"
    "route_rejected|source_quench|redirect|ttl_exceeded|reassembly_timeout|parameter_problem|other";

// Words that need no memory of their own: every probe of many may be answered by an error.
template <size_t N>
struct Words {
  char text[N] = "";
  std::string_view view() const { return text; }
};

// Who sent it, in at most 23 characters, as hosts keep no more of a key: of a longer IPv6 address both ends,
// "2001:db8:8..2e:370:7334".
Words<24> sender_key(const todd_icmp_error& error);

// For people: "host_unreachable from 192.0.2.1 (type 3 code 1)", with the MTU where the error carries one.
Words<128> describe(const todd_icmp_error& error);

}  // namespace todd::ping
