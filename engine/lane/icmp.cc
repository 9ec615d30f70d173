#include "engine/lane/icmp.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include <cerrno>
#include <cstring>

namespace todd::lane {
namespace {

uint16_t get16(std::span<const uint8_t> b, size_t at) {
  return static_cast<uint16_t>(b[at] << 8 | b[at + 1]);
}
void put16(std::span<uint8_t> b, size_t at, uint16_t v) {
  b[at] = static_cast<uint8_t>(v >> 8);
  b[at + 1] = static_cast<uint8_t>(v);
}

// RFC 1071.
uint16_t checksum(std::span<const uint8_t> bytes) {
  uint32_t sum = 0;
  size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2) sum += get16(bytes, i);
  if (i < bytes.size()) sum += static_cast<uint32_t>(bytes[i] << 8);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

uint8_t request_type(int family) { return family == AF_INET6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO; }
uint8_t reply_type(int family) { return family == AF_INET6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY; }

bool is_error(int family, uint8_t type) {
  if (family == AF_INET6) return type < 128;
  return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB ||
         type == ICMP_SOURCE_QUENCH;
}

std::optional<Echo> parse_echo(std::span<const uint8_t> message, uint8_t type) {
  if (message.size() < kEchoHeader || message[0] != type || message[1] != 0) return std::nullopt;
  Echo echo{{get16(message, 4), get16(message, 6)}, std::nullopt};
  if (message.size() >= kEchoHeader + kCookieBytes) {
    uint64_t cookie;
    memcpy(&cookie, message.data() + kEchoHeader, sizeof cookie);
    echo.cookie = cookie;
  }
  return echo;
}

}  // namespace

void stamp_echo(std::span<uint8_t> message, int family, EchoId id, uint64_t cookie) {
  put16(message, 2, 0);
  put16(message, 4, id.ident);
  put16(message, 6, id.sequence);
  if (message.size() >= kEchoHeader + kCookieBytes)
    memcpy(message.data() + kEchoHeader, &cookie, sizeof cookie);
  if (family == AF_INET) put16(message, 2, checksum(message));
}

// The sum of RFC 1071 is the same in either order of bytes, and words of 32 bits may be summed first.
bool is_sound(std::span<const uint8_t> message) {
  uint64_t sum = 0;
  size_t i = 0;
  for (; i + 4 <= message.size(); i += 4) {
    uint32_t word;
    memcpy(&word, message.data() + i, sizeof word);
    sum += word;
  }
  uint8_t rest[4] = {};
  if (i < message.size()) memcpy(rest, message.data() + i, message.size() - i);
  uint32_t word;
  memcpy(&word, rest, sizeof word);
  sum += word;
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum == 0xffff;
}

std::optional<Echo> parse_echo_reply(std::span<const uint8_t> message, int family) {
  return parse_echo(message, reply_type(family));
}

std::optional<Echo> parse_echo_request(std::span<const uint8_t> message, int family) {
  return parse_echo(message, request_type(family));
}

std::optional<Echo> parse_quoted_echo(std::span<const uint8_t> quoted, int family) {
  return parse_echo(quoted, request_type(family));
}

std::optional<IcmpError> parse_icmp_error(std::span<const uint8_t> message, int family) {
  if (message.size() < kEchoHeader || !is_error(family, message[0])) return std::nullopt;
  IcmpError error{.type = message[0], .code = message[1]};
  auto inner = message.subspan(kEchoHeader);
  size_t header = sizeof(uint32_t) * 5;
  if (family == AF_INET) {
    if (inner.size() < header || inner[0] >> 4 != 4) return std::nullopt;
    header = size_t{inner[0] & 0xfu} * 4;
    if (header < 20 || inner[9] != IPPROTO_ICMP) return std::nullopt;
    error.to.v4.sin_family = AF_INET;
    memcpy(&error.to.v4.sin_addr, &inner[16], 4);
    if (error.type == ICMP_DEST_UNREACH && error.code == ICMP_FRAG_NEEDED) error.mtu = get16(message, 6);
  } else {
    header = 40;
    if (inner.size() < header || inner[0] >> 4 != 6 || inner[6] != IPPROTO_ICMPV6) return std::nullopt;
    error.to.v6.sin6_family = AF_INET6;
    memcpy(&error.to.v6.sin6_addr, &inner[24], 16);
    if (error.type == ICMP6_PACKET_TOO_BIG)
      error.mtu = static_cast<uint32_t>(get16(message, 4)) << 16 | get16(message, 6);
  }
  if (inner.size() < header) return std::nullopt;
  const auto echo = parse_quoted_echo(inner.subspan(header), family);
  if (!echo) return std::nullopt;
  error.quoted = *echo;
  return error;
}

int icmp_errno(int family, uint8_t type, uint8_t code) {
  if (family == AF_INET6) {
    if (type == ICMP6_DST_UNREACH) {
      if (code == ICMP6_DST_UNREACH_NOPORT) return ECONNREFUSED;
      return code == ICMP6_DST_UNREACH_ADMIN     ? EACCES
             : code == ICMP6_DST_UNREACH_NOROUTE ? ENETUNREACH
                                                 : EHOSTUNREACH;
    }
    if (type == ICMP6_PACKET_TOO_BIG) return EMSGSIZE;
    return type == ICMP6_TIME_EXCEEDED ? EHOSTUNREACH : EPROTO;
  }
  if (type == ICMP_DEST_UNREACH) {
    switch (code) {
      case ICMP_NET_UNREACH:
      case ICMP_NET_UNKNOWN: return ENETUNREACH;
      case ICMP_PROT_UNREACH: return ENOPROTOOPT;
      case ICMP_PORT_UNREACH: return ECONNREFUSED;
      case ICMP_FRAG_NEEDED: return EMSGSIZE;
      case ICMP_NET_ANO:
      case ICMP_HOST_ANO:
      case ICMP_PKT_FILTERED: return EACCES;
      default: return EHOSTUNREACH;
    }
  }
  return type == ICMP_TIME_EXCEEDED ? EHOSTUNREACH : EPROTO;
}

}  // namespace todd::lane
