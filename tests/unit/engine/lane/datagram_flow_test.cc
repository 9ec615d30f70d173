// Exchanges through a whole instance over a socket whose every answer the test writes: what is counted as
// what.
#include "engine/lane/datagram_flow.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cmath>
#include <map>
#include <set>

#include "engine/io/sockets.h"
#include "tests/unit/engine/lane/fake_reactor.h"

namespace todd::lane {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr uint32_t kBytes = 32, kStampOff = 8;

// A testlet that answers each ticket with an exchange over UDP and keeps what came of them.
struct Prober {
  const todd_lane* lane = nullptr;
  uint32_t flow = 0;
  bool again = false;  // begin another probe for each that ends
  bool plain = false;  // datagrams without replies instead
  std::vector<todd_done> done;
  std::vector<uint32_t> heard;  // what plain datagrams begin with
  bool judges = false;          // replies that begin with another byte than 0 are none
  std::string judged;           // what replies began with
  todd_status opened = 0;

  static Prober& of(void* self) { return *static_cast<Prober*>(self); }
  static todd_status start(void* self, const todd_lane* lane, todd_error* error) {
    Prober& p = of(self);
    p.lane = lane;
    todd_flow flow{};
    flow.size = sizeof flow;
    flow.proto = TODD_UDP;
    flow.flags = p.plain ? TODD_FF_RECV : p.judges ? TODD_FF_JUDGE : 0;
    flow.stamp_off = kStampOff;
    flow.slot_cap = kBytes;
    const auto* net = static_cast<const todd_net*>(lane->host->query(lane->host, TODD_NET_1));
    p.opened = net->open(lane, &flow, &p.flow, error);
    net->ready(lane);
    return p.opened;
  }
  static void probe(Prober& p, todd_batch& b, uint32_t target, int64_t due_ns) {
    todd_slots& slots = *b.slots[p.flow];
    if (b.n_op == b.cap_op || slots.taken == slots.n_free) return;
    todd_op op{};
    op.code = p.plain ? TODD_OP_SEND : TODD_OP_EXCHANGE;
    op.flow = p.flow;
    op.target = target;
    op.slot = slots.free[slots.taken++];
    op.len = kBytes;
    op.at_ns = due_ns;
    memset(slots.base + size_t{op.slot} * slots.stride, 0, kBytes);
    b.op[b.n_op++] = op;
  }
  static todd_status step(void* self, todd_batch* b) {
    Prober& p = of(self);
    for (uint32_t i = 0; i < b->n_done; ++i) {
      p.done.push_back(b->done[i]);
      if (b->done[i].code == TODD_OP_RECV)
        memcpy(&p.heard.emplace_back(), todd_payload(b, &b->done[i]), sizeof(uint32_t));
      if (p.again && b->state == TODD_RUNNING) probe(p, *b, b->done[i].target, b->now_ns);
    }
    for (; b->served < b->n_ticket; ++b->served)
      probe(p, *b, b->ticket[b->served].target, b->ticket[b->served].due_ns);
    return 0;
  }
};

int32_t judge(void* self, uint64_t user, uint32_t target, const uint8_t* bytes, size_t len) {
  EXPECT_EQ(user, 0u);
  EXPECT_EQ(target, 0u);
  EXPECT_EQ(len, kBytes);
  Prober::of(self).judged += static_cast<char>(*bytes);
  return *bytes == 0;
}

class DatagramFlowTest : public testing::Test {
 protected:
  void begin(const std::vector<std::string>& targets, uint64_t count, int64_t timeout_ns = 100 * kMs) {
    testlet_.size = sizeof testlet_;
    testlet_.start = Prober::start;
    testlet_.step = Prober::step;
    setup_.testlet = &testlet_;
    setup_.instance = &prober_;
    setup_.manifest.probes = true;
    setup_.manifest.schedule.tickets = true;
    setup_.timeout_ns = timeout_ns;
    for (const auto& text : targets) {
      Target target{.address = *io::parse_address(text, 7),
                    .spec = 0,
                    .offset = 0,
                    .edge = static_cast<uint32_t>(setup_.targets.size())};
      setup_.targets.push_back(target);
    }
    const auto n = static_cast<uint32_t>(targets.size());
    setup_.plan = {
        .targets = n, .count = count, .interval_ns = interval_ns_, .rate = interval_ns_ == 0 ? HUGE_VAL : 0};
    setup_.run.role = TODD_SOURCE;
    setup_.run.n_target = n;
    setup_.samples = -1;
    std::vector<stats::Kind> kinds(kHostMetrics, stats::Kind::counter);
    kinds[kLossRatio] = stats::Kind::ratio;
    setup_.layout = std::make_unique<stats::CellLayout>(kinds, n, 1024);
    memory_.assign(setup_.layout->bytes() / 8 + 1, 0);
    setup_.cells = reinterpret_cast<uint8_t*>(memory_.data());
    events_.ready = [](const std::string&, uint16_t) {};
    const auto unexpected = [](const std::string&, const std::string&, const std::string& why) {
      ADD_FAILURE() << why;
    };
    if (!events_.failed) events_.failed = unexpected;
    events_.closed = [](const std::string&, const Closed&) {};
    host_.query = query_interface;
    instance_ = std::make_unique<Instance>(setup_, reactor_, events_, host_);
    instance_->begin();
    instance_->start_at(wall_ns() - kMs);
    work();
  }
  // The lane's round, at a time of our choosing from now.
  void work(int64_t later_ns = 0) { instance_->work(monotonic_ns() + later_ns); }
  FakeSocket& socket() { return *reactor_.socket; }
  // The kernel has sent everything.
  void sent() {
    auto now = std::exchange(socket().sent, {});
    for (const auto& one : now) {
      socket().sink->on_sent(one.cookie, 0, monotonic_ns());
      all_.push_back(one);
    }
  }
  void reply(size_t i, int64_t later_ns = 0) {
    socket().reply(all_[i].bytes, all_[i].to, wall_ns() + later_ns);
  }
  uint64_t count(HostMetric metric, uint32_t edge = 0) {
    stats::CellReader reader(*setup_.layout, setup_.cells);
    uint64_t n = 0;
    for (const uint32_t bank : {0u, 1u})
      for (const auto& [index, value] : reader.bank_row(bank, edge))
        if (index == metric) n += value.counter;
    return n;
  }

