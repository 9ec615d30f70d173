#include "plugins/ping/wire.h"

#include <arpa/inet.h>

#include <cstdio>

namespace todd::ping {

namespace {

constexpr uint8_t kEchoRequest4 = 8;    // RFC 792
constexpr uint8_t kEchoRequest6 = 128;  // RFC 4443 section 4.1

// RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
const char* unreachable4(uint8_t code) {
  switch (code) {
    case 0:
    case 6:
    case 11: return "net_unreachable";
    case 1:
    case 7:
    case 8:
    case 12: return "host_unreachable";
    case 2: return "protocol_unreachable";
    case 3: return "port_unreachable";
    case 4: return kPacketTooBig.data();
    case 5: return "source_route_failed";
    case 9:
    case 10:
    case 13: return "admin_prohibited";
    case 14:
    case 15: return "precedence_refused";
    default: return "unreachable";
  }
}

const char* name4(uint8_t type, uint8_t code) {
  switch (type) {
    case 3: return unreachable4(code);
    case 4: return "source_quench";
    case 5: return "redirect";
    case 11: return code == 1 ? "reassembly_timeout" : "ttl_exceeded";
    case 12: return "parameter_problem";
    default: return "other";
  }
}

// RFC 4443 section 3.1.
const char* unreachable6(uint8_t code) {
  switch (code) {
    case 0: return "net_unreachable";
    case 1: return "admin_prohibited";
    case 2: return "beyond_scope";
    case 3: return "host_unreachable";
    case 4: return "port_unreachable";
    case 5: return "policy_failed";
    case 6: return "route_rejected";
    case 7: return "source_route_failed";
    default: return "unreachable";
  }
}

const char* name6(uint8_t type, uint8_t code) {
  switch (type) {
    case 1: return unreachable6(code);
    case 2: return kPacketTooBig.data();
    case 3: return code == 1 ? "reassembly_timeout" : "ttl_exceeded";
    case 4: return "parameter_problem";
    default: return "other";
  }
}

}  // namespace

std::array<uint8_t, kIcmpHeader> icmp_header(uint16_t family) {
  return {family == 6 ? kEchoRequest6 : kEchoRequest4};
}

uint32_t own_bytes_at(bool udp, size_t length) {
  if (udp) return kUdpKey;
  return length >= kIcmpHeader + kCookie ? kIcmpHeader + kCookie : kIcmpHeader;
}

uint8_t estimated_hops(uint8_t ttl) {
  int initial = 255;
  for (const int usual : {128, 64, 32}) {
    if (ttl <= usual) initial = usual;
  }
  return static_cast<uint8_t>(initial - ttl);
}

const char* icmp_error_name(const todd_icmp_error& error) {
  return error.family == 6 ? name6(error.type, error.code) : name4(error.type, error.code);
}

namespace {
Words<INET6_ADDRSTRLEN> address_of(const todd_icmp_error& error) {
  Words<INET6_ADDRSTRLEN> sender;
  inet_ntop(error.family == 6 ? AF_INET6 : AF_INET, error.sender, sender.text, sizeof sender.text);
  return sender;
}
}  // namespace

Words<24> sender_key(const todd_icmp_error& error) {
  constexpr size_t kMost = 23, kFront = 10, kBack = kMost - kFront - 2;
  const auto sender = address_of(error);
  const std::string_view address = sender.view();
  Words<24> key;
  if (address.size() <= kMost) {
    address.copy(key.text, kMost);
  } else {
    address.copy(key.text, kFront);
    key.text[kFront] = key.text[kFront + 1] = '.';
    address.substr(address.size() - kBack).copy(key.text + kFront + 2, kBack);
  }
  return key;
}

Words<128> describe(const todd_icmp_error& error) {
  Words<128> out;
  char mtu[24] = "";
  if (error.mtu != 0) std::snprintf(mtu, sizeof mtu, ", mtu %u", unsigned{error.mtu});
  std::snprintf(out.text, sizeof out.text, "%s from %s (type %u code %u%s)", icmp_error_name(error),
                address_of(error).text, unsigned{error.type}, unsigned{error.code}, mtu);
  return out;
}

}  // namespace todd::ping
