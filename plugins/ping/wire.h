#pragma once
// Bytes of the echo protocols and words for what ICMP said. No sockets, no clock.

#include <cstdint>
#include <string>
#include <vector>

#include "todd/testlet.h"

namespace todd::ping {

inline constexpr uint32_t kIcmpHeader = 8;      // type, code, checksum, ident, sequence
inline constexpr uint32_t kUdpKey = 8;          // the host's key at the front of a UDP probe
inline constexpr uint32_t kMaxPayload = 65507;  // largest payload of IPv4 with an 8-byte header
inline constexpr uint16_t kEchoPort = 7;        // RFC 862

// An echo request with `payload` bytes after the header, ident, sequence and checksum left 0 for the host to
// fill. family: 4 or 6, of the target.
std::vector<uint8_t> icmp_echo(uint16_t family, uint32_t payload);

// A UDP probe of `payload` bytes. Requires: payload >= kUdpKey.
std::vector<uint8_t> udp_echo(uint32_t payload);

// The closed name of an ICMP error ("host_unreachable"), the same word for both families where both have it.
const char* icmp_error_name(const todd_icmp_error& error);

// For people: "host_unreachable from 192.0.2.1 (type 3 code 1)", with the MTU where the error carries one.
std::string describe(const todd_icmp_error& error);

}  // namespace todd::ping
