#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "plugins/ping/sizes.h"
#include "plugins/ping/wire.h"
#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::TestletHost;
using test::World;

constexpr int64_t kMs = 1'000'000;
const todd_testlet& kPing = **todd_entry_v0.testlets;

// Mode icmp takes no port.
struct Options : test::Options {
  Options() { targets[0].port = 0; }
};

struct PingTest : testing::Test {
  World world;

  void tickets(TestletHost& host, uint32_t rounds, uint32_t targets = 1) {
    for (uint32_t r = 0; r < rounds; ++r) {
      for (uint32_t t = 0; t < targets; ++t) host.ticket(t, r, world.now_ns + r * 10 * kMs);
    }
  }
};

TEST_F(PingTest, SendsTheEchoOfTheTargetsFamily) {
  std::vector<std::string> requests(2);
  Options o;
  o.targets = {{.port = 0, .family = 4}, {.host = "2001:db8::1", .port = 0, .family = 6}};
  o.params = {{"size", "10"}, {"dscp", "46"}, {"ttl", "3"}};
  o.answer = [&](uint32_t target, uint32_t, std::string_view request) {
    requests[target] = request;
    return Answer{};
  };
  TestletHost host(world, kPing, o);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  EXPECT_TRUE(host.ready());
  host.begin();
  tickets(host, 1, 2);
  world.run_for(100 * kMs);
  ASSERT_EQ(requests[0].size(), 18u);
  ASSERT_EQ(requests[1].size(), 18u);
  EXPECT_EQ(static_cast<uint8_t>(requests[0][0]), 8);
  EXPECT_EQ(static_cast<uint8_t>(requests[1][0]), 128);
  EXPECT_EQ(host.operations.at(0).tos, 46 << 2);
  EXPECT_EQ(host.operations.at(0).ttl, 3);
}

TEST_F(PingTest, MeasuresRttAndTheDifferenceOfConsecutiveRounds) {
  const int64_t delays[] = {5 * kMs, 8 * kMs, 0, 4 * kMs, 7 * kMs};
  Options o;
  o.answer = [&](uint32_t, uint32_t round, std::string_view) {
    return round == 2 ? Answer{.result = -ETIMEDOUT} : Answer{.delay_ns = delays[round]};
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 5);
  world.run_for(2000 * kMs);
  EXPECT_EQ(host.observed("rtt"), (std::vector<uint64_t>{5 * kMs, 8 * kMs, 4 * kMs, 7 * kMs}));
  EXPECT_EQ(host.observed("jitter"), (std::vector<uint64_t>{3 * kMs, 3 * kMs}));  // not across the lost round
  EXPECT_EQ(host.gauge("ttl"), 64);
}

TEST_F(PingTest, OvertakenReplyMakesNoPair) {
  Options o;
  o.answer = [](uint32_t, uint32_t round, std::string_view) {
    return Answer{.delay_ns = round == 0 ? 50 * kMs : 2 * kMs};
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 3);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.observed("rtt").size(), 3u);
  EXPECT_EQ(host.observed("jitter"), (std::vector<uint64_t>{0}));  // rounds 1 and 2 only
}

