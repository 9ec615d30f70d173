// A flow of streams in an instance on a real reactor, over loopback: what its sockets are given, how long it
// waits, which numbers it knows.
#include "engine/lane/stream_flow.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <list>
#include <set>

#include "engine/io/sockets.h"
#include "tests/unit/engine/io/reactor_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::engine_text;
using io::EngineChoice;
using io::kOldestUring;

constexpr int64_t kMs = 1'000'000, kS = 1'000 * kMs;

// A testlet that does what the test says and remembers what came of it.
struct Puppet {
  struct Wanted {
    todd_op op;
    std::string payload;
  };
  todd_flow flow{};
  std::function<void(Puppet&)> prepare = [](Puppet&) {};  // in start()
  const todd_lane* lane = nullptr;
  const todd_net* net = nullptr;
  const todd_stream* tls = nullptr;
  std::deque<Wanted> wanted;
  std::vector<todd_done> done;
  std::string received;
  uint32_t free_slots = 0;

  static Puppet& of(void* self) { return *static_cast<Puppet*>(self); }
  static todd_status start(void* self, const todd_lane* lane, todd_error* error) {
    Puppet& p = of(self);
    p.lane = lane;
    p.net = static_cast<const todd_net*>(lane->host->query(lane->host, TODD_NET_1));
    p.tls = static_cast<const todd_stream*>(lane->host->query(lane->host, TODD_STREAM_1));
    p.flow.size = sizeof p.flow;
    p.flow.proto = TODD_TCP;
    p.flow.slot_cap = 64 * 1024;
    uint32_t index = 0;
    const todd_status status = p.net->open(lane, &p.flow, &index, error);
    if (status < 0) return status;
    p.prepare(p);
    p.net->ready(lane);
    return 0;
  }
  static todd_status step(void* self, todd_batch* b) {
    Puppet& p = of(self);
    todd_slots& slots = *b->slots[0];
    p.free_slots = slots.n_free;
    for (uint32_t i = 0; i < b->n_done; ++i) {
      p.done.push_back(b->done[i]);
      if (b->done[i].code != TODD_OP_RECV || b->done[i].len == 0) continue;
      p.received.append(reinterpret_cast<const char*>(todd_payload(b, &b->done[i])), b->done[i].len);
    }
    for (; b->state != TODD_CANCELLED && !p.wanted.empty() && b->n_op < b->cap_op; p.wanted.pop_front()) {
      auto& [op, payload] = p.wanted.front();
      if (!payload.empty()) {
        if (slots.taken == slots.n_free) break;
        op.slot = slots.free[slots.taken++];
        op.len = static_cast<uint32_t>(payload.size());
        memcpy(slots.base + size_t{op.slot} * slots.stride, payload.data(), payload.size());
      }
      b->op[b->n_op++] = op;
    }
    b->wake_ns = b->now_ns + kMs;
    return 0;
  }
};

