#include "plugins/ping/wire.h"

#include <arpa/inet.h>

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
std::string address_of(const todd_icmp_error& error) {
  char sender[INET6_ADDRSTRLEN] = "?";
  inet_ntop(error.family == 6 ? AF_INET6 : AF_INET, error.sender, sender, sizeof sender);
  return sender;
}
}  // namespace

std::string sender_key(const todd_icmp_error& error) {
  constexpr size_t kMost = 23, kFront = 10, kBack = kMost - kFront - 2;
  const std::string address = address_of(error);
  if (address.size() <= kMost) return address;
  return address.substr(0, kFront) + ".." + address.substr(address.size() - kBack);
}

std::string describe(const todd_icmp_error& error) {
  std::string text = std::string(icmp_error_name(error)) + " from " + address_of(error) + " (type " +
                     std::to_string(error.type) + " code " + std::to_string(error.code);
  if (error.mtu != 0) text += ", mtu " + std::to_string(error.mtu);
  return text + ")";
}

}  // namespace todd::ping