TEST_F(PingTest, SmoothsJitterOverRepliesAsTheyCome) {
  // Rounds 0, 1 and 3 come in order, 2 is lost, 4 comes after 5: the pairs are 0-1, 1-3, 3-5, 5-4.
  const int64_t delays[] = {16 * kMs, 0, 0, 32 * kMs, 40 * kMs, 8 * kMs};
  Options o;
  o.answer = [&](uint32_t, uint32_t round, std::string_view) {
    return round == 2 ? Answer{.result = -ETIMEDOUT} : Answer{.delay_ns = delays[round]};
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  for (uint32_t r = 0; r < 6; ++r) host.ticket(0, r, world.now_ns + r * 25 * kMs);
  world.run_for(2000 * kMs);
  double expected = 0;
  for (const double difference : {16e6, 32e6, 24e6, 32e6}) expected += (difference - expected) / 16;
  EXPECT_NEAR(host.gauge("jitter_rfc3550"), expected, 1);
}

TEST_F(PingTest, CountsRepliesThatWereOvertaken) {
  // Sent every 10 ms: 1 comes after 2 and 3, 2 in its place, 4 is lost, 5 comes after 6.
  const int64_t delays[] = {1, 25, 1, 1, 0, 15, 1};
  Options o;
  o.answer = [&](uint32_t, uint32_t round, std::string_view) {
    return round == 4 ? Answer{.result = -ETIMEDOUT} : Answer{.delay_ns = delays[round] * kMs};
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 7);
  world.run_for(2000 * kMs);
  EXPECT_EQ(host.counter("reordered"), 2u);
  EXPECT_EQ(host.observed("reorder_extent"), (std::vector<uint64_t>{2, 1}));
}

TEST_F(PingTest, TellsTheDscpOfReplies) {
  const uint8_t tos[] = {46 << 2, 0, 3, 46 << 2 | 2, 1};
  for (const bool given : {false, true}) {
    Options o;
    if (given) o.params = {{"dscp", "46"}};
    o.answer = [&](uint32_t, uint32_t round, std::string_view) { return Answer{.tos = tos[round]}; };
    World own;
    TestletHost host(own, kPing, o);
    host.start();
    host.begin();
    tickets(host, 5);
    own.run_for(1000 * kMs);
    EXPECT_EQ(host.tally("reply_dscp", "46"), 1u);
    EXPECT_EQ(host.tally("reply_dscp", "46 ect0"), 1u);
    EXPECT_EQ(host.tally("reply_dscp", "0 ce"), 1u);
    EXPECT_EQ(host.tally("reply_dscp", "0 ect1"), 1u);
    EXPECT_EQ(host.tally("reply_dscp", "0"), given ? 1u : 0u);
  }
}

TEST_F(PingTest, FollowsTheTtlOfReplies) {
  const uint8_t ttls[] = {57, 57, 249, 0, 120, 57};
  Options o;
  o.answer = [&](uint32_t, uint32_t round, std::string_view) { return Answer{.ttl = ttls[round]}; };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 6);
  world.run_for(5 * kMs);
  EXPECT_EQ(host.gauge("hops"), -1);  // not of a scan: see take_ttl
  world.run_for(10 * kMs);
  EXPECT_EQ(host.gauge("hops"), 7);
  EXPECT_EQ(host.gauge("ttl_min"), -1);
  world.run_for(10 * kMs);
  EXPECT_EQ(host.gauge("hops"), 6);
  world.run_for(20 * kMs);
  EXPECT_EQ(host.gauge("hops"), 8);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.gauge("ttl"), 57);
  EXPECT_EQ(host.gauge("ttl_min"), 57);
  EXPECT_EQ(host.gauge("ttl_max"), 249);
  EXPECT_EQ(host.counter("ttl_changes"), 3u);
  EXPECT_EQ(host.gauge("hops"), 7);
}

TEST_F(PingTest, NamesIcmpErrorsAndWhoSentThem) {
  todd_icmp_error v4{3, 13, 4, 99, {192, 0, 2, 9}, 0};
  todd_icmp_error v6{2, 0, 6, 1280, {0x20, 0x01, 0x0d, 0xb8}, 0};
  Options o;
  o.answer = [&](uint32_t, uint32_t round, std::string_view) {
    return Answer{.result = -EHOSTUNREACH, .icmp = round == 0 ? v4 : v6};
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 2);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.tally("icmp_errors", "admin_prohibited"), 1u);
  EXPECT_EQ(host.tally("icmp_errors", "packet_too_big"), 1u);
  EXPECT_EQ(host.tally("icmp_senders", "192.0.2.9"), 1u);
  EXPECT_EQ(host.tally("icmp_senders", "2001:db8::"), 1u);
  EXPECT_EQ(host.gauge("mtu"), 1280);
  ASSERT_EQ(host.notes.size(), 2u);
  EXPECT_EQ(host.notes[0], "admin_prohibited: admin_prohibited from 192.0.2.9 (type 3 code 13, mtu 99)");
  EXPECT_EQ(host.notes[1], "packet_too_big: packet_too_big from 2001:db8:: (type 2 code 0, mtu 1280)");
  EXPECT_TRUE(host.observed("rtt").empty());
}

