#include "engine/lane/icmp.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

namespace todd::lane {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes echo_request(int family, size_t size = 64) {
  Bytes message(size, 0x5a);
  message[0] = family == AF_INET ? 8 : 128;
  message[1] = 0;
  stamp_echo(message, family, {0x1234, 0xfffe}, 0x1122334455667788);
  return message;
}

// What a router puts behind an ICMP error's eight bytes: the IP header of the request and its first bytes.
Bytes icmp_error(int family, uint8_t type, uint8_t code, const Bytes& request, const char* to) {
  Bytes message(8);
  message[0] = type;
  message[1] = code;
  Bytes ip(family == AF_INET ? 20 : 40);
  if (family == AF_INET) {
    ip[0] = 0x45;
    ip[9] = IPPROTO_ICMP;
    inet_pton(AF_INET, to, &ip[16]);
  } else {
    ip[0] = 0x60;
    ip[6] = IPPROTO_ICMPV6;
    inet_pton(AF_INET6, to, &ip[24]);
  }
  message.insert(message.end(), ip.begin(), ip.end());
  message.insert(message.end(), request.begin(), request.end());
  return message;
}

uint32_t sum_of_words(const Bytes& b) {
  uint32_t sum = 0;
  for (size_t i = 0; i < b.size(); i += 2)
    sum += static_cast<uint32_t>(b[i] << 8 | (i + 1 < b.size() ? b[i + 1] : 0));
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

TEST(IcmpTest, AStampedRequestHasAValidChecksumAtEverySize) {
  for (size_t size : {8u, 9u, 15u, 16u, 17u, 64u, 1473u})
    EXPECT_EQ(sum_of_words(echo_request(AF_INET, size)), 0xffffu) << size;
  EXPECT_EQ(echo_request(AF_INET6)[2], 0) << "the kernel computes ICMPv6's";
}

TEST(IcmpTest, AReplyBringsBackWhatTheRequestCarried) {
  for (int family : {AF_INET, AF_INET6}) {
    auto reply = echo_request(family);
    reply[0] = family == AF_INET ? 0 : 129;
    const auto parsed = parse_echo_reply(reply, family);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->id.ident, 0x1234);
    EXPECT_EQ(parsed->id.sequence, 0xfffe);
    EXPECT_EQ(parsed->cookie, 0x1122334455667788u);
  }
}

TEST(IcmpTest, ARequestATruncatedReplyAndAnotherFamilysAreNoReplies) {
  EXPECT_FALSE(parse_echo_reply(echo_request(AF_INET), AF_INET)) << "our own request, seen on loopback";
  auto reply = echo_request(AF_INET);
  reply[0] = 0;
  EXPECT_FALSE(parse_echo_reply(reply, AF_INET6));
  for (size_t size = 0; size < 8; ++size)
    EXPECT_FALSE(parse_echo_reply(std::span(reply).first(size), AF_INET)) << size;
  EXPECT_FALSE(parse_echo_reply(std::span(reply).first(15), AF_INET)->cookie);
  reply[1] = 3;
  EXPECT_FALSE(parse_echo_reply(reply, AF_INET)) << "an echo reply has code 0";
}

TEST(IcmpTest, AMessageIsSoundWithItsChecksumAlone) {
  for (size_t payload : {0u, 1u, 2u, 3u, 8u, 57u}) {
    std::vector<uint8_t> message(8 + payload, 0xa7);
    message[0] = 8;
    message[1] = 0;
    stamp_echo(message, AF_INET, {0x1234, 0xfffe}, 0x1122334455667788);
    EXPECT_TRUE(is_sound(message)) << payload;
    for (size_t i = 0; i < message.size(); ++i) {
      message[i] ^= 0x10;
      EXPECT_FALSE(is_sound(message)) << payload << ", byte " << i;
      message[i] ^= 0x10;
    }
  }
}

TEST(IcmpTest, AnErrorNamesTheRequestItQuotes) {
  auto unreachable = icmp_error(AF_INET, 3, 1, echo_request(AF_INET, 8), "192.0.2.7");
  const auto v4 = parse_icmp_error(unreachable, AF_INET);
  ASSERT_TRUE(v4);
  EXPECT_EQ(v4->quoted.id.ident, 0x1234);
  EXPECT_EQ(v4->quoted.id.sequence, 0xfffe);
  EXPECT_EQ(v4->to.v4.sin_addr.s_addr, inet_addr("192.0.2.7"));
  EXPECT_EQ(v4->mtu, 0u);

  auto too_big = icmp_error(AF_INET6, 2, 0, echo_request(AF_INET6), "2001:db8::7");
  too_big[6] = 0x05;
  too_big[7] = 0x00;
  const auto v6 = parse_icmp_error(too_big, AF_INET6);
  ASSERT_TRUE(v6);
  EXPECT_EQ(v6->mtu, 1280u);
  EXPECT_EQ(v6->to.sa.sa_family, AF_INET6);
}

TEST(IcmpTest, FragmentationNeededCarriesTheMtu) {
  auto needed = icmp_error(AF_INET, 3, 4, echo_request(AF_INET), "192.0.2.7");
  needed[6] = 0x05;
  needed[7] = 0x78;
  EXPECT_EQ(parse_icmp_error(needed, AF_INET)->mtu, 1400u);
}

TEST(IcmpTest, AnErrorCutShortOrAboutAnotherProtocolIsIgnored) {
  for (int family : {AF_INET, AF_INET6}) {
    const auto whole = icmp_error(family, family == AF_INET ? 11 : 3, 0, echo_request(family, 8),
                                  family == AF_INET ? "192.0.2.7" : "2001:db8::7");
    EXPECT_TRUE(parse_icmp_error(whole, family));
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_FALSE(parse_icmp_error(std::span(whole).first(size), family)) << size;
    auto other = whole;
    other[8 + (family == AF_INET ? 9 : 6)] = IPPROTO_UDP;
    EXPECT_FALSE(parse_icmp_error(other, family));
  }
}

TEST(IcmpTest, HeaderLengthsThatLieAreRefused) {
  auto message = icmp_error(AF_INET, 3, 1, echo_request(AF_INET, 8), "192.0.2.7");
  for (uint8_t words : {0, 4, 15}) {
    message[8] = static_cast<uint8_t>(0x40 | words);
    EXPECT_FALSE(parse_icmp_error(message, AF_INET)) << int{words};
  }
}

TEST(IcmpTest, ErrorsBecomeTheErrnoTheKernelGives) {
  EXPECT_EQ(icmp_errno(AF_INET, 3, 0), ENETUNREACH);
  EXPECT_EQ(icmp_errno(AF_INET, 3, 1), EHOSTUNREACH);
  EXPECT_EQ(icmp_errno(AF_INET, 3, 3), ECONNREFUSED);
  EXPECT_EQ(icmp_errno(AF_INET, 3, 4), EMSGSIZE);
  EXPECT_EQ(icmp_errno(AF_INET, 3, 13), EACCES);
  EXPECT_EQ(icmp_errno(AF_INET, 11, 0), EHOSTUNREACH);
  EXPECT_EQ(icmp_errno(AF_INET6, 1, 0), ENETUNREACH);
  EXPECT_EQ(icmp_errno(AF_INET6, 1, 4), ECONNREFUSED);
  EXPECT_EQ(icmp_errno(AF_INET6, 2, 0), EMSGSIZE);
}

}  // namespace
}  // namespace todd::lane
