// Frames as the far end of a veth pair receives them, byte for byte.
#include "engine/io/packet_sender.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/io/sockets.h"
#include "tests/support/network_pair.h"

namespace todd::io {
namespace {

constexpr size_t kEthernet = 14, kIp = 20;
constexpr const char kBehind[] = "10.77.0.9";

class PacketSenderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    network_ = test::NetworkPair::make(why);
    if (!network_) GTEST_SKIP() << why;
    ASSERT_TRUE(network_->near("route add 10.77.0.0/16 via 192.0.2.2"));
    {
      const test::NetworkPair::AtFar there(*network_);
      tap_ = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_IP)));
      ASSERT_TRUE(tap_);
      sockaddr_ll at{};
      at.sll_family = AF_PACKET;
      at.sll_protocol = htons(ETH_P_IP);
      at.sll_ifindex = static_cast<int>(if_nametoindex("eth0"));
      ASSERT_EQ(bind(tap_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    }
  }
  PacketSender sender(TxStamps stamps = TxStamps::none) {
    auto fd = open_packet_socket();
    EXPECT_TRUE(fd) << fd.error().detail;
    return PacketSender(std::move(*fd), stamps);
  }
  QueuedDatagram to(const char* address, uint8_t ttl = 0, uint8_t tos = 0) {
    QueuedDatagram out{message_.data(),
                       static_cast<uint32_t>(message_.size()),
                       ttl,
                       tos,
                       *parse_address(address, 0),
                       Address{},
                       1};
    return out;
  }
  // The next packet that the far end received, or nothing after a second. What it sends itself is passed
  // over.
  std::string arrived() {
    char bytes[2048];
    for (;;) {
      sockaddr_ll from{};
      socklen_t size = sizeof from;
      const ssize_t got =
          recvfrom(tap_.get(), bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &size);
      if (got >= 0 && from.sll_pkttype == PACKET_OUTGOING) continue;
      if (got >= 0) return std::string(bytes, static_cast<size_t>(got));
      pollfd readable{tap_.get(), POLLIN, 0};
      if (poll(&readable, 1, 1000) != 1) return {};
    }
  }
  bool nothing_arrived() {
    pollfd readable{tap_.get(), POLLIN, 0};
    return poll(&readable, 1, 0) == 0;
  }

  std::unique_ptr<test::NetworkPair> network_;
  UniqueFd tap_;
  const std::string text_ = std::string("\x08\0\0\0\x12\x34\0\x01", 8) + "cookie-x payload";
  const std::vector<uint8_t> message_{text_.begin(), text_.end()};
};

uint8_t at(const std::string& bytes, size_t i) { return static_cast<uint8_t>(bytes.at(i)); }

// Of a header with its checksum: 0xffff (RFC 1071).
uint32_t sum_of(const std::string& header) {
  uint32_t sum = 0;
  for (size_t i = 0; i < header.size(); i += 2) sum += uint32_t{at(header, i)} << 8 | at(header, i + 1);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return sum;
}

TEST_F(PacketSenderTest, OneDatagramToADoubtfulGatewayIsTheKernels) {
  ASSERT_TRUE(network_->near("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0 nud stale"));
  PacketSender packets = sender();
  std::vector<QueuedDatagram> queue{to(kBehind), to(kBehind)};
  uint64_t calls = 0;
  packets.send(queue, calls);
  EXPECT_FALSE(queue[0].departed);
  EXPECT_TRUE(queue[1].departed);
  EXPECT_FALSE(arrived().empty());
}