  // Different ones, "outcome: text".
  std::set<std::string> notes() {
    std::set<std::string> all;
    for (const auto& note : stats::CellReader(*setup_.layout, setup_.cells).notes(0, true))
      all.insert(std::string(note.outcome) + ": " + note.text);
    return all;
  }

  int64_t interval_ns_ = 0;  // as fast as it goes
  Prober prober_;
  todd_testlet testlet_{};
  todd_host host_{};
  TaskSetup setup_;
  std::vector<uint64_t> memory_;
  FakeReactor reactor_;
  InstanceEvents events_;
  std::unique_ptr<Instance> instance_;
  std::vector<FakeSocket::Sent> all_;
};

TEST_F(DatagramFlowTest, AReplyIsReceivedAndItsCopyADuplicate) {
  begin({"192.0.2.1", "192.0.2.2"}, 1);
  sent();
  ASSERT_EQ(all_.size(), 2u);
  reply(0);
  reply(0);
  work();
  const uint32_t edge = io::format_address(all_[0].to) == "192.0.2.1" ? 0 : 1;
  EXPECT_EQ(count(kReceived, edge), 1u);
  EXPECT_EQ(count(kDuplicate, edge), 1u);
  EXPECT_EQ(count(kReceived, 1 - edge), 0u);
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].result, static_cast<int32_t>(kBytes));
  const auto due_ns = static_cast<int64_t>(prober_.done[0].arg);
  EXPECT_GT(due_ns, 0) << "when it should have left";
  EXPECT_LE(due_ns, prober_.done[0].tx_ns);
}

