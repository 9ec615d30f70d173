// Packets as they come back with their transmit stamp; the first byte picks family and protocol. What is
// found is the packet's end, behind headers that fit.
#include <netinet/in.h>

#include "engine/base/check.h"
#include "engine/lane/icmp.h"
#include "engine/lane/sent_packet.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::lane;
  if (size == 0) return 0;
  const int family = (data[0] & 1) != 0 ? AF_INET6 : AF_INET;
  const bool udp = (data[0] & 2) != 0;
  const int protocol = udp ? IPPROTO_UDP : family == AF_INET6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  const std::span packet(data + 1, size - 1);
  const auto payload = payload_of_sent(packet, family, static_cast<uint8_t>(protocol));
  if (payload.empty()) return 0;
  TODD_CHECK(payload.data() + payload.size() == packet.data() + packet.size());
  const size_t before = packet.size() - payload.size();
  TODD_CHECK(before >= (family == AF_INET6 ? 40u : 20u) + (udp ? 8u : 0u) && before <= 22 + 60 + 8);
  const auto echo = parse_echo_request(payload, family);
  if (!echo) return 0;
  TODD_CHECK(payload.size() >= kEchoHeader);
  TODD_CHECK(echo->cookie.has_value() == (payload.size() >= kEchoHeader + kCookieBytes));
  const auto quoted = parse_quoted_echo(payload, family);
  TODD_CHECK(quoted && quoted->id.ident == echo->id.ident && quoted->id.sequence == echo->id.sequence);
  return 0;
}