// Or an expectation on it could not be written.
TEST(IcmpErrorNameTest, EveryNameIsDeclared) {
  const std::string all = std::string("|") + kIcmpErrorNames + "|";
  for (const uint16_t family : {4, 6}) {
    for (int type = 0; type < 256; ++type) {
      for (int code = 0; code < 256; ++code) {
        const todd_icmp_error error{static_cast<uint8_t>(type), static_cast<uint8_t>(code), family, 0, {}, 0};
        ASSERT_NE(all.find(std::string("|") + icmp_error_name(error) + "|"), std::string::npos)
            << family << ": " << type << "/" << code;
      }
    }
  }
}

// What the probes of a run carry, without the header.
std::vector<std::string> payloads_of(World& world, Options o, uint32_t rounds) {
  std::vector<std::string> out;
  o.answer = [&](uint32_t, uint32_t, std::string_view request) {
    out.emplace_back(request.substr(kIcmpHeader));
    return Answer{};
  };
  TestletHost host(world, kPing, o);
  EXPECT_EQ(host.check(), 0) << host.error_text;
  EXPECT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  for (uint32_t r = 0; r < rounds; ++r) host.ticket(0, r, world.now_ns + r * 10 * kMs);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.observed("rtt").size(), rounds);
  EXPECT_EQ(host.counter("corrupted"), 0u);
  return out;
}

TEST_F(PingTest, PayloadIsWhatTheParamSays) {
  Options o;
  o.params = {{"size", "16"}};
  EXPECT_EQ(payloads_of(world, o, 1)[0].substr(8), "\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f");
  o.params["payload"] = "zero";
  EXPECT_EQ(payloads_of(world, o, 1)[0].substr(8), std::string(8, '\0'));
  o.params["payload"] = "aB0102";
  EXPECT_EQ(payloads_of(world, o, 1)[0].substr(8), "\x02\xab\x01\x02\xab\x01\x02\xab");
  o.params = {{"size", "1400"}, {"payload", "random"}};
  const auto noise = payloads_of(world, o, 2);
  EXPECT_NE(noise[0].substr(8), noise[1].substr(8));
  o.params = {{"mode", "udp"}, {"size", "8"}};
  EXPECT_EQ(payloads_of(world, o, 1)[0], "");
}

TEST_F(PingTest, RefusesUnknownPayloads) {
  for (const char* bad : {"", "f", "fg", "zeros", "0x00", "000102030405060708090a0b0c0d0e0f10"}) {
    Options o;
    o.params = {{"payload", bad}};
    TestletHost host(world, kPing, o);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << bad;
    EXPECT_NE(host.error_text.find("increment, zero, random"), std::string::npos);
  }
}

TEST_F(PingTest, RepliesThatDifferAreAnswersAndCounted) {
  Options o;
  o.params = {{"size", "20"}};
  o.answer = [](uint32_t, uint32_t round, std::string_view) {
    Answer a;
    if (round == 0) a.edit = [](std::string& m) { m[8 + 12] = 0; };
    if (round == 1) a.edit = [](std::string& m) { m.resize(8 + 10); };
    if (round == 2) a.edit = [](std::string& m) { m += "x"; };
    if (round == 3) a.edit = [](std::string& m) { m.resize(4); };
    if (round == 4) a.edit = [](std::string& m) { m[0] = 0, m[2] = 1, m[15] = 9; };  // the host's bytes
    return a;
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 6);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.observed("rtt").size(), 6u);
  EXPECT_EQ(host.counter("corrupted"), 4u);
  EXPECT_EQ(host.notes, (std::vector<std::string>{"corrupted: payload byte 12: 0x1c came back as 0x00",
                                                  "corrupted: 20 bytes of payload came back as 10",
                                                  "corrupted: 20 bytes of payload came back as 21",
                                                  "corrupted: 20 bytes of payload came back as 0"}));
}