// 20 and 8 bytes of headers, or 40 and 8, and no others; what comes counts as often as it comes.
TEST_F(DatagramFlowTest, TheBytesOfProbesAndRepliesAreThoseOfTheirPackets) {
  begin({"192.0.2.1"}, 2, 100 * kMs);
  EXPECT_EQ(count(kSentBytes), 0u) << "nothing has left";
  sent();
  ASSERT_EQ(all_.size(), 2u);
  EXPECT_EQ(count(kSentBytes), 2u * (kBytes + 28));
  auto forged = all_[0].bytes;
  forged[kStampOff + 5] ^= 1;
  socket().reply(forged, all_[0].to, wall_ns());
  EXPECT_EQ(count(kReceivedBytes), 0u);
  reply(0);
  EXPECT_EQ(count(kReceivedBytes), kBytes + 28u);
  socket().reply(all_[0].bytes + "longer", all_[0].to, wall_ns());
  ASSERT_EQ(count(kDuplicate), 1u);
  EXPECT_EQ(count(kReceivedBytes), 2u * (kBytes + 28) + 6);
  work(200 * kMs);
  ASSERT_EQ(count(kLost), 1u);
  EXPECT_EQ(count(kReceivedBytes), 2u * (kBytes + 28) + 6);
  reply(1, 200 * kMs);
  ASSERT_EQ(count(kLate), 1u);
  EXPECT_EQ(count(kReceivedBytes), 3u * (kBytes + 28) + 6);
  reply(1, 200 * kMs);  // counted nowhere
  EXPECT_EQ(count(kReceivedBytes), 3u * (kBytes + 28) + 6);
  EXPECT_EQ(count(kSentBytes), 2u * (kBytes + 28));
}

TEST_F(DatagramFlowTest, ThoseOfIpv6HaveALargerHeader) {
  if (UniqueFd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)).get() < 0) GTEST_SKIP() << "no IPv6 here";
  begin({"2001:db8::1"}, 1);
  sent();
  ASSERT_EQ(all_.size(), 1u);
  reply(0);
  EXPECT_EQ(count(kSentBytes), kBytes + 48u);
  EXPECT_EQ(count(kReceivedBytes), kBytes + 48u);
}

TEST_F(DatagramFlowTest, ForgedStrangeAndCutRepliesChangeNothing) {
  begin({"192.0.2.1"}, 1);
  sent();
  auto forged = all_[0].bytes;
  forged[kStampOff + 5] ^= 1;  // the keyed part of the cookie
  socket().reply(forged, all_[0].to, wall_ns());
  socket().reply(all_[0].bytes, *io::parse_address("192.0.2.9", 7), wall_ns());
  socket().reply(all_[0].bytes.substr(0, kStampOff + 7), all_[0].to, wall_ns());
  work();
  EXPECT_EQ(count(kReceived), 0u);
  EXPECT_TRUE(prober_.done.empty());
  reply(0);
  EXPECT_EQ(count(kReceived), 1u);
}

TEST_F(DatagramFlowTest, SilenceIsLossAndAReplyAfterItIsLateOnce) {
  begin({"192.0.2.1"}, 1);
  sent();
  work(200 * kMs);
  EXPECT_EQ(count(kLost), 1u);
  EXPECT_EQ(count(kLate), 0u);
  reply(0, 200 * kMs);
  reply(0, 200 * kMs);
  EXPECT_EQ(count(kLost), 1u);
  EXPECT_EQ(count(kLate), 1u) << "late is a part of lost";
  EXPECT_EQ(count(kReceived), 0u);
}

// The kernel's stamp decides, not when the reply reaches us.
TEST_F(DatagramFlowTest, AReplyStampedAfterItsTimeIsLostAndLate) {
  begin({"192.0.2.1"}, 1);
  sent();
  reply(0, 150 * kMs);
  work();
  EXPECT_EQ(count(kLost), 1u);
  EXPECT_EQ(count(kLate), 1u);
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].result, -ETIMEDOUT);
}

// The tail of a burst: no datagram follows that could tell of the drop, so the kernel has to be asked.
TEST_F(DatagramFlowTest, SilenceWhileThisHostDropsIsUndetermined) {
  begin({"192.0.2.1"}, 1);
  sent();
  socket().unseen_drops = 1;
  work(200 * kMs);
  EXPECT_EQ(count(kLost), 0u);
  EXPECT_EQ(count(kUndetermined), 1u);
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].result, -ETIMEDOUT);
  EXPECT_EQ(prober_.done[0].flags, TODD_DF_LOCAL) << "the testlet must not call it loss either";
  reply(0, 200 * kMs);
  EXPECT_EQ(count(kLate), 0u) << "what is undetermined is not lost, so not late either";
}

