#include "tests/support/delay_lab/packet.h"

#include <gtest/gtest.h>
#include <linux/if_ether.h>

namespace todd::delay_lab {
namespace {

constexpr Mac kLab = {2, 0, 0, 0, 0, 1}, kProber = {2, 0, 0, 0, 0, 2};
constexpr size_t kEthernet = 14, kV4 = 20, kV6 = 40;

Address at(const char* text) { return *parse_address(text); }

// By hand, so that the code under test does not make its own input.
Bytes echo_request_v4(Bytes payload = {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
  Bytes frame(kEthernet + kV4 + 8, 0);
  std::copy(kLab.begin(), kLab.end(), frame.begin());
  std::copy(kProber.begin(), kProber.end(), frame.begin() + 6);
  frame[12] = 8;  // IPv4
  frame[14] = 0x45;
  frame[17] = static_cast<uint8_t>(kV4 + 8 + payload.size());
  frame[22] = 64;
  frame[23] = 1;  // ICMP
  const uint8_t addresses[] = {198, 18, 0, 1, 10, 64, 0, 1};
  std::copy(addresses, addresses + 8, frame.begin() + 26);
  frame[34] = 8;                       // echo request
  frame[38] = 0x12, frame[39] = 0x34;  // ident
  frame[40] = 0x00, frame[41] = 0x07;  // sequence
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

Bytes request_v6(uint8_t protocol, Bytes message) {
  Bytes frame(kEthernet + kV6, 0);
  std::copy(kProber.begin(), kProber.end(), frame.begin() + 6);
  frame[12] = 0x86, frame[13] = 0xdd;
  frame[14] = 0x60;
  frame[19] = static_cast<uint8_t>(message.size());
  frame[20] = protocol;
  const auto from = at("fd18::1").bytes, to = at("fd64::1").bytes;
  std::copy(from.s6_addr, from.s6_addr + 16, frame.begin() + 22);
  std::copy(to.s6_addr, to.s6_addr + 16, frame.begin() + 38);
  frame.insert(frame.end(), message.begin(), message.end());
  return frame;
}
Bytes echo_request_v6() { return request_v6(58, {128, 0, 0, 0, 0x12, 0x34, 0, 7, 1, 2, 3}); }
Bytes udp_request_v6() { return request_v6(17, {0x9c, 0x40, 0, 7, 0, 11, 0, 0, 'a', 'b', 'c'}); }

std::span<const uint8_t> message_of(const Bytes& frame, size_t ip) {
  return std::span(frame).subspan(kEthernet + ip);
}

// The whole message and its checksum add up to nothing.
void expect_checksums_v4(const Bytes& frame) {
  EXPECT_EQ(checksum(std::span(frame).subspan(kEthernet, kV4)), 0);
  EXPECT_EQ(checksum(message_of(frame, kV4)), 0);
}
void expect_checksum_v6(const Bytes& frame) {
  const auto from = Address::v6(frame.data() + kEthernet + 8),
             to = Address::v6(frame.data() + kEthernet + 24);
  EXPECT_EQ(checksum_between(from, to, frame[kEthernet + 6], message_of(frame, kV6)), 0);
}

TEST(PacketTest, TheChecksumIsThatOfTheRfc) {
  const Bytes example = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};  // RFC 1071 section 3: sum ddf2
  const uint16_t sum = checksum(example);
  uint8_t bytes[2];
  std::memcpy(bytes, &sum, 2);
  EXPECT_EQ(bytes[0], 0x22);
  EXPECT_EQ(bytes[1], 0x0d);
}

TEST(PacketTest, ReadsAnEchoRequest) {
  const auto request = parse_request(echo_request_v4());
  ASSERT_TRUE(request);
  EXPECT_EQ(request->from.text(), "198.18.0.1");
  EXPECT_EQ(request->to.text(), "10.64.0.1");
  EXPECT_EQ(request->from_mac, kProber);
  EXPECT_EQ(request->ident, 0x1234);
  EXPECT_EQ(request->sequence, 7);
  EXPECT_EQ(request->packet.size() - request->payload, 9u);
}

TEST(PacketTest, PaddingOfTheFrameIsNoPayload) {
  auto frame = echo_request_v4({1});
  frame.resize(60);
  const auto request = parse_request(frame);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->packet.size() - request->payload, 1u);
}

TEST(PacketTest, ReadsIPv6AndUdp) {
  const auto echo = parse_request(echo_request_v6());
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->to.text(), "fd64::1");
  EXPECT_EQ(echo->ident, 0x1234);
  const auto udp = parse_request(udp_request_v6());
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->protocol, Protocol::udp);
  EXPECT_EQ(udp->ident, 40000);
  EXPECT_EQ(udp->sequence, 7);
}