TEST_F(PingTest, UdpRepliesAreCheckedBehindTheKey) {
  Options o;
  o.params = {{"mode", "udp"}, {"size", "9"}, {"payload", "zero"}};
  o.answer = [](uint32_t, uint32_t round, std::string_view) {
    return Answer{.edit = [round](std::string& m) { m[round == 0 ? 7 : 8] ^= 1; }};
  };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 2);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.notes, (std::vector<std::string>{"corrupted: payload byte 8: 0x00 came back as 0x01"}));
}

TEST_F(PingTest, RoundsGoThroughTheSizes) {
  std::vector<size_t> sent;
  Options o;
  o.params = {{"sizes", "0,100..300/100"}};
  o.answer = [&](uint32_t, uint32_t round, std::string_view request) {
    sent.push_back(request.size() - kIcmpHeader);
    todd_icmp_error too_big{3, 4, 4, 200, {192, 0, 2, 9}, 0};
    if (round == 3) return Answer{.result = -EMSGSIZE, .icmp = too_big};
    if (round == 4) return Answer{.result = -EHOSTUNREACH, .local = true};
    return Answer{.result = round == 2 ? -ETIMEDOUT : 0};
  };
  TestletHost host(world, kPing, o);
  ASSERT_EQ(host.check(), 0) << host.error_text;
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  tickets(host, 6);
  world.run_for(2000 * kMs);
  EXPECT_EQ(sent, (std::vector<size_t>{0, 100, 200, 300, 0, 100}));
  EXPECT_EQ(host.tally("by_size", "0_received"), 1u);
  EXPECT_EQ(host.tally("by_size", "0_lost"), 0u);  // the second did not leave
  EXPECT_EQ(host.tally("by_size", "100_received"), 2u);
  EXPECT_EQ(host.tally("by_size", "200_lost"), 1u);
  EXPECT_EQ(host.tally("by_size", "300_lost"), 1u);
  EXPECT_EQ(host.counter("corrupted"), 0u);
}

TEST_F(PingTest, TellsTheLargestPacketThatPassedWhole) {
  struct Case {
    const char* mode;
    uint16_t family;
    uint32_t flags;
    double bytes;  // -1: not told
  };
  for (const auto& [mode, family, flags, bytes] :
       {Case{"icmp", 4, TODD_RF_WHOLE, 20 + 8 + 200}, Case{"icmp", 6, TODD_RF_WHOLE, 40 + 8 + 200},
        Case{"icmp", 4, 0, -1}}) {
    Options o;
    o.flags = flags;
    o.targets[0].family = family;
    o.params = {{"sizes", "100..300/100"}, {"mode", mode}};
    o.answer = [](uint32_t, uint32_t, std::string_view request) {
      return Answer{.result = request.size() > 250 ? -ETIMEDOUT : 0};
    };
    TestletHost host(world, kPing, o);
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    tickets(host, 5);
    world.run_for(2000 * kMs);
    EXPECT_EQ(host.gauge("path_mtu"), bytes) << mode << family << flags;
  }
}

// What came through in the warm-up says nothing of what counts.
TEST_F(PingTest, ThePathMtuIsFoundAgainBehindTheWarmUp) {
  bool counting = false;
  Options o;
  o.flags = TODD_RF_WHOLE;
  o.timeout_ns = 10 * kMs;
  o.params = {{"sizes", "200,100"}};
  o.answer = [&](uint32_t, uint32_t round, std::string_view) {
    return counting && round == 0 ? Answer{.result = -ETIMEDOUT} : Answer{};
  };
  TestletHost host(world, kPing, o);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.warm_up();
  tickets(host, 2);
  world.run_for(100 * kMs);
  EXPECT_EQ(host.gauge("path_mtu"), 20 + 8 + 200);
  counting = true;
  host.begin();
  tickets(host, 2);
  world.run_for(100 * kMs);
  EXPECT_EQ(host.gauge("path_mtu"), 20 + 8 + 100);
}