TEST_F(PacketSenderTest, AFrameHasEveryHeaderRight) {
  PacketSender packets = sender();
  std::vector<QueuedDatagram> queue{to(kBehind)};
  uint64_t calls = 0;
  const int64_t before = monotonic_ns();
  packets.send(queue, calls);
  EXPECT_TRUE(queue[0].departed);
  EXPECT_EQ(queue[0].result, 0);
  EXPECT_GE(queue[0].tx_mono_ns, before);
  EXPECT_LE(queue[0].tx_mono_ns, monotonic_ns());
  const std::string frame = arrived();
  ASSERT_EQ(frame.size(), kEthernet + kIp + message_.size());
  EXPECT_EQ(frame.substr(0, kEthernet), std::string("\2\0\0\0\0\2\2\0\0\0\0\1\x08\0", kEthernet));
  const std::string header = frame.substr(kEthernet, kIp);
  EXPECT_EQ(at(header, 0), 0x45);
  EXPECT_EQ(at(header, 1), 0);
  EXPECT_EQ(at(header, 2) << 8 | at(header, 3), static_cast<int>(kIp + message_.size()));
  EXPECT_EQ(at(header, 6) << 8 | at(header, 7), 0x4000) << "don't fragment, no offset";
  EXPECT_EQ(at(header, 9), IPPROTO_ICMP);
  EXPECT_EQ(sum_of(header), 0xffffu);
  const in_addr_t source = inet_addr("192.0.2.1"), destination = inet_addr(kBehind);
  EXPECT_EQ(memcmp(&header[12], &source, 4), 0);
  EXPECT_EQ(memcmp(&header[16], &destination, 4), 0);
  EXPECT_EQ(frame.substr(kEthernet + kIp), text_);
}

TEST_F(PacketSenderTest, TtlAndDscpAreThoseAskedForElseTheSystems) {
  ASSERT_TRUE(network_->set_near("ipv4/ip_default_ttl", "77"));
  PacketSender packets = sender();
  struct {
    uint8_t ttl, tos, seen_ttl, seen_tos;
  } const cases[] = {
      {0, 0, 77, 0}, {1, 0, 1, 0}, {255, 0xff, 255, 0xff}, {9, 46 << 2, 9, 46 << 2}, {0, 4, 77, 4}};
  for (const auto& c : cases) {
    std::vector<QueuedDatagram> queue{to(kBehind, c.ttl, c.tos)};
    uint64_t calls = 0;
    packets.send(queue, calls);
    ASSERT_TRUE(queue[0].departed);
    const std::string frame = arrived();
    ASSERT_GE(frame.size(), kEthernet + kIp);
    EXPECT_EQ(at(frame, kEthernet + 8), c.seen_ttl);
    EXPECT_EQ(at(frame, kEthernet + 1), c.seen_tos);
    EXPECT_EQ(sum_of(frame.substr(kEthernet, kIp)), 0xffffu);
  }
}

// The sum of the header's words takes its carry back twice for a few addresses: those are looked for.
TEST_F(PacketSenderTest, TheChecksumIsRightWhereTheCarryCarries) {
  PacketSender packets = sender();
  const auto header_to = [&](uint32_t host) {
    const std::string address = "10.77." + std::to_string(host >> 8) + "." + std::to_string(host & 0xff);
    std::vector<QueuedDatagram> queue{to(address.c_str(), 64, 0)};
    uint64_t calls = 0;
    packets.send(queue, calls);
    const std::string frame = arrived();
    EXPECT_GE(frame.size(), kEthernet + kIp) << address;
    return frame.substr(kEthernet, kIp);
  };
  const std::string first = header_to(0);
  uint32_t words = 0;
  for (size_t i = 0; i < kIp; i += 2)
    if (i != 10) words += uint32_t{at(first, i)} << 8 | at(first, i + 1);
  ASSERT_GE(words >> 16, 1u);
  const uint32_t host = 0xffff - (words & 0xffff);  // the words' sum then ends in 0xffff, and has a carry
  for (uint32_t i = 0; i < 256; ++i) ASSERT_EQ(sum_of(header_to((host + i) & 0xffff)), 0xffffu) << i;
}

