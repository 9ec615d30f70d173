// A flow of TODD_PEERS in an instance on a real reactor, over loopback, with plain sockets as its peers.
#include "engine/lane/peer_flow.h"

#include <map>
#include <set>
#include <thread>

#include "tests/unit/engine/lane/stream_flow_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::engine_text;
using io::EngineChoice;
using io::kOldestUring;

class PeerFlowTest : public StreamFlowTest {
 protected:
  void SetUp() override {
    StreamFlowTest::SetUp();
    puppet_.flow.proto = TODD_PEERS;
    target_ = peer();
    setup_.targets.push_back({.address = *io::local_address(target_.get())});
  }
  static UniqueFd peer(int family = AF_INET) {
    UniqueFd fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto address = io::loopback(family);
    EXPECT_EQ(bind(fd.get(), &address.sa, io::address_len(address)), 0);
    const timeval limit{5, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  static void tell(const UniqueFd& from, const io::Address& to, const std::string& bytes) {
    EXPECT_EQ(sendto(from.get(), bytes.data(), bytes.size(), 0, &to.sa, io::address_len(to)),
              static_cast<ssize_t>(bytes.size()));
  }
  static std::string heard_by(const UniqueFd& fd, io::Address* from = nullptr) {
    char bytes[2048];
    io::Address sender{};
    socklen_t len = sizeof sender;
    const ssize_t got = recvfrom(fd.get(), bytes, sizeof bytes, 0, &sender.sa, &len);
    if (from != nullptr) *from = sender;
    return got < 0 ? "nothing" : std::string(bytes, static_cast<size_t>(got));
  }
  uint16_t listen_here() {
    const todd_done done = go(op(TODD_OP_LISTEN));
    EXPECT_EQ(done.result, 0);
    return done.port;
  }
  // A TCP listener whose port no UDP socket has.
  static UniqueFd tcp_listener() {
    for (;;) {
      const UniqueFd udp = io::udp_socket();
      const auto address = io::loopback(AF_INET, io::port_of(*io::local_address(udp.get())));
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (bind(fd.get(), &address.sa, sizeof address.v4) == 0 && ::listen(fd.get(), 1) == 0) return fd;
    }
  }
  size_t told(int code) const {
    return static_cast<size_t>(
        std::ranges::count(puppet_.done, static_cast<uint16_t>(code), &todd_done::code));
  }

  UniqueFd target_;
};

TODD_ALL_ENGINES(PeerFlowTest);

// ---- sources

TEST_P(PeerFlowTest, EachSendIsADatagramAndSoIsEachRecv) {
  begin();
  const uint64_t s = connect();
  want(op(TODD_OP_RECV, s));
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "one").result, 3);
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "second").result, 6);
  io::Address ours{};
  EXPECT_EQ(heard_by(target_, &ours), "one");
  EXPECT_EQ(heard_by(target_), "second");
  tell(target_, ours, "an");
  tell(target_, ours, "");  // would read as the end
  tell(target_, ours, "swer");
  const todd_done first = next(TODD_OP_RECV), second = next(TODD_OP_RECV);
  EXPECT_EQ(first.result, 2);
  EXPECT_EQ(second.result, 4);
  EXPECT_EQ(second.arg, s);
  EXPECT_EQ(second.target, 0u);
  EXPECT_EQ(puppet_.received, "answer");
}

TEST_P(PeerFlowTest, NobodyElseIsHeardOnASourcesStream) {
  begin();
  const uint64_t s = connect();
  want(op(TODD_OP_RECV, s));
  go(op(TODD_OP_SEND, s), "hello");
  io::Address ours{};
  heard_by(target_, &ours);
  tell(peer(), ours, "stranger");
  tell(target_, ours, "known");
  EXPECT_EQ(next(TODD_OP_RECV).result, 5);
  EXPECT_EQ(puppet_.received, "known");
}