TEST_F(PingTest, RefusesSizesOutOfRange) {
  const std::pair<std::map<std::string, std::string>, const char*> all[] = {
      {{{"sizes", "64,70000"}}, "sizes: \"70000\": sizes go from 0 to 65507"},
      {{{"sizes", "4"}, {"mode", "udp"}}, "sizes: \"4\": sizes go from 8 to 65507"},
      {{{"sizes", "64"}, {"size", "64"}}, "size and sizes exclude each other"},
      {{{"sizes", "0..65507/1"}}, "more than 32 sizes"},
  };
  for (const auto& [params, text] : all) {
    Options o;
    o.params = params;
    TestletHost host(world, kPing, o);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << text;
    EXPECT_NE(host.error_text.find(text), std::string::npos) << host.error_text;
  }
}

TEST_F(PingTest, UdpEchoComesBackByteForByteFromTheResponder) {
  Options r;
  r.role = TODD_RESPONDER;
  r.params = {{"mode", "udp"}};
  TestletHost responder(world, kPing, r);
  ASSERT_EQ(responder.start(), 0) << responder.error_text;
  EXPECT_TRUE(responder.ready());
  EXPECT_EQ(responder.published(), 7500);
  Options o;
  o.params = {{"mode", "udp"}, {"size", "8"}};
  o.targets[0].port = responder.published();
  o.targets[0].peer = &responder;
  TestletHost source(world, kPing, o);
  ASSERT_EQ(source.start(), 0);
  source.begin();
  tickets(source, 20);
  world.run_for(3000 * kMs);
  EXPECT_EQ(source.observed("rtt").size(), 20u);
  EXPECT_EQ(source.operations.at(0).port, 0);  // the published one
  source.drain();
  world.run_for(kMs);
  EXPECT_TRUE(source.finished());
}

TEST_F(PingTest, RepliesThatCannotLeaveAreToldOnce) {
  Options r;
  r.role = TODD_RESPONDER;
  r.params = {{"mode", "udp"}};
  r.refuse = [](std::string_view) { return ENOBUFS; };
  TestletHost responder(world, kPing, r);
  ASSERT_EQ(responder.start(), 0);
  for (int i = 0; i < 3; ++i) responder.datagram("12345678");
  world.run_for(kMs);
  ASSERT_EQ(responder.logs.size(), 1u);
  EXPECT_NE(responder.logs[0].find("no room in the device's queue"), std::string::npos);
}

TEST_F(PingTest, UdpWithoutAPortGoesToTheEchoService) {
  Options o;
  o.params = {{"mode", "udp"}};
  o.targets[0].port = 0;
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 1);
  world.run_for(100 * kMs);
  EXPECT_EQ(host.operations.at(0).port, 7);
}

TEST_F(PingTest, RefusesUdpProbesWithoutRoomForTheKey) {
  Options o;
  o.params = {{"mode", "udp"}, {"size", "7"}};
  TestletHost host(world, kPing, o);
  EXPECT_EQ(host.check(), TODD_E_PARAM);
  EXPECT_NE(host.error_text.find("at least 8"), std::string::npos);
}

TEST_F(PingTest, APortIsRefusedInModeIcmp) {
  Options o;
  o.targets = {{.name = "192.0.2.1", .port = 0}, {.name = "192.0.2.2:80", .port = 80}};
  TestletHost host(world, kPing, o);
  EXPECT_EQ(host.start(), 0) << host.error_text;
  EXPECT_EQ(host.refused,
            (std::map<uint32_t, std::string>{
                {1, "target 192.0.2.2:80: mode icmp takes no port; leave 80 out, or use mode udp or tcp"}}));
  o.params = {{"mode", "udp"}};
  TestletHost udp(world, kPing, o);
  EXPECT_EQ(udp.start(), 0) << udp.error_text;
  EXPECT_TRUE(udp.refused.empty());
}

TEST_F(PingTest, IcmpResponderIsReadyAndPublishesNothing) {
  Options o;
  o.role = TODD_RESPONDER;
  TestletHost host(world, kPing, o);
  ASSERT_EQ(host.start(), 0);
  EXPECT_TRUE(host.ready());
  EXPECT_EQ(host.published(), 0);
  world.run_for(kMs);
  EXPECT_EQ(host.status(), 0);
}