TEST(PacketTest, APassingPacketIsToldByItsPortsAndPayload) {
  const auto echo = parse_passing(echo_request_v4());
  ASSERT_TRUE(echo);
  EXPECT_EQ(echo->protocol, Protocol::icmp);
  EXPECT_EQ(echo->to.text(), "10.64.0.1");
  const auto udp = parse_passing(udp_request_v6());
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->protocol, Protocol::udp);
  EXPECT_EQ(udp->from_port, 40000);
  EXPECT_EQ(udp->to_port, 7);
  EXPECT_EQ(udp->payload, 3u);

  Bytes message(24 + 5);  // a header of TCP with 4 bytes of options, and 5 behind it
  message[0] = 0x1f;
  message[1] = 0x90;
  message[3] = 80;
  message[12] = 6 << 4;
  auto frame = echo_request_v4(message);
  frame.erase(frame.begin() + kEthernet + kV4, frame.begin() + kEthernet + kV4 + 8);  // ICMP's header
  frame[kEthernet + 3] = static_cast<uint8_t>(kV4 + message.size());
  frame[kEthernet + 9] = 6;
  const auto tcp = parse_passing(frame);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->protocol, Protocol::tcp);
  EXPECT_EQ(tcp->from_port, 8080);
  EXPECT_EQ(tcp->to_port, 80);
  EXPECT_EQ(tcp->payload, 5u);
  frame[kEthernet + kV4 + 12] = 15 << 4;  // more than there is
  EXPECT_FALSE(parse_passing(frame));
}

TEST(PacketTest, PassesOverWhatIsCut) {
  for (const auto& frame : {echo_request_v4(), echo_request_v6(), udp_request_v6()})
    for (size_t size = 0; size < frame.size(); ++size) {
      const Bytes cut(frame.begin(),
                      frame.begin() + static_cast<ptrdiff_t>(size));  // so that reading beyond it is seen
      EXPECT_FALSE(parse_request(cut)) << size;
      EXPECT_FALSE(parse_who_has(cut)) << size;
      EXPECT_FALSE(parse_passing(cut)) << size;
    }
}

TEST(PacketTest, PassesOverWhatIsNoRequest) {
  auto reply = echo_request_v4();
  reply[34] = 0;
  EXPECT_FALSE(parse_request(reply));
  auto fragment = echo_request_v4();
  fragment[20] = 0x20;  // more fragments
  EXPECT_FALSE(parse_request(fragment));
  auto tcp = echo_request_v4();
  tcp[23] = 6;
  EXPECT_FALSE(parse_request(tcp));
}

TEST(PacketTest, AReplyIsTheRequestTurnedRound) {
  const auto request = *parse_request(echo_request_v4());
  const auto frame = build_reply(request, kLab, {request.to});
  EXPECT_TRUE(std::equal(kProber.begin(), kProber.end(), frame.begin()));
  EXPECT_TRUE(std::equal(kLab.begin(), kLab.end(), frame.begin() + 6));
  EXPECT_EQ(Address::v4(frame.data() + 26).text(), "10.64.0.1");
  EXPECT_EQ(Address::v4(frame.data() + 30).text(), "198.18.0.1");
  EXPECT_EQ(frame[34], 0);
  EXPECT_TRUE(std::equal(frame.begin() + 38, frame.end(), echo_request_v4().begin() + 38));
  expect_checksums_v4(frame);
}

TEST(PacketTest, RepliesOfIPv6AndUdpHaveRightChecksums) {
  const auto echo = *parse_request(echo_request_v6());
  const auto echoed = build_reply(echo, kLab, {echo.to});
  EXPECT_EQ(message_of(echoed, kV6)[0], 129);
  expect_checksum_v6(echoed);
  const auto udp = *parse_request(udp_request_v6());
  const auto answered = build_reply(udp, kLab, {udp.to});
  const auto message = message_of(answered, kV6);
  EXPECT_EQ(Bytes(message.begin(), message.begin() + 6), (Bytes{0, 7, 0x9c, 0x40, 0, 11}));
  EXPECT_EQ(Bytes(message.begin() + 8, message.end()), (Bytes{'a', 'b', 'c'}));
  expect_checksum_v6(answered);
}