// It waited for the socket until the counting began. What became of it then would be of a probe that nobody
// had planned: more received than sent.
TEST_F(DatagramFlowTest, AProbeOfTheWarmUpThatLeavesLateIsCutOff) {
  interval_ns_ = 1000 * kMs;
  setup_.warm_up_ns = 50 * kMs;
  begin({"192.0.2.1"}, 1);
  ASSERT_EQ(socket().sent.size(), 1u);
  work(1000 * kMs);
  ASSERT_EQ(socket().sent.size(), 2u) << "the one that counts";
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].result, -ECANCELED);
  sent();
  reply(0);
  reply(1);
  work(1000 * kMs);
  EXPECT_EQ(count(kPlanned), 1u);
  EXPECT_EQ(count(kSent), 1u);
  EXPECT_EQ(count(kReceived), 1u);
  EXPECT_EQ(count(kUndetermined) + count(kUnsent), 0u);
  EXPECT_EQ(prober_.done.size(), 2u);
}

// A forger who sees the probes knows their keys; the testlet may know better than to believe him.
TEST_F(DatagramFlowTest, WhatTheTestletCallsNoReplyChangesNothing) {
  testlet_.judge = judge;
  prober_.judges = true;
  begin({"192.0.2.1"}, 2);
  sent();
  ASSERT_EQ(all_.size(), 2u);
  const auto forge = [&](char first, int64_t later_ns = 0) {
    auto bytes = all_[0].bytes;
    bytes[0] = first;
    socket().reply(bytes, all_[0].to, wall_ns() + later_ns);
  };
  forge('a');
  forge('b');
  work();
  EXPECT_EQ(count(kReceived) + count(kReceivedBytes), 0u);
  EXPECT_TRUE(prober_.done.empty());
  reply(0);
  EXPECT_EQ(count(kReceived), 1u) << "the true one comes behind the forgeries";
  EXPECT_EQ(count(kReceivedBytes), kBytes + 28u);
  forge('c');
  EXPECT_EQ(count(kDuplicate), 0u);
  reply(0);
  EXPECT_EQ(count(kDuplicate), 1u);
  auto bytes = all_[0].bytes;
  bytes[kStampOff + 5] ^= 1;
  socket().reply(bytes, all_[0].to, wall_ns());  // matches nothing, so nobody is asked
  work(200 * kMs);
  EXPECT_EQ(count(kLost), 1u) << "the other one";
  EXPECT_EQ(prober_.judged, std::string("ab\0c\0", 5));
  std::swap(all_[0], all_[1]);
  forge('d', 200 * kMs);
  EXPECT_EQ(count(kLate), 0u);
  reply(0, 200 * kMs);
  EXPECT_EQ(count(kLate), 1u);
  forge('e', 200 * kMs);
  EXPECT_EQ(prober_.judged, std::string("ab\0c\0d\0e", 8)) << "each is told to the testlet";
}

TEST_F(DatagramFlowTest, WhoCannotJudgeGetsNoFlowToBeJudged) {
  prober_.judges = true;
  std::string said;
  events_.failed = [&](const std::string&, const std::string&, const std::string& why) { said = why; };
  begin({"192.0.2.1"}, 1);
  EXPECT_EQ(prober_.opened, -EINVAL);
  EXPECT_NE(said.find("a testlet that can judge"), std::string::npos) << said;
}

// More datagrams come than a batch takes completions.
TEST_F(DatagramFlowTest, EveryDatagramKeepsItsBytes) {
  constexpr uint32_t kDatagrams = 1000;
  prober_.plain = true;
  begin({"192.0.2.1"}, 1);
  sent();
  ASSERT_EQ(all_.size(), 1u);
  for (uint32_t i = 0; i < kDatagrams; ++i) {
    std::string bytes(kBytes, '\0');
    memcpy(bytes.data(), &i, sizeof i);
    socket().reply(bytes, all_[0].to, wall_ns());
  }
  work();
  ASSERT_EQ(prober_.heard.size(), kDatagrams);
  for (uint32_t i = 0; i < kDatagrams; ++i) ASSERT_EQ(prober_.heard[i], i);
}

