#pragma once
// ICMP echo on the wire: pure functions over bytes from outside. RFC 792, RFC 4443. Messages begin with the
// ICMP type byte.

#include <cstdint>
#include <optional>
#include <span>

#include "engine/io/reactor.h"

namespace todd::lane {

inline constexpr size_t kEchoHeader = 8;
inline constexpr size_t kCookieBytes = 8;

struct EchoId {
  uint16_t ident = 0, sequence = 0;
};

// Writes ident, sequence, the cookie where the message has room for it, and the IPv4 checksum (the kernel
// computes IPv6's). Requires: message.size() >= kEchoHeader, the type byte set.
void stamp_echo(std::span<uint8_t> message, int family, EchoId id, uint64_t cookie);

// Whether its checksum is right, as the kernel does not look at what it gives a raw IPv4 socket.
bool is_sound(std::span<const uint8_t> message);

struct Echo {
  EchoId id;
  std::optional<uint64_t> cookie;  // absent in messages too short for one
};
std::optional<Echo> parse_echo_reply(std::span<const uint8_t> message, int family);

// An ICMP error as a raw socket receives it: what it says and which echo request it quotes.
struct IcmpError {
  uint8_t type = 0, code = 0;
  uint32_t mtu = 0;
  Echo quoted;
  io::Address to{};  // where the quoted request was going
};
std::optional<IcmpError> parse_icmp_error(std::span<const uint8_t> message, int family);

// The echo request's own bytes, as they come back with its transmit stamp.
std::optional<Echo> parse_echo_request(std::span<const uint8_t> message, int family);
// Its first bytes, as a ping socket's error queue quotes them.
std::optional<Echo> parse_quoted_echo(std::span<const uint8_t> quoted, int family);

// What the error means as an errno (EHOSTUNREACH, ECONNREFUSED, EMSGSIZE, ...).
int icmp_errno(int family, uint8_t type, uint8_t code);

}  // namespace todd::lane
