// A flow of streams in an instance on a real reactor, over loopback: what its sockets are given, how long it
// waits, which numbers it knows.
#include "engine/lane/stream_flow.h"

#include <algorithm>
#include <list>

#include "tests/unit/engine/lane/stream_flow_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::engine_text;
using io::EngineChoice;
using io::kOldestUring;

TODD_ALL_ENGINES(StreamFlowTest);

// ---- options

TEST_P(StreamFlowTest, WhatTheFlowAndTheConnectAskForIsOnTheSocket) {
  puppet_.flow.mss = 700;
  puppet_.flow.send_buffer = 40'000;
  puppet_.flow.receive_buffer = 50'000;
  puppet_.flow.pacing = 3'000'000;
  puppet_.flow.congestion = "reno";
  begin();
  todd_op asked = op(TODD_OP_CONNECT);
  asked.tos = 46 << 2;
  asked.ttl = 17;
  const todd_done done = go(asked);
  ASSERT_EQ(done.result, 0);
  const uint64_t s = done.arg;
  EXPECT_EQ(option(s, SOL_IP, IP_TOS), 46 << 2);
  EXPECT_EQ(option(s, SOL_IP, IP_TTL), 17);
  const int mss = option(s, IPPROTO_TCP, TCP_MAXSEG);  // less what the timestamps take
  EXPECT_TRUE(mss == 700 || mss == 688) << mss;
  EXPECT_EQ(option(s, SOL_SOCKET, SO_SNDBUF), 80'000);  // the kernel doubles what it is given
  EXPECT_EQ(option(s, SOL_SOCKET, SO_RCVBUF), 100'000);
  EXPECT_EQ(option(s, SOL_SOCKET, SO_MAX_PACING_RATE), 3'000'000);
  EXPECT_EQ(congestion(s), "reno");
  EXPECT_EQ(option(s, IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST_P(StreamFlowTest, WithoutAnyTheyAreTheSystems) {
  begin();
  const uint64_t s = connect();
  const UniqueFd plain = call(io::port_of(setup_.targets[0].address));
  const auto of_plain = [&](int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;
    getsockopt(plain.get(), level, name, &value, &len);
    return value;
  };
  EXPECT_EQ(option(s, SOL_IP, IP_TOS), 0);
  for (const auto& [level, name] :
       {std::pair{SOL_IP, IP_TTL}, {IPPROTO_TCP, TCP_MAXSEG}, {SOL_SOCKET, SO_MAX_PACING_RATE}})
    EXPECT_EQ(option(s, level, name), of_plain(level, name)) << name;
  EXPECT_EQ(option(s, IPPROTO_TCP, TCP_NODELAY), 1);
}

TEST_P(StreamFlowTest, ConnectionsOfIpv6HaveThemToo) {
  if (!io::has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  auto address = io::loopback(AF_INET6);
  listening_ = UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listening_.get(), &address.sa, sizeof address.v6), 0);
  ASSERT_EQ(listen(listening_.get(), 8), 0);
  setup_.targets.push_back({.address = *io::local_address(listening_.get())});
  puppet_.flow.congestion = "reno";
  begin();
  todd_op asked = op(TODD_OP_CONNECT);
  asked.tos = 10 << 2;
  asked.ttl = 9;
  const todd_done done = go(asked);
  ASSERT_EQ(done.result, 0);
  EXPECT_EQ(option(done.arg, SOL_IPV6, IPV6_TCLASS), 10 << 2);
  EXPECT_EQ(option(done.arg, SOL_IPV6, IPV6_UNICAST_HOPS), 9);
  EXPECT_EQ(congestion(done.arg), "reno");
}

TEST_P(StreamFlowTest, AcceptedConnectionsHaveTheFlowsOptions) {
  puppet_.flow.mss = 600;
  puppet_.flow.pacing = 2'000'000;
  puppet_.flow.congestion = "reno";
  begin();
  const uint16_t port = go(op(TODD_OP_LISTEN)).port;
  ASSERT_NE(port, 0);
  const UniqueFd peer = call(port);
  const todd_done accepted = next(TODD_OP_ACCEPT);
  EXPECT_EQ(accepted.port, io::port_of(*io::local_address(peer.get())));
  const int mss = option(accepted.arg, IPPROTO_TCP, TCP_MAXSEG);
  EXPECT_TRUE(mss == 600 || mss == 588) << mss;
  EXPECT_EQ(option(accepted.arg, SOL_SOCKET, SO_MAX_PACING_RATE), 2'000'000);
  EXPECT_EQ(congestion(accepted.arg), "reno");
}

TEST_P(StreamFlowTest, WhatThisHostDoesNotHaveIsRefusedBeforeAnythingIsSent) {
  puppet_.flow.congestion = "no_such";
  begin(false);
  EXPECT_NE(failed_.find("congestion control no_such"), std::string::npos) << failed_;
  puppet_.flow.congestion = nullptr;
  puppet_.flow.mss = 20;
  failed_.clear();
  begin(false);
  EXPECT_NE(failed_.find("MSS 20"), std::string::npos) << failed_;
}

TEST_P(StreamFlowTest, AGivenLocalPortIsUsedAndFreeAgainAtOnce) {
  {  // some port that no connection has
    const UniqueFd held(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in any{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
    ASSERT_EQ(::bind(held.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any), 0);
    puppet_.flow.local_port = io::port_of(*io::local_address(held.get()));
  }
  begin();
  for (int i = 0; i < 2; ++i) {
    const uint64_t s = connect();
    ASSERT_NE(s, 0u) << "port " << puppet_.flow.local_port;
    EXPECT_EQ(io::port_of(*io::local_address(instance_->stream_flow_of(s)->fd(s))), puppet_.flow.local_port);
    want(op(TODD_OP_CLOSE, s));
    settle();
  }
}

// ---- time

// Its queue of connections is full: a SYN that comes is not answered.
class StreamFlowFullTest : public StreamFlowTest {
 protected:
  void SetUp() override {
    StreamFlowTest::SetUp();
    if (!reactor_) return;
    listen_for_target(0);
    for (int i = 0; i < 4; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const io::Address& to = setup_.targets[0].address;
      ::connect(fd.get(), &to.sa, sizeof to.v4);
      fillers_.push_back(std::move(fd));
    }
  }
  std::vector<UniqueFd> fillers_;
};
TODD_ALL_ENGINES(StreamFlowFullTest);

TEST_P(StreamFlowFullTest, AConnectEndsWhenItsOwnTimeIsOver) {
  begin();
  todd_op asked = op(TODD_OP_CONNECT);
  asked.timeout_ns = 30 * kMs;
  const todd_done done = go(asked);
  EXPECT_EQ(done.result, -ETIMEDOUT);
  EXPECT_EQ(done.flags & TODD_DF_LOCAL, 0);
  EXPECT_EQ(done.arg, 0u) << "there is no stream";
  EXPECT_EQ(count(kLost), 0u) << "it was no probe";
}

TEST_P(StreamFlowFullTest, WithoutAnyItsTimeIsTheRunsAndAProbeIsLostOnce) {
  setup_.timeout_ns = 30 * kMs;
  begin();
  todd_op asked = op(TODD_OP_CONNECT);
  asked.flags = TODD_OF_PROBE;
  EXPECT_EQ(go(asked).result, -ETIMEDOUT);
  settle();
  EXPECT_EQ(count(kSent), 1u);
  EXPECT_EQ(count(kLost), 1u);
  EXPECT_EQ(count(kReceived) + count(kUndetermined) + count(kUnsent), 0u);
  EXPECT_TRUE(puppet_.done.empty());
}

TEST_P(StreamFlowFullTest, NothingIsToldOfAConnectThatWasCancelledButThat) {
  begin();
  want(op(TODD_OP_CONNECT));
  settle();
  instance_->stop(true);
  const todd_done done = next(TODD_OP_CONNECT);
  EXPECT_EQ(done.result, -ECANCELED);
  EXPECT_TRUE(puppet_.done.empty());
}

// The program was busy with something else for so long; the connection stands all the same.
TEST_P(StreamFlowTest, AConnectionThatStandsIsNotTimedOut) {
  begin();
  todd_op asked = op(TODD_OP_CONNECT);
  asked.timeout_ns = kS;
  want(asked);
  instance_->work(monotonic_ns());
  // The kernel connects; the reactor has not told yet.
  constexpr uint64_t kFirst = 1 << 24;
  StreamBase* const flow = instance_->stream_flow_of(kFirst);
  ASSERT_NE(flow, nullptr);
  const io::Address& to = setup_.targets[0].address;
  ::connect(flow->fd(kFirst), &to.sa, sizeof to.v4);
  const UniqueFd peer = accept_one();
  instance_->work(monotonic_ns() + 2 * kS);
  EXPECT_EQ(next(TODD_OP_CONNECT).result, 0);
  EXPECT_EQ(go(op(TODD_OP_SEND, kFirst), "hello").result, 5);
  EXPECT_TRUE(puppet_.done.empty()) << "told once";
}

TEST_P(StreamFlowTest, AHandshakeThatStallsEndsWhenItsTimeIsOver) {
  uint32_t context = 0;
  puppet_.prepare = [&](Puppet& p) { context = make_tls(p, TODD_TLF_INSECURE); };
  begin();
  const uint64_t s = connect();
  todd_op asked = op(TODD_OP_TLS, s);
  asked.arg = context;
  asked.timeout_ns = 30 * kMs;
  EXPECT_EQ(go(asked, "www.example").result, -ETIMEDOUT);
  EXPECT_NE(tls_error(s).find("took too long"), std::string::npos) << tls_error(s);
  // What then comes is not looked at, and what is sent goes nowhere.
  const UniqueFd peer = accept_one();
  ASSERT_EQ(::send(peer.get(), "late", 4, MSG_NOSIGNAL), 4);
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "secret").result, -EPIPE);
  EXPECT_TRUE(puppet_.done.empty());
  want(op(TODD_OP_CLOSE, s));
  settle();
  todd_tls_info info{};
  info.size = sizeof info;
  EXPECT_EQ(puppet_.tls->tls_info(puppet_.lane, s, &info), -ENOENT);
}

TEST_P(StreamFlowTest, WhoConnectsAndSaysNothingIsHungUpOnInTime) {
  uint32_t context = 0;
  puppet_.prepare = [&](Puppet& p) { context = make_tls(p, TODD_TLF_SERVER); };
  begin();
  todd_op asked = op(TODD_OP_LISTEN);
  asked.arg = context;
  const uint16_t port = go(asked).port;
  const UniqueFd peer = call(port);
  settle();
  EXPECT_FALSE(hung_up(peer));
  EXPECT_TRUE(rounds([&] { return hung_up(peer); }, 11 * kS));
  EXPECT_TRUE(puppet_.done.empty()) << "nobody was told of it";
}

// ---- limits

TEST_P(StreamFlowTest, NoMoreThanSoManyHandshakesOfThoseWhoConnect) {
  constexpr size_t kMost = 1024;
  uint32_t context = 0;
  puppet_.prepare = [&](Puppet& p) { context = make_tls(p, TODD_TLF_SERVER); };
  begin();
  todd_op asked = op(TODD_OP_LISTEN);
  asked.arg = context;
  const uint16_t port = go(asked).port;
  std::list<UniqueFd> peers;
  const auto hung = [&] { return std::count_if(peers.begin(), peers.end(), hung_up); };
  while (peers.size() < kMost + 3) {
    peers.push_back(call(port));
    if (peers.size() % 100 == 0) settle();
  }
  EXPECT_TRUE(rounds([&] { return hung() == 3; })) << hung();
  settle();
  EXPECT_EQ(hung(), 3);
  // Those who go away make room for others.
  peers.erase(peers.begin(), std::next(peers.begin(), 10));
  settle();
  settle();
  for (int i = 0; i < 10; ++i) peers.push_back(call(port));
  settle();
  settle();
  EXPECT_EQ(hung(), 3);
}

// A send that waits holds its slot; what is closed gives it back, once.
TEST_P(StreamFlowTest, SlotsComeBackFromWhatIsClosed) {
  puppet_.flow.slots = 64;
  puppet_.flow.send_buffer = 4'000;
  begin();
  const uint64_t s = connect();
  for (int i = 0; i < 80; ++i) want(op(TODD_OP_SEND, s), std::string(60'000, 'x'));
  EXPECT_TRUE(rounds([&] { return puppet_.free_slots == 0; })) << "nobody reads";
  EXPECT_FALSE(puppet_.wanted.empty());
  puppet_.wanted.clear();
  want(op(TODD_OP_CLOSE, s));
  EXPECT_TRUE(rounds([&] { return puppet_.free_slots == 64; }));
  size_t cancelled = 0;
  for (const todd_done& done : puppet_.done) cancelled += done.result == -ECANCELED ? 1 : 0;
  EXPECT_LE(cancelled, 64u);
  EXPECT_GT(cancelled, 0u);
  settle();
  settle();
  EXPECT_EQ(puppet_.free_slots, 64u);
}

// ---- numbers

TEST_P(StreamFlowTest, TheNumberOfAStreamThatIsGoneIsNobodys) {
  uint32_t context = 0;
  puppet_.prepare = [&](Puppet& p) { context = make_tls(p, TODD_TLF_INSECURE); };
  begin();
  const uint64_t old = connect();
  want(op(TODD_OP_CLOSE, old));
  settle();
  const uint64_t s = connect();
  EXPECT_NE(s, old);
  EXPECT_EQ(s & 0xffffff, old & 0xffffff) << "it has the place of the other";
  EXPECT_EQ(go(op(TODD_OP_SEND, old), "for nobody").result, -ENOTCONN);
  EXPECT_EQ(go(op(TODD_OP_RECV, old)).result, -ENOTCONN);
  EXPECT_EQ(go(op(TODD_OP_SHUTDOWN, old)).result, -ENOTCONN);
  todd_op asked = op(TODD_OP_TLS, old);
  asked.arg = context;
  EXPECT_EQ(go(asked).result, -ENOTCONN);
  todd_stream_info info{};
  info.size = sizeof info;
  EXPECT_EQ(puppet_.net->stream_info(puppet_.lane, old, &info), -ENOENT);
  EXPECT_EQ(puppet_.net->stream_info(puppet_.lane, s, &info), 0);
  want(op(TODD_OP_CLOSE, old));
  settle();
  EXPECT_EQ(puppet_.free_slots, 64u) << "what was to go nowhere holds no slot";
  const UniqueFd first = accept_one(), second = accept_one();
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "hello").result, 5);
  char text[16];
  EXPECT_EQ(recv(second.get(), text, sizeof text, 0), 5);
  EXPECT_EQ(recv(first.get(), text, sizeof text, MSG_DONTWAIT), 0) << "closed, with nothing on it";
}

TEST_P(StreamFlowTest, NumbersOfOtherFlowsAndOfNoneFindNothing) {
  begin();
  const uint64_t s = connect();
  for (const uint64_t none : {uint64_t{0}, s | uint64_t{1} << 48, s | uint64_t{0xffff} << 48, s + 1,
                              s ^ uint64_t{1} << 24, UINT64_MAX})
    EXPECT_EQ(go(op(TODD_OP_RECV, none)).result, -ENOTCONN) << none;
}

TEST_P(StreamFlowTest, TlsIsByAContextOfClients) {
  uint32_t server = 0, client = 0;
  puppet_.prepare = [&](Puppet& p) {
    server = make_tls(p, TODD_TLF_SERVER);
    client = make_tls(p, TODD_TLF_INSECURE);
  };
  begin();
  const uint64_t s = connect();
  todd_op asked = op(TODD_OP_TLS, s);
  for (const uint32_t context : {0u, server, client + 1}) {
    asked.arg = context;
    EXPECT_EQ(go(asked, "name").result, -EINVAL) << context;
  }
  settle();
  EXPECT_EQ(puppet_.free_slots, 64u);
}

// A proxy is asked in the clear for a way, and what goes that way is TLS.
TEST_P(StreamFlowTest, AStreamThatHasSpokenBecomesTls) {
  uint32_t context = 0;
  puppet_.prepare = [&](Puppet& p) { context = make_tls(p, TODD_TLF_INSECURE); };
  begin();
  const uint64_t s = connect();
  const UniqueFd peer = accept_one();
  want(op(TODD_OP_RECV, s));
  EXPECT_EQ(go(op(TODD_OP_SEND, s), "connect").result, 7);
  char text[4096];
  EXPECT_EQ(recv(peer.get(), text, sizeof text, 0), 7);
  ASSERT_EQ(::send(peer.get(), "go", 2, MSG_NOSIGNAL), 2);
  EXPECT_EQ(next(TODD_OP_RECV).result, 2);
  EXPECT_EQ(puppet_.received, "go");
  todd_op asked = op(TODD_OP_TLS, s);
  asked.arg = context;
  want(asked, "www.example");
  settle();
  EXPECT_GT(recv(peer.get(), text, sizeof text, 0), 100) << "a ClientHello";
  EXPECT_EQ(std::string(text, 2), "\x16\x03");
  // A fatal alert, which is the handshake's and not the testlet's.
  ASSERT_EQ(::send(peer.get(), "\x15\x03\x03\x00\x02\x02\x28", 7, MSG_NOSIGNAL), 7);
  EXPECT_EQ(next(TODD_OP_TLS).result, -EPROTO);
  EXPECT_NE(tls_error(s).find("handshake failure"), std::string::npos) << tls_error(s);
  want(op(TODD_OP_CLOSE, s));
  settle();
  EXPECT_TRUE(puppet_.done.empty());
  EXPECT_EQ(puppet_.received, "go");
}

TEST_P(StreamFlowTest, WhatIsStillOnItsWayIsNotForTls) {
  uint32_t context = 0;
  puppet_.prepare = [&](Puppet& p) { context = make_tls(p, TODD_TLF_INSECURE); };
  begin();
  const uint64_t s = connect();
  todd_op asked = op(TODD_OP_TLS, s);
  asked.arg = context;
  want(op(TODD_OP_SEND, s), "connect");
  EXPECT_EQ(go(asked, "name").result, -EINVAL);
  EXPECT_EQ(next(TODD_OP_SEND).result, 7);
}

}  // namespace
}  // namespace todd::lane