TEST_F(DatagramFlowTest, WhatDidNotLeaveIsUnsentNotLost) {
  begin({"192.0.2.1"}, 1);
  ASSERT_EQ(socket().sent.size(), 1u);
  socket().sink->on_sent(socket().sent[0].cookie, -ENETUNREACH, monotonic_ns());
  work(200 * kMs);
  EXPECT_EQ(count(kPlanned), 1u);
  EXPECT_EQ(count(kUnsent), 1u);
  EXPECT_EQ(count(kSent), 0u);
  EXPECT_EQ(count(kSentBytes), 0u);
  EXPECT_EQ(count(kLost), 0u);
}

// Nobody answers, and more probes are due within the timeout than may be under way: what finds no place is
// left out, and the examples say why. Nothing of it is lost.
TEST_F(DatagramFlowTest, WhatFindsTheTableFullIsUnsentWithTheReason) {
  constexpr uint64_t kTable = ExchangeTable::kMax, kProbes = kTable + 5000;
  constexpr int64_t kTimeoutNs = 200'000 * kMs;
  interval_ns_ = kMs;
  begin({"192.0.2.1"}, kProbes, kTimeoutNs);
  const auto turn = [&](int64_t later_ns) {
    work(later_ns);
    sent();
  };
  for (uint64_t ms = 1; ms < kProbes; ms += 10) turn(static_cast<int64_t>(ms) * kMs);
  EXPECT_EQ(count(kSent), kTable);
  for (int i = 0; i < 400; ++i) turn(2 * kTimeoutNs);
  EXPECT_EQ(count(kPlanned), kProbes);
  EXPECT_EQ(count(kSent), kTable);
  EXPECT_EQ(count(kUnsent), kProbes - kTable);
  EXPECT_EQ(count(kLost), kTable) << "those that left";
  EXPECT_EQ(notes(), (std::set<std::string>{
                         "unsent: a probe waited for its answer, and only 65536 may leave meanwhile: a lower "
                         "rate or a shorter timeout leaves none out"}));
}

TEST_F(DatagramFlowTest, WhatTheSocketKeepsFromLeavingIsUnsentWithTheReason) {
  interval_ns_ = kMs;
  begin({"192.0.2.1"}, 2000, 3'600'000 * kMs);
  for (int64_t ms = 1; ms < 3000; ms += 10) work(ms * kMs);  // of none the kernel says that it left
  EXPECT_EQ(count(kSent), 0u);
  sent();
  work(3000 * kMs);
  EXPECT_GT(count(kSent), 0u);
  EXPECT_EQ(count(kPlanned), 2000u);
  EXPECT_EQ(count(kUnsent), 2000 - count(kSent));
  EXPECT_EQ(count(kLost), 0u);
  EXPECT_EQ(
      notes(),
      (std::set<std::string>{"unsent: this host could not send as fast as probes were due: lower the rate"}));
}

TEST_F(DatagramFlowTest, AFullSocketDelaysAProbeButLosesNone) {
  begin({"192.0.2.1"}, 1);
  socket().sink->on_sent(std::exchange(socket().sent, {})[0].cookie, -EAGAIN, monotonic_ns());
  EXPECT_EQ(count(kUnsent), 0u);
  work();
  ASSERT_EQ(socket().sent.size(), 1u) << "tried again";
  sent();
  reply(0);
  EXPECT_EQ(count(kReceived), 1u);
}

TEST_F(DatagramFlowTest, AFullDeviceQueueDelaysAProbeButNeverReordersDatagrams) {
  for (const bool plain : {false, true}) {
    prober_.plain = plain;
    begin({"192.0.2.1"}, 1);
    socket().sink->on_sent(std::exchange(socket().sent, {})[0].cookie, -ENOBUFS, monotonic_ns());
    work();
    EXPECT_EQ(socket().sent.size(), plain ? 0u : 1u);
    setup_.targets.clear();
  }
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].result, -ENOBUFS);
  EXPECT_EQ(prober_.done[0].flags, TODD_DF_LOCAL);
}

TEST_F(DatagramFlowTest, CancelledProbesAreUndeterminedOrUnsent) {
  begin({"192.0.2.1", "192.0.2.2"}, 1);
  socket().sink->on_sent(socket().sent[0].cookie, 0, monotonic_ns());
  instance_->stop(true);
  work();
  EXPECT_EQ(count(kUndetermined, 0) + count(kUndetermined, 1), 1u);
  EXPECT_EQ(count(kUnsent, 0) + count(kUnsent, 1), 1u);
  EXPECT_EQ(count(kLost, 0) + count(kLost, 1), 0u);
}