TEST_F(PingTest, ServesOnlyAsManyTicketsAsFitTheBatch) {
  Options o;
  o.cap_op = 1;
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  for (uint32_t t = 0; t < 3; ++t) host.ticket(0, t, world.now_ns);
  world.run_for(100 * kMs);
  EXPECT_EQ(host.observed("rtt").size(), 1u);
  EXPECT_EQ(host.dropped_tickets(), 2u);
}

TEST_F(PingTest, EndsOnceEveryProbeIsAccountedFor) {
  Options o;
  o.answer = [](uint32_t, uint32_t, std::string_view) { return Answer{.result = -ETIMEDOUT}; };
  TestletHost host(world, kPing, o);
  host.start();
  host.begin();
  tickets(host, 3);
  world.run_for(100 * kMs);
  host.drain();
  world.run_for(100 * kMs);
  EXPECT_FALSE(host.finished());
  world.run_for(2000 * kMs);
  EXPECT_TRUE(host.finished());
}

TEST_F(PingTest, CancelWithProbesInFlightEnds) {
  TestletHost host(world, kPing, Options{});
  host.start();
  host.begin();
  tickets(host, 1);
  world.run_for(kMs / 2);
  EXPECT_EQ(host.pending_operations(), 1u);
  host.cancel();
  world.run_for(kMs);
  EXPECT_TRUE(host.finished());
  EXPECT_TRUE(host.observed("rtt").empty());
}

TEST(SizesTest, ListsAndRanges) {
  using Bytes = std::vector<uint32_t>;
  EXPECT_EQ(parse_sizes("64", 0, 100).bytes, (Bytes{64}));
  EXPECT_EQ(parse_sizes("64,8,64", 0, 100).bytes, (Bytes{64, 8, 64}));
  EXPECT_EQ(parse_sizes("10..30/10,31..40/10", 0, 100).bytes, (Bytes{10, 20, 30, 31}));
  EXPECT_EQ(parse_sizes("0..31/1", 0, 100).bytes.size(), kMaxSizes);
  EXPECT_EQ(parse_sizes("99..100/4294967295", 0, 100).bytes, (Bytes{99}));
  for (const char* bad : {"", ",", "64,", "a", "-1", "1..2", "1../2", "..2/1", "1..2/", "1..2/0", "2..1/1",
                          "1..101/1", "101", "1 ,2", "4294967296", "0..32/1", "1..2/1/1"}) {
    const Sizes sizes = parse_sizes(bad, 0, 100);
    EXPECT_FALSE(sizes.wrong.empty()) << bad;
    EXPECT_TRUE(sizes.bytes.empty()) << bad;
  }
}

TEST(WireTest, SendersFitAKey) {
  todd_icmp_error v4{3, 1, 4, 0, {255, 255, 255, 255}, 0};
  EXPECT_EQ(sender_key(v4).view(), "255.255.255.255");
  todd_icmp_error v6{
      1, 0, 6, 0, {0x20, 0x01, 0x0d, 0xb8, 0x85, 0xa3, 0, 1, 0x8a, 0x2e, 0x8a, 0x2e, 3, 0x70, 0x73, 0x34}, 0};
  EXPECT_EQ(sender_key(v6).view(), "2001:db8:8..2e:370:7334");
  EXPECT_LE(sender_key(v6).view().size(), 23u);
}

TEST(WireTest, HopsAreWhatTheNextUsualTtlLacks) {
  const std::pair<int, int> all[] = {{64, 0},  {63, 1},  {33, 31},   {32, 0}, {1, 31},
                                     {65, 63}, {128, 0}, {129, 126}, {255, 0}};
  for (const auto& [ttl, hops] : all) EXPECT_EQ(estimated_hops(static_cast<uint8_t>(ttl)), hops) << ttl;
}

TEST(WireTest, EveryTypeAndCodeHasAName) {
  for (int family : {4, 6}) {
    for (int type = 0; type < 256; ++type) {
      for (int code = 0; code < 256; ++code) {
        todd_icmp_error e{};
        e.type = static_cast<uint8_t>(type);
        e.code = static_cast<uint8_t>(code);
        e.family = static_cast<uint16_t>(family);
        ASSERT_GT(std::strlen(icmp_error_name(e)), 4u);
      }
    }
  }
}

}  // namespace
}  // namespace todd::ping