TEST_F(PacketSenderTest, TakesWhatCanLeaveSoAndLeavesTheRest) {
  PacketSender packets = sender();
  const std::vector<uint8_t> longest(576 - kIp, 8), longer(576 - kIp + 1, 8);
  std::vector<QueuedDatagram> queue{to(kBehind), to("192.0.2.2"), to("2001:db8::1"), to(kBehind),
                                    to(kBehind), to(kBehind),     to("203.0.113.1")};
  queue[3].from = *parse_address("192.0.2.1", 0);
  queue[4].data = longer.data();
  queue[4].len = static_cast<uint32_t>(longer.size());
  queue[5].data = longest.data();
  queue[5].len = static_cast<uint32_t>(longest.size());
  uint64_t calls = 0;
  packets.send(queue, calls);
  const std::vector<bool> expected{true, false, false, false, false, true, false};
  for (size_t i = 0; i < queue.size(); ++i) EXPECT_EQ(queue[i].departed, expected[i]) << i;
  EXPECT_EQ(arrived().size(), kEthernet + kIp + message_.size());
  EXPECT_EQ(arrived().size(), kEthernet + 576);
  EXPECT_TRUE(nothing_arrived());
}

TEST_F(PacketSenderTest, OneCallForABatchInOrder) {
  PacketSender packets = sender();
  std::vector<QueuedDatagram> first{to(kBehind)};
  uint64_t calls = 0;
  packets.send(first, calls);  // reads the routes
  arrived();
  std::vector<QueuedDatagram> queue;
  for (uint32_t i = 0; i < 2 * kBatch + 1; ++i) queue.push_back(to(kBehind, static_cast<uint8_t>(i + 1)));
  calls = 0;
  packets.send(queue, calls);
  EXPECT_LE(calls, 3u + (calls > 10 ? 20u : 0u)) << "or a second has passed, and the routes were read again";
  for (uint32_t i = 0; i < queue.size(); ++i) {
    const std::string frame = arrived();
    ASSERT_GE(frame.size(), kEthernet + kIp) << i;
    EXPECT_EQ(at(frame, kEthernet + 8), i + 1);
    EXPECT_TRUE(queue[i].departed);
    if (i > 0) {
      EXPECT_GE(queue[i].tx_mono_ns, queue[i - 1].tx_mono_ns);
    }
  }
}

TEST_F(PacketSenderTest, StampsThatAreAskedFor) {
  PacketSender packets = sender(TxStamps::some);
  ASSERT_TRUE(packets.stamps());
  std::vector<QueuedDatagram> queue{to(kBehind, 10), to(kBehind, 11), to(kBehind, 12)};
  queue[1].stamp = true;
  uint64_t calls = 0;
  const int64_t before = wall_ns();
  packets.send(queue, calls);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(arrived().empty());
  MessageBatch batch(8, 1536, 512);
  ASSERT_EQ(batch.receive(packets.fd(), MSG_ERRQUEUE), 1);
  const int64_t stamp = read_tx_stamp(batch.header(0));
  EXPECT_GE(stamp, before);
  EXPECT_LE(stamp, wall_ns());
  const std::string frame(reinterpret_cast<const char*>(batch.data(0)), batch.len(0));
  ASSERT_GE(frame.size(), kEthernet + kIp);
  EXPECT_EQ(at(frame, kEthernet + 8), 11);
}

TEST_F(PacketSenderTest, AnInterfaceThatIsGoneLeavesItToTheKernel) {
  PacketSender packets = sender();
  std::vector<QueuedDatagram> queue{to(kBehind)};
  uint64_t calls = 0;
  packets.send(queue, calls);
  ASSERT_TRUE(queue[0].departed);
  ASSERT_TRUE(network_->near("link set eth0 down"));
  queue = {to(kBehind), to(kBehind)};
  packets.send(queue, calls);
  EXPECT_FALSE(queue[0].departed);
  EXPECT_FALSE(queue[1].departed);
  EXPECT_EQ(queue[0].result, 0);
}

}  // namespace
}  // namespace todd::io
