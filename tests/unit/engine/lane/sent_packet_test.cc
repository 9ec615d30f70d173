#include "engine/lane/sent_packet.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <vector>

namespace todd::lane {
namespace {

using Bytes = std::vector<uint8_t>;
const Bytes kPayload = {8, 0, 1, 2, 3, 4, 5, 6};

Bytes packet(size_t link, int family, uint8_t protocol, size_t options = 0) {
  Bytes out(link, 0xee);
  Bytes ip(family == AF_INET ? 20 + options : 40);
  ip[0] = family == AF_INET ? static_cast<uint8_t>(0x40 | (20 + options) / 4) : 0x60;
  ip[family == AF_INET ? 9 : 6] = protocol;
  out.insert(out.end(), ip.begin(), ip.end());
  if (protocol == IPPROTO_UDP) out.insert(out.end(), 8, 0);
  out.insert(out.end(), kPayload.begin(), kPayload.end());
  return out;
}

Bytes found(const Bytes& bytes, int family, uint8_t protocol) {
  const auto payload = payload_of_sent(bytes, family, protocol);
  return {payload.begin(), payload.end()};
}

TEST(SentPacketTest, FindsThePayloadBehindEveryLinkHeader) {
  for (const size_t link : {0, 14, 18, 22}) {
    EXPECT_EQ(found(packet(link, AF_INET, IPPROTO_ICMP), AF_INET, IPPROTO_ICMP), kPayload) << link;
    EXPECT_EQ(found(packet(link, AF_INET, IPPROTO_ICMP, 8), AF_INET, IPPROTO_ICMP), kPayload) << link;
    EXPECT_EQ(found(packet(link, AF_INET6, IPPROTO_ICMPV6), AF_INET6, IPPROTO_ICMPV6), kPayload) << link;
    EXPECT_EQ(found(packet(link, AF_INET, IPPROTO_UDP), AF_INET, IPPROTO_UDP), kPayload) << link;
  }
}

TEST(SentPacketTest, NothingInOtherOrShortPackets) {
  EXPECT_TRUE(found({}, AF_INET, IPPROTO_ICMP).empty());
  EXPECT_TRUE(found(packet(14, AF_INET, IPPROTO_TCP), AF_INET, IPPROTO_ICMP).empty());
  EXPECT_TRUE(found(packet(14, AF_INET6, IPPROTO_ICMPV6), AF_INET, IPPROTO_ICMP).empty());
  auto cut = packet(14, AF_INET, IPPROTO_UDP);
  cut.resize(14 + 20 + 7);
  EXPECT_TRUE(found(cut, AF_INET, IPPROTO_UDP).empty());
}

}  // namespace
}  // namespace todd::lane