// It need not wait for the reader of its last period, and works no more meanwhile.
TEST_F(DatagramFlowTest, WhatHasEndedHasClosedItsSockets) {
  begin({"192.0.2.1"}, 1);
  sent();
  instance_->stop(true);
  work();
  EXPECT_EQ(reactor_.socket, nullptr);
  EXPECT_FALSE(instance_->ended());
  work(10'000 * kMs);
  EXPECT_FALSE(instance_->ended());
  instance_->period_copied();
  EXPECT_TRUE(instance_->ended());
}

// A testlet with its own timing begins a probe for each that ends. While the table is being walked it must
// not: the new entry would move the walk's place, and a probe under way would never end.
TEST_F(DatagramFlowTest, EveryProbeEndsOnceThoughEndsBeginNewOnes) {
  std::vector<std::string> targets;
  for (int i = 0; i < 250; ++i) targets.push_back("192.0.2." + std::to_string(i + 1));
  begin(targets, 4);
  prober_.again = true;
  uint64_t started = 0;
  const auto rounds = [&](int64_t each_ns, int64_t growing_ns) {
    for (int round = 0; round < 40 && reactor_.socket != nullptr; ++round) {
      started += socket().sent.size();
      sent();
      work(each_ns + growing_ns * round);
    }
  };
  rounds(200 * kMs, 200 * kMs);
  prober_.again = false;
  rounds(100'000 * kMs, 0);
  EXPECT_GT(started, 1000u);
  EXPECT_EQ(prober_.done.size(), started);
}

// The kernel's own stamps of departure and arrival make the round trip, whenever we were told of either.
TEST_F(DatagramFlowTest, TheRoundTripIsBetweenKernelStamps) {
  begin({"192.0.2.1"}, 1);
  sent();
  const int64_t left = wall_ns() + 3 * kMs;
  std::string packet(28, '\0');  // IPv4 and UDP headers
  packet[0] = 0x45;
  packet[9] = IPPROTO_UDP;
  packet += all_[0].bytes;
  socket().sink->on_transmitted(reinterpret_cast<const uint8_t*>(packet.data()),
                                static_cast<uint32_t>(packet.size()), left);
  socket().reply(all_[0].bytes, all_[0].to, left + 12'345);
  work();
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].rx_ns - prober_.done[0].tx_ns, 12'345);
  EXPECT_EQ(prober_.done[0].tx_src, TODD_TS_KERNEL);
  EXPECT_EQ(prober_.done[0].rx_src, TODD_TS_KERNEL);
}

TEST_F(DatagramFlowTest, WithoutAStampOurOwnClockIsUsedAndSaid) {
  begin({"192.0.2.1"}, 1);
  sent();
  std::string strange(64, '\0');
  socket().sink->on_transmitted(reinterpret_cast<const uint8_t*>(strange.data()), 64, wall_ns() + kMs);
  reply(0, 2 * kMs);
  work();
  ASSERT_EQ(prober_.done.size(), 1u);
  EXPECT_EQ(prober_.done[0].tx_src, TODD_TS_USER);
  EXPECT_GE(prober_.done[0].rx_ns - prober_.done[0].tx_ns, 2 * kMs - 1000);
}

TEST_F(DatagramFlowTest, ASamplesNumberCountsTheProbesOfItsTarget) {
  begin({"192.0.2.1", "192.0.2.2", "192.0.2.3"}, 2);
  sent();
  ASSERT_EQ(all_.size(), 6u);
  for (size_t i = 0; i < 6; ++i) reply(i);
  work();
  instance_->stop(true);
  work();
  stats::CellReader reader(*setup_.layout, setup_.cells);
  std::map<uint32_t, std::vector<uint64_t>> numbers;
  for (const auto& sample : reader.samples(reader.open_bank() ^ 1, true))
    numbers[sample.edge].push_back(sample.seq);
  ASSERT_EQ(numbers.size(), 3u);
  for (const auto& [edge, seen] : numbers) EXPECT_EQ(seen, (std::vector<uint64_t>{0, 1})) << edge;
}

}  // namespace
}  // namespace todd::lane