class StreamFlowTest : public io::ReactorTest {
 protected:
  // One target, unless the test has added others: a socket that listens and does nothing more.
  void begin(bool good = true) {
    testlet_.size = sizeof testlet_;
    testlet_.start = Puppet::start;
    testlet_.step = Puppet::step;
    setup_.testlet = &testlet_;
    setup_.instance = &puppet_;
    setup_.manifest.probes = true;
    const auto counted = manifest::host_metrics(setup_.manifest);
    setup_.manifest.metrics.assign(counted.begin(), counted.end());
    setup_.run.size = sizeof setup_.run;
    setup_.run.role = TODD_SOURCE;
    if (setup_.timeout_ns == 0) setup_.timeout_ns = 10 * kS;
    setup_.specs = std::make_shared<std::vector<schedule::TargetSpec>>(1);
    if (setup_.targets.empty()) listen_for_target(8);
    const auto n = static_cast<uint32_t>(setup_.targets.size());
    setup_.run.n_target = n;
    setup_.samples = -1;
    std::vector<stats::Kind> kinds;
    for (const auto& metric : setup_.manifest.metrics) kinds.push_back(metric.kind);
    setup_.layout = std::make_unique<stats::CellLayout>(kinds, n, 64u);
    memory_.assign(setup_.layout->bytes() / 8 + 1, 0);
    setup_.cells = reinterpret_cast<uint8_t*>(memory_.data());
    events_.ready = [](const std::string&, uint16_t) {};
    events_.failed = [this](const std::string&, const std::string& reason, const std::string& why) {
      failed_ = reason + ": " + why;
    };
    events_.closed = [](const std::string&, const Closed&) {};
    events_.resolve = [this](const std::string&, uint64_t token, const std::string& name) {
      asked_.emplace_back(token, name);
    };
    host_.query = query_interface;
    instance_ = std::make_unique<Instance>(setup_, *reactor_, events_, host_);
    instance_->begin();
    ASSERT_EQ(failed_.empty(), good) << failed_;
    instance_->start_at(wall_ns() - kMs);
  }
  void TearDown() override {
    instance_.reset();
    ReactorTest::TearDown();
  }
  void listen_for_target(int backlog) {
    auto address = io::loopback(AF_INET);
    listening_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listening_.get(), &address.sa, sizeof address.v4), 0);
    ASSERT_EQ(listen(listening_.get(), backlog), 0);
    setup_.targets.push_back({.address = *io::local_address(listening_.get())});
  }
  // The lane's rounds, later_ns after what is now, until that is so; false: it is not within ten seconds.
  bool rounds(const std::function<bool()>& so, int64_t later_ns = 0) {
    const int64_t end = monotonic_ns() + 10 * kS;
    for (;;) {
      instance_->work(monotonic_ns() + later_ns);
      if (so()) return true;
      if (monotonic_ns() >= end) return false;
      reactor_->turn(monotonic_ns() + kMs);
    }
  }
  static todd_op op(int code, uint64_t stream = 0) {
    todd_op made{};
    made.code = static_cast<uint16_t>(code);
    made.slot = TODD_NONE;
    made.key = stream;
    made.user = static_cast<uint64_t>(code);
    return made;
  }
  void want(const todd_op& what, const std::string& payload = "") {
    puppet_.wanted.push_back({what, payload});
  }
  // The operation, and the next completion of its code.
  todd_done go(const todd_op& what, const std::string& payload = "") {
    want(what, payload);
    return next(what.code);
  }
  todd_done next(int code, int64_t later_ns = 0) {
    todd_done found{};
    found.result = INT32_MIN;
    const auto there = [&] {
      for (size_t i = 0; i < puppet_.done.size(); ++i) {
        if (puppet_.done[i].code != code) continue;
        found = puppet_.done[i];
        puppet_.done.erase(puppet_.done.begin() + static_cast<ptrdiff_t>(i));
        return true;
      }
      return false;
    };
    EXPECT_TRUE(rounds(there, later_ns)) << "no completion of " << code;
    return found;
  }
  // Of an established connection to the target.
  uint64_t connect() {
    const todd_done done = go(op(TODD_OP_CONNECT));
    EXPECT_EQ(done.result, 0);
    return done.arg;
  }
  // What the testlet has asked for was done and told.
  void settle() {
    want(op(TODD_OP_TIMER));
    next(TODD_OP_TIMER);
  }
  int option(uint64_t stream, int level, int name) {
    StreamFlow* const flow = instance_->stream_flow_of(stream);
    int value = -1;
    socklen_t len = sizeof value;
    EXPECT_TRUE(flow != nullptr && getsockopt(flow->fd(stream), level, name, &value, &len) == 0);
    return value;
  }
  std::string congestion(uint64_t stream) {
    char text[16] = "";
    socklen_t len = sizeof text;
    getsockopt(instance_->stream_flow_of(stream)->fd(stream), IPPROTO_TCP, TCP_CONGESTION, text, &len);
    return text;
  }
  uint64_t count(HostMetric metric) {
    stats::CellReader reader(*setup_.layout, setup_.cells);
    uint64_t n = 0;
    for (const uint32_t bank : {0u, 1u})
      for (const auto& [index, value] : reader.bank_row(bank, 0))
        if (index == metric) n += value.counter;
    return n;
  }
  UniqueFd accept_one() {
    const timeval limit{5, 0};  // of accept() too
    setsockopt(listening_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    UniqueFd fd(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(fd);
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  // A connection of somebody else's to a port of ours.
  static UniqueFd call(uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto to = io::loopback(AF_INET, port);
    EXPECT_EQ(::connect(fd.get(), &to.sa, sizeof to.v4), 0);
    return fd;
  }
  static bool hung_up(const UniqueFd& fd) {
    char byte;
    const ssize_t got = recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return got == 0 || (got < 0 && errno != EAGAIN);
  }
  static uint32_t make_tls(Puppet& p, uint32_t flags) {
    todd_tls wanted{};
    wanted.size = sizeof wanted;
    wanted.flags = flags;
    uint32_t context = 0;
    EXPECT_EQ(p.tls->tls(p.lane, &wanted, &context, nullptr), 0);
    return context;
  }
  std::string tls_error(uint64_t stream) {
    todd_tls_info info{};
    info.size = sizeof info;
    EXPECT_EQ(puppet_.tls->tls_info(puppet_.lane, stream, &info), 0);
    return info.error != nullptr ? info.error : "";
  }

  Puppet puppet_;
  todd_testlet testlet_{};
  todd_host host_{};
  TaskSetup setup_;
  std::vector<uint64_t> memory_;
  InstanceEvents events_;
  std::string failed_;
  std::vector<std::pair<uint64_t, std::string>> asked_;  // RESOLVEs: token and name
  UniqueFd listening_;
  std::unique_ptr<Instance> instance_;
};
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
  const UniqueFd held = io::udp_socket();  // some port that nothing listens on
  puppet_.flow.local_port = io::port_of(*io::local_address(held.get()));
  begin();
  for (int i = 0; i < 2; ++i) {
    const uint64_t s = connect();
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
  StreamFlow* const flow = instance_->stream_flow_of(kFirst);
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

TEST_P(StreamFlowTest, TlsIsOfAConnectedStreamThatHasNotSpoken) {
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
  want(op(TODD_OP_RECV, s));
  asked.arg = client;
  EXPECT_EQ(go(asked, "name").result, -EINVAL) << "it receives already";
  settle();
  EXPECT_EQ(puppet_.free_slots, 64u);
}

// ---- targets found on the way

class StreamFlowTargetsTest : public StreamFlowTest {
 protected:
  todd_status add(const std::string& host, uint32_t& index, uint32_t from = 0, uint16_t port = 80) {
    return puppet_.tls->add_target(puppet_.lane, from, host.c_str(), port, &index);
  }
  void drop(uint32_t index) { puppet_.tls->drop_target(puppet_.lane, index); }
  todd_done go_to(int code, uint32_t target) {
    todd_op asked = op(code);
    asked.target = target;
    return go(asked);
  }
};
TODD_ALL_ENGINES(StreamFlowTargetsTest);

TEST_P(StreamFlowTargetsTest, AFurtherTargetIsConnectedToOnceItIsResolved) {
  begin();
  uint32_t target = 0;
  ASSERT_EQ(add("127.0.0.1", target, 0, io::port_of(setup_.targets[0].address)), 0);
  EXPECT_EQ(target, 1u);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, target).result, -EINVAL) << "not resolved yet";
  EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, 0);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, target).result, 0);
  drop(target);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, target).result, -EINVAL) << "dropped";
  EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, -EINVAL);
  drop(target);
  drop(0);  // the run's own stay
  drop(77);
  EXPECT_EQ(go_to(TODD_OP_CONNECT, 0).result, 0);
}