TEST(PacketTest, AReplyLiesAsItIsTold) {
  const auto request = *parse_request(echo_request_v4());
  const auto frame = build_reply(request, kLab, {at("10.64.0.9"), 4, 1});
  EXPECT_EQ(Address::v4(frame.data() + 26).text(), "10.64.0.9");
  const auto payload = std::span(frame).subspan(kEthernet + kV4 + 8);
  EXPECT_EQ(Bytes(payload.begin(), payload.end()), (Bytes{1, 0xfd, 3, 4}));
  EXPECT_EQ(frame[17], kV4 + 8 + 4);
  expect_checksums_v4(frame);
}

TEST(PacketTest, CorruptionBeyondTheEndHitsTheLastByte) {
  const auto request = *parse_request(echo_request_v4());
  Reply reply{request.to};
  reply.corrupt = SIZE_MAX;
  EXPECT_EQ(build_reply(request, kLab, reply).back(), 0xf6);
  const auto empty = *parse_request(echo_request_v4({}));
  EXPECT_EQ(build_reply(empty, kLab, reply).size(), kEthernet + kV4 + 8);
}

TEST(PacketTest, AnErrorQuotesTheRequest) {
  const auto request = *parse_request(echo_request_v4());
  const auto frame = build_icmp_error(request, kLab, {at("10.64.0.254"), 3, 4, 1400});
  expect_checksums_v4(frame);
  const auto message = message_of(frame, kV4);
  EXPECT_EQ(Bytes(message.begin(), message.begin() + 2), (Bytes{3, 4}));
  EXPECT_EQ(Bytes(message.begin() + 4, message.begin() + 8), (Bytes{0, 0, 0x05, 0x78}));
  EXPECT_EQ(Bytes(message.begin() + 8, message.end()), request.packet);
  EXPECT_EQ(Address::v4(frame.data() + 26).text(), "10.64.0.254");
}

TEST(PacketTest, AnErrorQuotesNoMoreThanItsFamilyAllows) {
  auto request = *parse_request(echo_request_v4());
  request.packet.resize(1400);
  EXPECT_EQ(build_icmp_error(request, kLab, {request.to, 3, 1}).size(), kEthernet + 576);
  request = *parse_request(echo_request_v6());
  request.packet.resize(1400);
  const auto frame = build_icmp_error(request, kLab, {request.to, 1, 3});
  EXPECT_EQ(frame.size(), kEthernet + 1280);
  expect_checksum_v6(frame);
}

TEST(PacketTest, AnswersArp) {
  Bytes frame(kEthernet, 0);
  std::copy(kProber.begin(), kProber.end(), frame.begin() + 6);
  frame[12] = 8, frame[13] = 6;
  const Bytes arp = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 198, 18, 0, 1, 0, 0, 0, 0, 0, 0, 10, 64, 0, 1};
  frame.insert(frame.end(), arp.begin(), arp.end());
  const auto asked = parse_who_has(frame);
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->target.text(), "10.64.0.1");
  const auto answer = build_is_at(*asked, kLab);
  EXPECT_EQ(Bytes(answer.begin() + 14, answer.end()),
            (Bytes{0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 64, 0, 1, 2, 0, 0, 0, 0, 2, 198, 18, 0, 1}));
  EXPECT_FALSE(parse_who_has(answer));
}

TEST(PacketTest, AnswersNeighbourSolicitations) {
  Bytes message = {135, 0, 0, 0, 0, 0, 0, 0};
  const auto target = at("fd64::5").bytes;
  message.insert(message.end(), target.s6_addr, target.s6_addr + 16);
  const auto asked = parse_who_has(request_v6(58, message));
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->target.text(), "fd64::5");
  const auto answer = build_is_at(*asked, kLab);
  const auto advert = message_of(answer, kV6);
  EXPECT_EQ(advert[0], 136);
  EXPECT_EQ(advert[4], 0x60);  // solicited, override
  EXPECT_EQ(Bytes(advert.begin() + 24, advert.end()), (Bytes{2, 1, 2, 0, 0, 0, 0, 1}));
  EXPECT_EQ(answer[21], 255);
  expect_checksum_v6(answer);
}

TEST(PacketTest, DuplicateAddressDetectionIsNotAnswered) {
  Bytes message(24, 0);
  message[0] = 135;
  auto frame = request_v6(58, message);
  std::fill_n(frame.begin() + 22, 16, uint8_t{0});
  EXPECT_FALSE(parse_who_has(frame));
}

}  // namespace
}  // namespace todd::delay_lab
