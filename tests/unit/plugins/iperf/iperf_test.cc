#include <gtest/gtest.h>

#include <algorithm>
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

TEST_F(IperfTest, StoppingAReceiverIsNoFailure) {
  for (const char* protocol : {"udp"}) {
    set("reverse", "true");
    set("protocol", protocol);
    go(50 * kMs);
    o.duration_ns = 100 * kS;
    o.targets[0].peer = responder.get();
    TestletHost host(world, kIperf, o);
    ASSERT_EQ(host.start(), 0);
    host.begin(100 * kS);
    world.run_for(500 * kMs);
    EXPECT_GT(host.counter("bytes"), 10'000u) << protocol;
    host.drain();
    world.run_for(500 * kMs);
    EXPECT_TRUE(host.finished()) << protocol;
    EXPECT_TRUE(host.notes.empty()) << host.notes[0];
  }
}

// What the sender's own system refuses is no loss of the network's.
TEST_F(IperfTest, UdpRefusedByTheOwnSystemIsNotLost) {
  uint64_t n = 0, refused = 0;
  const auto refuse = [&](std::string_view bytes) {
    const bool yes = bytes.size() != kMessage && n++ % 10 == 3;
    refused += yes;
    return yes ? EPERM : 0;
  };
  for (const char* reverse : {"false", "true"}) {
    const bool back = *reverse == 't';
    set("protocol", "udp");
    set("reverse", reverse);
    (back ? r : o).refuse = refuse;
    (back ? o : r).refuse = [](std::string_view) { return 0; };
    set("bitrate", "2M");  // twice what the path takes: some wait in the system when the test ends
    (back ? r : o).bits_per_s = 1e6;
    n = refused = 0;
    go();
    const TestletHost& sender = *(back ? responder : source);
    const TestletHost& receiver = *(back ? source : responder);
    const uint32_t from = back ? 1 : 0, to = back ? 0 : 1;
    EXPECT_GT(refused, 10u);
    EXPECT_EQ(sender.counter("unsent", from), refused);
    EXPECT_EQ(sender.tally("errors", "local", from), 1u);
    EXPECT_EQ(receiver.counter("lost", to), 0u);
    EXPECT_EQ(receiver.counter("packets", to) * 1400, receiver.counter("bytes", to));
    EXPECT_EQ(sender.counter("sent_bytes", from), receiver.counter("bytes", to));
    source->notes.clear();
    expect_clean_end();
  }
}

// Never more bytes back than came, and no state for those who have not proved their address.
TEST_F(IperfTest, ResponderIsNoAmplifier) {
  r.tokens.clear();
  set("protocol", "udp");
  go(50 * kMs);
  size_t out = 0, in = 0;
  const size_t before = responder->operations.size();
  uint64_t random = 7;
  for (int i = 0; i < 20'000; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    Header h;
    h.kind = static_cast<Kind>(1 + random % 5);
    h.reverse = (random >> 8 & 1) != 0;
    h.stream = random >> 9 & 127;
    h.length = 1400;
    h.session = random;
    h.cookie = random >> 3;
    h.duration_ns = kS;
    std::string bytes(64 + (random >> 20) % 64, '\0');
    encode(h, reinterpret_cast<uint8_t*>(bytes.data()));
    if (i % 3 == 0) bytes[(random >> 30) % bytes.size()] ^= static_cast<char>(random >> 40);
    if (i % 5 == 0) bytes.resize((random >> 50) % 64);
    in += bytes.size();
    responder->datagram(bytes);
    if (i % 100 == 0) world.run_for(kMs);
  }
  world.run_for(10 * kS);
  for (size_t i = before; i < responder->operations.size(); ++i) out += responder->operations[i].len;
  EXPECT_GT(out, 0u);
  EXPECT_LE(out, in);
}

TEST_F(IperfTest, ResponderKeepsSoManyUdpStreamsAndNoMore) {
  r.tokens.clear();
  set("protocol", "udp");
  go(50 * kMs);
  const size_t before = responder->operations.size();
  Header h;
  h.kind = Kind::kEnd;
  h.length = 1400;
  h.duration_ns = kS;
  for (int i = 0; i < 1100; ++i) {
    ++h.session;
    std::string bytes(kMessage, '\0');
    encode(h, reinterpret_cast<uint8_t*>(bytes.data()));
    responder->datagram(bytes);
    world.run_for(kMs);
  }
  EXPECT_EQ(responder->operations.size() - before, 1024u);  // a summary each
  responder->drain();
  world.run_for(kMs);
  EXPECT_TRUE(responder->finished());
}

TEST_F(IperfTest, RefusesWhatCannotBe) {
  for (const auto& [protocol, param, value] :
       {std::tuple{"udp", "length", "63"},
        {"udp", "length", "65508"},
        {"udp", "streams", "65"},
        {"udp", "bidir", "true"},
        {"udp", "omit", "1s"},
        {"udp", "bytes", "1000"},
        {"udp", "congestion", "reno"},
        {"tcp", "omit", "1500ms"},
        {"tcp", "omit", "2s"}}) {
    o.params = {{"protocol", protocol}, {param, value}};
    TestletHost host(world, kIperf, o);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << protocol;
    EXPECT_EQ(host.error_text.find(param), 0u) << host.error_text;
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
  s.ended(10, 2);
  EXPECT_EQ(s.lost(), 3u);
  EXPECT_EQ(s.packets(), 8u);
  s.ended(10, 11);  // nonsense
  EXPECT_EQ(s.lost(), 0u);
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