TEST_P(PeerFlowTest, ARefusalEndsReceivingAndOnlyThat) {
  const auto address = *io::local_address(target_.get());
  target_.reset();
  begin();
  const uint64_t s = connect();
  want(op(TODD_OP_RECV, s));
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "hello").result, 5);
  EXPECT_EQ(next(TODD_OP_RECV).result, -ECONNREFUSED);
  // Where a SEND meets it first, the next RECV tells of it, and the SEND is repeated.
  go(op(TODD_OP_SEND, s), "hello");
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "again").result, 5);
  EXPECT_EQ(go(op(TODD_OP_RECV, s)).result, -ECONNREFUSED);
  target_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(target_.get(), &address.sa, sizeof address.v4), 0);
  want(op(TODD_OP_RECV, s));
  go(op(TODD_OP_SEND, s), "there?");
  io::Address ours{};
  heard_by(target_, &ours);
  tell(target_, ours, "yes");
  todd_done got = next(TODD_OP_RECV);
  if (got.result == -ECONNREFUSED) {  // of "again"
    want(op(TODD_OP_RECV, s));
    got = next(TODD_OP_RECV);
  }
  EXPECT_EQ(got.result, 3);
}

TEST_P(PeerFlowTest, TheFlowsPortAndBuffersAreTheSockets) {
  puppet_.flow.local_port = io::port_of(*io::local_address(io::udp_socket().get()));
  puppet_.flow.receive_buffer = 70'000;
  puppet_.flow.send_buffer = 60'000;
  begin();
  const uint64_t s = connect();
  EXPECT_EQ(io::port_of(*io::local_address(instance_->stream_flow_of(s)->fd(s))), puppet_.flow.local_port);
  todd_stream_info info{};
  info.size = sizeof info;
  ASSERT_EQ(puppet_.net->stream_info(puppet_.lane, s, &info), 0);
  EXPECT_EQ(info.receive_buffer, 140'000u);  // the kernel doubles what it is given
  EXPECT_EQ(info.send_buffer, 120'000u);
  EXPECT_EQ(info.rtt_us, 0u);
}

TEST_P(PeerFlowTest, WhatIsOfConnectionsAloneIsRefused) {
  begin();
  const uint64_t s = connect();
  EXPECT_EQ(go(op(TODD_OP_SHUTDOWN, s)).result, -EINVAL);
  EXPECT_EQ(go(op(TODD_OP_TLS, s)).result, -EINVAL);
  todd_op probing = op(TODD_OP_CONNECT);
  probing.flags = TODD_OF_PROBE;
  EXPECT_EQ(go(probing).result, -EINVAL);
}

// ---- responders

TEST_P(PeerFlowTest, EachAddressIsAStreamAndIsAnsweredFromTheListenersPort) {
  begin();
  const uint16_t port = listen_here();
  const auto here = io::loopback(AF_INET, port);
  const UniqueFd a = peer(), b = peer();
  tell(a, here, "from a");
  const todd_done accepted = next(TODD_OP_ACCEPT);
  EXPECT_EQ(accepted.port, io::port_of(*io::local_address(a.get())));
  EXPECT_EQ(next(TODD_OP_RECV).arg, accepted.arg);
  tell(b, here, ", from b");
  const todd_done other = next(TODD_OP_ACCEPT);
  EXPECT_NE(other.arg, accepted.arg);
  EXPECT_EQ(next(TODD_OP_RECV).arg, other.arg);
  tell(a, here, ", a again");
  EXPECT_EQ(next(TODD_OP_RECV).arg, accepted.arg);
  EXPECT_EQ(puppet_.received, "from a, from b, a again");
  EXPECT_EQ(told(TODD_OP_ACCEPT), 0u);
  go(op(TODD_OP_SEND, other.arg), "to b");
  go(op(TODD_OP_SEND, accepted.arg), "to a");
  io::Address from{};
  EXPECT_EQ(heard_by(a, &from), "to a");
  EXPECT_EQ(heard_by(b), "to b");
  EXPECT_EQ(io::format_endpoint(from), io::format_endpoint(here));
}

// The second address of a host: what the peer sent to is what it hears from.
TEST_P(PeerFlowTest, AnswersLeaveFromTheAddressThatWasAsked) {
  begin();
  const auto here = *io::parse_address("127.0.0.7", listen_here());
  const UniqueFd a = peer();
  tell(a, here, "hello");
  const todd_done accepted = next(TODD_OP_ACCEPT);
  go(op(TODD_OP_SEND, accepted.arg), "hi");
  io::Address from{};
  EXPECT_EQ(heard_by(a, &from), "hi");
  EXPECT_EQ(io::format_endpoint(from), io::format_endpoint(here));
}

TEST_P(PeerFlowTest, Ipv6IsHeardOnTheSamePort) {
  if (!io::has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  begin();
  const auto here = io::loopback(AF_INET6, listen_here());
  const UniqueFd a = peer(AF_INET6);
  tell(a, here, "six");
  const todd_done accepted = next(TODD_OP_ACCEPT);
  EXPECT_EQ(next(TODD_OP_RECV).result, 3);
  go(op(TODD_OP_SEND, accepted.arg), "6");
  EXPECT_EQ(heard_by(a), "6");
}

// While a stream's socket is made, the listener has more of its peer, and the new socket, until it is
// connected, takes in what others send.
TEST_P(PeerFlowTest, NothingIsLostOrToldTwiceWhileStreamsAreMade) {
  constexpr size_t kPeers = 300, kEach = 8;
  puppet_.flow.slot_cap = 512;
  begin();
  const auto here = io::loopback(AF_INET, listen_here());
  std::vector<UniqueFd> peers;
  std::map<uint16_t, size_t> number;
  for (size_t i = 0; i < kPeers; ++i) {
    peers.push_back(peer());
    number[io::port_of(*io::local_address(peers.back().get()))] = i;
  }
  const auto say = [&](size_t i, size_t k) {
    tell(peers[i], here, "<" + std::to_string(i) + "." + std::to_string(k) + ">");
  };
  for (size_t k = 0; k < kEach / 4; ++k)  // all of it with the listener
    for (size_t i = 0; i < kPeers / 2; ++i) say(i, k);
  std::thread others([&] {
    for (size_t k = 0; k < kEach; ++k)
      for (size_t i = 0; i < kPeers; ++i)
        if (i >= kPeers / 2 || k >= kEach / 4) say(i, k);
  });
  rounds([&] { return told(TODD_OP_RECV) >= kPeers * kEach; });
  others.join();
  settle();
  EXPECT_EQ(told(TODD_OP_ACCEPT), kPeers);
  EXPECT_EQ(told(TODD_OP_RECV), kPeers * kEach);
  std::map<uint64_t, size_t> of_stream;
  size_t at = 0;
  std::set<std::string> seen;
  for (const todd_done& done : puppet_.done) {
    if (done.code == TODD_OP_ACCEPT) of_stream[done.arg] = number.at(done.port);
    if (done.code != TODD_OP_RECV) continue;
    const std::string piece = puppet_.received.substr(at, done.len);
    at += done.len;
    EXPECT_TRUE(seen.insert(piece).second) << piece << " was told twice";
    EXPECT_EQ(std::stoul(piece.substr(1)), of_stream.at(done.arg)) << piece;
  }
}

TEST_P(PeerFlowTest, AClosedStreamsPeerIsANewOne) {
  begin();
  const auto here = io::loopback(AF_INET, listen_here());
  const UniqueFd a = peer();
  tell(a, here, "one");
  const uint64_t first = next(TODD_OP_ACCEPT).arg;
  next(TODD_OP_RECV);
  want(op(TODD_OP_CLOSE, first));
  EXPECT_EQ(next(TODD_OP_RECV).result, -ECANCELED);
  EXPECT_EQ(go(op(TODD_OP_SEND, first), "gone").result, -ENOTCONN);
  tell(a, here, "two");
  EXPECT_NE(next(TODD_OP_ACCEPT).arg, first);
  EXPECT_EQ(next(TODD_OP_RECV).result, 3);
}

TEST_P(PeerFlowTest, WhatIsLongerThanASlotIsCutAndSaysSo) {
  puppet_.flow.slot_cap = 100;
  begin();
  const auto here = io::loopback(AF_INET, listen_here());
  tell(peer(), here, std::string(300, 'x'));
  const todd_done got = next(TODD_OP_RECV);
  EXPECT_EQ(got.result, 100);
  EXPECT_EQ(got.flags, TODD_DF_TRUNCATED);
}

TEST_P(PeerFlowTest, APortIsOneListenersButMayBeTcpsToo) {
  const UniqueFd tcp = tcp_listener();
  puppet_.flow.local_port = io::port_of(*io::local_address(tcp.get()));
  begin();
  EXPECT_EQ(listen_here(), puppet_.flow.local_port);
  EXPECT_EQ(go(op(TODD_OP_LISTEN)).result, -EADDRINUSE);
}

}  // namespace
}  // namespace todd::lane
