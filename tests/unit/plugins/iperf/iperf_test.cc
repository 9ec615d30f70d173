#include <gtest/gtest.h>

#include <cerrno>

#include "plugins/iperf/meter.h"
#include "plugins/iperf/wire.h"
#include "tests/support/testlet_host.h"

namespace todd::iperf {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;

constexpr int64_t kMs = 1'000'000, kS = 1'000 * kMs;
constexpr uint64_t kToken = 77;
const todd_testlet& kIperf = **todd_entry_v0.testlets;

double megabits(const TestletHost& h, const char* bytes, const char* time) {
  return static_cast<double>(h.counter(bytes)) * 8e3 / static_cast<double>(h.counter(time));
}

struct IperfTest : testing::Test {
  World world;
  Options r, o;
  std::unique_ptr<TestletHost> responder, source;

  IperfTest() {
    r.role = TODD_RESPONDER;
    r.tokens = {1, kToken};  // the edge of the test is peer 1
    o.targets[0].peer_token = kToken;
    o.duration_ns = 2 * kS;
    r.bits_per_s = o.bits_per_s = 100e6;
    r.max_piece = o.max_piece = 50'000;
  }
  void set(const char* name, const char* value) { o.params[name] = r.params[name] = value; }
  void go(int64_t duration = 2 * kS) {
    responder = std::make_unique<TestletHost>(world, kIperf, r);
    ASSERT_EQ(responder->start(), 0) << responder->error_text;
    world.run_for(kMs);
    ASSERT_TRUE(responder->ready());
    ASSERT_NE(responder->published(), 0);
    o.targets[0].peer = responder.get();
    o.duration_ns = duration;
    source = std::make_unique<TestletHost>(world, kIperf, o);
    ASSERT_EQ(source->start(), 0) << source->error_text;
    source->begin(duration);
    responder->begin(duration);
    world.run_for(duration + 8 * kS);
  }
  void expect_clean_end() {
    EXPECT_TRUE(source->finished());
    EXPECT_EQ(source->open_streams(), 0u);
    EXPECT_EQ(responder->open_streams(), 0u);
    EXPECT_TRUE(source->notes.empty()) << source->notes[0];
    responder->drain();
    world.run_for(kMs);
    EXPECT_TRUE(responder->finished());
  }
};

TEST_F(IperfTest, TcpForwardEachEndRecordsItsSide) {
  go();
  EXPECT_EQ(source->counter("sent_bytes"), responder->counter("bytes", 1));
  EXPECT_EQ(source->counter("bytes"), 0u);  // the responder knows the edge and records it itself
  EXPECT_NEAR(megabits(*source, "sent_bytes", "sent_time"), 100, 3);
  const double received = static_cast<double>(responder->counter("bytes", 1)) * 8e3 /
                          static_cast<double>(responder->counter("received_time", 1));
  EXPECT_NEAR(received, 100, 3);
  EXPECT_EQ(source->counter("retransmits"), 3u);
  EXPECT_EQ(source->gauge("tcp_rtt"), 250e3);
  expect_clean_end();
}

TEST_F(IperfTest, StandAloneResponderSendsItsSummary) {
  r.tokens.clear();
  set("streams", "4");
  go();
  EXPECT_EQ(source->counter("bytes"), source->counter("sent_bytes"));
  EXPECT_NEAR(megabits(*source, "bytes", "received_time"), 100, 3);
  EXPECT_EQ(responder->counter("bytes", TODD_NONE), 0u);
  expect_clean_end();
}

TEST_F(IperfTest, TcpReverseTheSourceReceives) {
  set("reverse", "true");
  set("streams", "3");
  go();
  EXPECT_EQ(source->counter("bytes"), responder->counter("sent_bytes", 1));
  EXPECT_GT(source->counter("bytes"), 20'000'000u);
  EXPECT_NEAR(megabits(*source, "bytes", "received_time"), 100, 3);
  EXPECT_EQ(source->counter("sent_bytes"), 0u);
  expect_clean_end();
}

TEST_F(IperfTest, TcpBitrateIsOfTheEdge) {
  set("bitrate", "8M");
  set("streams", "2");
  set("length", "1000");
  go();
  EXPECT_NEAR(megabits(*source, "sent_bytes", "sent_time"), 8, 0.3);
  expect_clean_end();
}

TEST_F(IperfTest, TcpWithTheSmallestBatchAndPieces) {
  o.cap_op = r.cap_op = 1;
  o.max_done = r.max_done = 1;
  o.slots = r.slots = 2;
  r.max_piece = 13;
  set("length", "64");
  set("bitrate", "100k");
  set("streams", "3");
  go(500 * kMs);
  EXPECT_EQ(source->counter("sent_bytes"), responder->counter("bytes", 1));
  EXPECT_GT(source->counter("sent_bytes"), 4'000u);
  expect_clean_end();
}

TEST_F(IperfTest, UdpForwardCountsLossAndOrder) {
  set("protocol", "udp");
  uint64_t sent = 0;
  o.datagram = [&](uint64_t n, std::string_view bytes) -> int64_t {
    if (bytes.size() == kMessage) return 0;
    sent = n + 1;
    return n % 10 == 3 ? -1 : n % 10 == 5 ? 30 * kMs : 0;
  };
  go();
  EXPECT_NEAR(megabits(*source, "sent_bytes", "sent_time"), 1, 0.05);  // the default of 1 Mbit/s
  EXPECT_EQ(responder->counter("packets", 1), sent);
  EXPECT_NEAR(static_cast<double>(responder->counter("lost", 1)), static_cast<double>(sent) / 10, 1);
  EXPECT_EQ(responder->counter("bytes", 1), (sent - responder->counter("lost", 1)) * 1400);
  EXPECT_NEAR(static_cast<double>(responder->counter("out_of_order", 1)), static_cast<double>(sent) / 10, 2);
  EXPECT_GT(responder->gauge("jitter", 1), 1e6);
  EXPECT_EQ(source->counter("packets"), 0u);
  expect_clean_end();
}

TEST_F(IperfTest, UdpForwardToAStandAloneResponder) {
  r.tokens.clear();
  set("streams", "2");
  o.params["protocol"] = "udp";  // the responder serves both on one port
  go();
  EXPECT_EQ(source->counter("bytes"), source->counter("sent_bytes"));
  EXPECT_EQ(source->counter("lost"), 0u);
  EXPECT_EQ(source->counter("packets") * 1400, source->counter("bytes"));
  EXPECT_NEAR(megabits(*source, "bytes", "received_time"), 1, 0.05);
  expect_clean_end();
}

TEST_F(IperfTest, UdpReverseAfterProvingTheAddress) {
  set("protocol", "udp");
  set("reverse", "true");
  set("bitrate", "5M");
  r.datagram = [](uint64_t n, std::string_view bytes) -> int64_t {
    return bytes.size() > kMessage && n % 4 == 1 ? -1 : 0;
  };
  go();
  EXPECT_NEAR(static_cast<double>(responder->counter("sent_bytes", 1)) * 8e3 /
                  static_cast<double>(responder->counter("sent_time", 1)),
              5, 0.2);
  EXPECT_EQ(source->counter("packets") * 1400, responder->counter("sent_bytes", 1));
  EXPECT_NEAR(static_cast<double>(source->counter("lost")) / static_cast<double>(source->counter("packets")),
              0.25, 0.01);
  expect_clean_end();
}

TEST_F(IperfTest, UdpControlMessagesMayGetLost) {
  for (const char* reverse : {"false", "true"}) {
    set("protocol", "udp");
    set("reverse", reverse);
    int from_source = 0, from_responder = 0;
    o.datagram = [&](uint64_t, std::string_view bytes) -> int64_t {
      return bytes.size() == kMessage && from_source++ % 3 != 2 ? -1 : 0;
    };
    r.datagram = [&](uint64_t, std::string_view bytes) -> int64_t {
      return bytes.size() == kMessage && from_responder++ % 2 != 1 ? -1 : 0;
    };
    go();
    const TestletHost& receiver = *(*reverse == 't' ? source : responder);
    EXPECT_GT(receiver.counter("bytes", *reverse == 't' ? 0 : 1), 200'000u) << reverse;
    EXPECT_EQ(receiver.counter("lost", *reverse == 't' ? 0 : 1), 0u) << reverse;
    expect_clean_end();
  }
}

TEST_F(IperfTest, UdpIntoTheVoidSaysSo) {
  set("protocol", "udp");
  o.datagram = [](uint64_t, std::string_view) -> int64_t { return -1; };
  go();
  EXPECT_TRUE(source->finished());
  EXPECT_EQ(source->tally("errors", "no_summary"), 1u);
  set("reverse", "true");
  go();
  EXPECT_TRUE(source->finished());
  EXPECT_EQ(source->tally("errors", "timeout"), 1u);
}

TEST_F(IperfTest, StrangersAreNotServedInARunOfAgents) {
  o.targets[0].peer_token = 999;
  go();
  EXPECT_EQ(responder->counter("bytes", 0) + responder->counter("bytes", 1), 0u);
  EXPECT_GE(source->notes.size(), 1u);
  EXPECT_TRUE(source->finished());
}

TEST_F(IperfTest, RefusedAndHostileServers) {
  Script server;
  o.connect = [&](uint32_t) { return &server; };
  const auto outcome = [&](const char* reason) {
    TestletHost host(world, kIperf, o);
    EXPECT_EQ(host.start(), 0);
    host.begin(2 * kS);
    world.run_for(12 * kS);
    EXPECT_TRUE(host.finished()) << reason;
    EXPECT_EQ(host.open_streams(), 0u);
    EXPECT_EQ(host.tally("errors", reason), 1u) << reason;
  };
  server.connect_result = -ECONNREFUSED;
  outcome("refused");
  server.connect_result = 0;
  outcome("timeout");  // swallows everything, says nothing
  server.ended = [](Wire& w) {
    w.send(std::string(200, 'x'), kMs);
    w.end(2 * kMs);
  };
  outcome("no_summary");
  server.data = [](Wire& w, std::string_view) { w.reset(ECONNRESET, kMs); };
  outcome("reset");
}

TEST_F(IperfTest, CancelAndDrainWhileSending) {
  go(50 * kMs);
  for (const bool cancel : {true, false}) {
    o.duration_ns = 100 * kS;
    TestletHost host(world, kIperf, o);
    ASSERT_EQ(host.start(), 0);
    host.begin(100 * kS);
    world.run_for(500 * kMs);
    EXPECT_GT(host.counter("sent_bytes"), 1'000'000u);
    EXPECT_FALSE(host.finished());
    if (cancel) {
      host.cancel();
    } else {
      host.drain();
    }
    world.run_for(3 * kS);
    EXPECT_TRUE(host.finished()) << cancel;
  }
}

TEST_F(IperfTest, RefusesLengthsThatCannotBe) {
  for (const auto& [protocol, length] : {std::pair{"tcp", "63"}, {"udp", "65508"}}) {
    o.params = {{"protocol", protocol}, {"length", length}};
    TestletHost host(world, kIperf, o);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << protocol;
  }
}

TEST(WireTest, RoundTripAndRefusal) {
  Header h;
  h.kind = Kind::kData;
  h.reverse = true;
  h.stream = 127;
  h.length = 1400;
  h.token = 0x0123456789abcdef;
  h.session = UINT64_MAX;
  h.bitrate = 5;
  h.duration_ns = kS;
  h.sequence = 9;
  h.sent_ns = -3;
  uint8_t bytes[kMessage];
  encode(h, bytes);
  const std::string_view text(reinterpret_cast<char*>(bytes), kMessage);
  const auto back = decode_header(text);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->token, h.token);
  EXPECT_EQ(back->session, h.session);
  EXPECT_EQ(back->sent_ns, -3);
  EXPECT_TRUE(back->reverse);
  EXPECT_EQ(back->stream, 127u);
  EXPECT_FALSE(decode_header(text.substr(0, kMessage - 1)));
  EXPECT_FALSE(decode_summary(text));
  h.stream = 128;
  encode(h, bytes);
  EXPECT_FALSE(decode_header(text));
  h.stream = 0;
  encode(h, bytes);
  EXPECT_TRUE(decode_header(text));
  for (const size_t at : {0, 4, 5, 7}) {  // magic, version, kind, stream
    uint8_t saved = bytes[at];
    bytes[at] = 0xee;
    EXPECT_FALSE(decode_header(text)) << at;
    bytes[at] = saved;
  }
}

TEST(SequenceTest, CountsEachDatagramOnce) {
  Sequence s;
  for (const uint64_t n : {0, 1, 3, 2, 3, 0, 6}) s.arrived(n, 0, 0);
  EXPECT_EQ(s.received(), 5u);
  EXPECT_EQ(s.packets(), 7u);
  EXPECT_EQ(s.out_of_order(), 1u);
  EXPECT_EQ(s.lost(), 2u);
  s.ended(10);
  EXPECT_EQ(s.lost(), 5u);
}

// RFC 3550 section 6.4.1 by hand: transits 10, 26, 10 give |D| 16, 16 and J = 1, then 1 + 15/16.
TEST(SequenceTest, JitterIsTheRfcs) {
  Sequence s;
  s.arrived(0, 0, 10);
  s.arrived(1, 100, 126);
  EXPECT_DOUBLE_EQ(s.jitter_ns(), 1.0);
  s.arrived(2, 200, 210);
  EXPECT_DOUBLE_EQ(s.jitter_ns(), 1.9375);
}

TEST(PacerTest, KeepsTheRateAndNeverFloods) {
  Pacer pacer(8000, 1, 0);  // one byte per ms
  int64_t now = 0;
  for (int i = 0; i < 1000; ++i) {
    now = std::max(now, pacer.next_ns());
    pacer.sent(now);
  }
  EXPECT_EQ(now, 999 * kMs);
  now += kS;  // stalled for a second: 10 are made good, not 1000
  int burst = 0;
  while (pacer.next_ns() <= now) {
    pacer.sent(now);
    ++burst;
  }
  EXPECT_LE(burst, 12);
}

}  // namespace
}  // namespace todd::iperf