TEST_P(StreamFlowTargetsTest, OneThatIsDroppedIsToldThatItsResolvingIsOff) {
  begin();
  uint32_t dropped = 0, other = 0;
  ASSERT_EQ(add("gone.example", dropped), 0);
  todd_op asked = op(TODD_OP_RESOLVE);
  asked.target = dropped;
  want(asked);
  EXPECT_TRUE(rounds([&] { return asked_.size() == 1; }));
  EXPECT_EQ(asked_[0].second, "gone.example");
  drop(dropped);
  EXPECT_EQ(next(TODD_OP_RESOLVE).result, -ECANCELED);
  // Its number may come again; what was asked for the other is not that one's.
  ASSERT_EQ(add("new.example", other), 0);
  EXPECT_EQ(other, dropped);
  instance_->resolved(asked_[0].first, {"127.0.0.1"}, 0);
  settle();
  EXPECT_TRUE(puppet_.done.empty());
  EXPECT_EQ(go_to(TODD_OP_CONNECT, other).result, -EINVAL) << "not resolved";
}

TEST_P(StreamFlowTargetsTest, NoneIsNearerToThisHostThanWhereItWasFound) {
  setup_.targets.push_back({.address = *io::parse_address("192.0.2.1", 80)});
  setup_.targets.push_back({.address = *io::parse_address("169.254.1.1", 80)});
  listen_for_target(8);          // 2: loopback
  setup_.targets.push_back({});  // 3: no address yet
  begin();
  struct Case {
    uint32_t from;
    const char* host;
    int result;
  };
  for (const Case& c : {Case{0, "127.0.0.1", -EACCES},
                        {0, "::1", -EACCES},
                        {0, "169.254.169.254", -EACCES},
                        {0, "::ffff:127.0.0.1", -EACCES},
                        {0, "fe80::1", -EACCES},
                        {0, "198.51.100.1", 0},
                        {0, "10.0.0.1", 0},
                        {1, "127.0.0.1", -EACCES},
                        {1, "169.254.7.7", 0},
                        {2, "127.0.0.9", 0},
                        {2, "0.0.0.0", -EACCES},
                        {2, "224.0.0.1", -EACCES}}) {
    uint32_t target = 0;
    ASSERT_EQ(add(c.host, target, c.from), 0);
    EXPECT_EQ(go_to(TODD_OP_RESOLVE, target).result, c.result) << c.from << ' ' << c.host;
    drop(target);
  }
  uint32_t target = 0;
  EXPECT_EQ(add("198.51.100.1", target, 3), -EINVAL);
  EXPECT_EQ(add("", target), -EINVAL);
  EXPECT_EQ(add("198.51.100.1", target, 99), -EINVAL);
}

TEST_P(StreamFlowTargetsTest, ThereIsRoomForSoManyAndForOthersWhenSomeAreDropped) {
  begin();
  std::vector<uint32_t> all(4096);
  for (uint32_t& target : all) ASSERT_EQ(add("a.example", target), 0);
  EXPECT_EQ(std::set<uint32_t>(all.begin(), all.end()).size(), all.size());
  uint32_t target = 0;
  EXPECT_EQ(add("a.example", target), -ENOBUFS);
  std::set<uint32_t> dropped{all[7], all[0], all[4095], all[1000]};
  for (const uint32_t one : dropped) drop(one), drop(one);  // the second time it is nobody's
  std::set<uint32_t> again;
  for (size_t i = 0; i < dropped.size(); ++i) {
    ASSERT_EQ(add("b.example", target), 0);
    again.insert(target);
  }
  EXPECT_EQ(again, dropped);
  EXPECT_EQ(add("b.example", target), -ENOBUFS);
}

}  // namespace
}  // namespace todd::lane
