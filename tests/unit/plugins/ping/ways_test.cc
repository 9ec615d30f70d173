// What the responder reports, and what the source makes of it: on which way probes are lost, and how long
// each way takes.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <set>

#include "plugins/ping/block.h"
#include "plugins/ping/heard.h"
#include "plugins/ping/one_way.h"
#include "plugins/ping/split.h"
#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::TestletHost;
using test::World;

constexpr int64_t kMs = 1'000'000;
const todd_testlet& kPing = **todd_entry_v0.testlets;

BlockAnswer some_answer() {
  return {.of = {0x12345678, 77},
          .heard = {.latest = 80, .missing = 3, .window = 0xfedcba9876543210, .epoch = 0xabcd, .whole = true},
          .received_ns = 1'700'000'000'123'456'789,
          .processing_ns = 54321,
          .clock = 0xdeadbeef};
}

TEST(BlockTest, ComesBackAsItWasWritten) {
  EXPECT_EQ(read_request(write_request({1, 2})), (BlockRequest{1, 2}));
  EXPECT_EQ(read_answer(write_answer(some_answer())), some_answer());
  BlockAnswer part = some_answer();
  part.heard.whole = false;
  part.received_ns = -1;
  EXPECT_EQ(read_answer(write_answer(part)), part);
  // A request is no answer, so that an echo service is not taken for a responder, nor the other way about.
  EXPECT_FALSE(read_answer(write_request({1, 2})));
  EXPECT_FALSE(read_request(write_answer(some_answer())));
}

TEST(BlockTest, ADamagedBlockIsNone) {
  for (const Block& good : {write_request({1, 2}), write_answer(some_answer())}) {
    for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
      Block bad = good;
      bad[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
      EXPECT_FALSE(read_request(bad)) << bit;
      EXPECT_FALSE(read_answer(bad)) << bit;
    }
    EXPECT_FALSE(read_request({good.data(), good.size() - 1}));
    EXPECT_FALSE(read_answer({good.data(), good.size() - 1}));
  }
  EXPECT_FALSE(read_request({}));
}

TEST(HeardTest, CountsWhatIsMissing) {
  Heard heard(1);
  EXPECT_EQ(heard.take(5, 0).missing, 0u);
  EXPECT_EQ(heard.take(5, 3).missing, 2u);
  EXPECT_EQ(heard.take(5, 3).missing, 2u) << "a copy counts once";
  EXPECT_EQ(heard.take(5, 1).missing, 1u) << "a late one is not missing any more";
  EXPECT_EQ(heard.take(5, 1).missing, 1u);
  const auto report = heard.take(5, 4);
  EXPECT_EQ(report.latest, 4u);
  EXPECT_EQ(report.window, 0b11011u);
  EXPECT_TRUE(report.whole);
  EXPECT_EQ(heard.take(5, 200).missing, 196u);
  EXPECT_EQ(heard.take(5, 136).missing, 196u) << "too late to be told from a copy";
  EXPECT_EQ(heard.take(5, 137).missing, 195u);
}

TEST(HeardTest, AStreamThatBeginsLateCountsFromThere) {
  Heard heard(1);
  EXPECT_EQ(heard.take(1, 63).missing, 63u);
  EXPECT_TRUE(heard.take(1, 64).whole);
  EXPECT_EQ(heard.take(2, 64).missing, 0u);
  EXPECT_EQ(heard.take(2, 63).missing, 0u);
  EXPECT_FALSE(heard.take(2, 66).whole);
  EXPECT_EQ(heard.take(2, 66).missing, 1u);
}

TEST(HeardTest, ForgetsWhoIsNotHeardAndSaysSo) {
  Heard heard(1, 100);
  const uint16_t epoch = heard.take(0, 10).epoch;
  for (uint64_t stream = 1; stream <= 150; ++stream) heard.take(stream, 0);
  EXPECT_EQ(heard.take(0, 11).epoch, epoch);
  EXPECT_EQ(heard.take(0, 11).missing, 10u);
  for (uint64_t stream = 1000; stream <= 1300; ++stream) heard.take(stream, 0);
  EXPECT_NE(heard.take(0, 12).epoch, epoch);
}

// A responder and a network, of which the test decides what becomes of each probe.
struct SplitTest : testing::Test {
  LossSplit split{1, 42};
  Heard heard{7};
  uint32_t forward = 0, back = 0;

  void add(LossSplit::Change change) { forward += change.forward, back += change.back; }
  BlockAnswer hear(const BlockRequest& request) {
    return {.of = request, .heard = heard.take(request.stream, request.number)};
  }
  void round_trip(uint32_t round) { add(split.answered(0, hear(split.sent(0, round)))); }
};

TEST_F(SplitTest, ALossIsDecidedByTheNextReply) {
  round_trip(0);
  split.sent(0, 1);        // never arrives
  hear(split.sent(0, 2));  // arrives, its reply does not
  add(split.lost(0, 1));
  add(split.lost(0, 2));
  EXPECT_EQ(forward + back, 0u);
  round_trip(3);
  EXPECT_EQ(forward, 1u);
  EXPECT_EQ(back, 1u);
  split.sent(0, 4);
  add(split.lost(0, 4));
  EXPECT_EQ(forward + back, 2u) << "nobody can tell";
}

TEST_F(SplitTest, AProbeThatIsOnlyLateIsNotLost) {
  const BlockRequest late = split.sent(0, 0);
  split.sent(0, 1);
  round_trip(2);  // misses both
  add(split.lost(0, 1));
  EXPECT_EQ(forward, 1u);
  add(split.answered(0, hear(late)));
  round_trip(3);
  hear(split.sent(0, 4));
  round_trip(5);
  add(split.lost(0, 4));
  EXPECT_EQ(forward, 1u);
  EXPECT_EQ(back, 1u);
}

TEST_F(SplitTest, WhatWasNotSentIsNobodysLoss) {
  round_trip(0);
  split.sent(0, 1);
  split.unsent(0, 1);
  round_trip(2);
  hear(split.sent(0, 3));
  round_trip(4);
  add(split.lost(0, 3));
  EXPECT_EQ(forward, 0u);
  EXPECT_EQ(back, 1u);
  round_trip(7);  // two rounds were skipped
  hear(split.sent(0, 8));
  round_trip(9);
  add(split.lost(0, 8));
  EXPECT_EQ(forward, 0u);
  EXPECT_EQ(back, 2u);
}

TEST_F(SplitTest, AResponderThatForgotLeavesLossesUndecided) {
  for (uint32_t round = 0; round < 100; ++round) round_trip(round);
  heard = Heard(99);
  split.sent(0, 100);
  round_trip(101);
  add(split.lost(0, 100));
  EXPECT_EQ(forward + back, 0u);
  round_trip(102);
  split.sent(0, 103);
  round_trip(104);
  add(split.lost(0, 103));
  EXPECT_EQ(forward, 1u) << "and then it is known again";
}

// However probes and replies are lost, reordered and copied: after the timeout each loss that a later reply
// follows is on the right side.
TEST_F(SplitTest, AgreesWithTheTruth) {
  std::mt19937 random(3);
  const auto chance = [&](uint32_t percent) { return random() % 100 < percent; };
  for (const uint32_t lossy : {0u, 3u, 40u, 90u}) {
    SplitTest::forward = SplitTest::back = 0;
    LossSplit here(1, lossy);
    Heard there(lossy + 1);
    constexpr uint32_t kRounds = 20'000, kTimeout = 500;  // in rounds
    uint32_t lost_forward = 0, lost_back = 0;
    std::multimap<uint32_t, BlockRequest> arriving;
    std::multimap<uint32_t, BlockAnswer> returning;
    std::vector<char> answered(kRounds), arrived(kRounds);
    const auto settle = [&](LossSplit::Change change) { forward += change.forward, back += change.back; };
    for (uint32_t now = 0; now < kRounds + kTimeout; ++now) {
      if (now < kRounds) {
        const BlockRequest request = here.sent(0, now);
        const bool burst = now / 1000 % 4 == 1 && now % 1000 < 300;  // of loss on the way there
        if (!chance(lossy) && !burst) arriving.emplace(now + random() % 20, request);
        if (chance(2)) arriving.emplace(now + random() % 20, request);
      }
      for (; !arriving.empty() && arriving.begin()->first <= now; arriving.erase(arriving.begin())) {
        const BlockRequest request = arriving.begin()->second;
        arrived[request.number] = 1;
        const BlockAnswer answer{.of = request, .heard = there.take(request.stream, request.number)};
        if (!chance(lossy / 2)) returning.emplace(now + 1 + random() % 20, answer);
      }
      for (; !returning.empty() && returning.begin()->first <= now; returning.erase(returning.begin())) {
        answered[returning.begin()->second.of.number] = 1;
        settle(here.answered(0, returning.begin()->second));
      }
      if (now < kTimeout || answered[now - kTimeout] != 0) continue;
      settle(here.lost(0, now - kTimeout));
      (arrived[now - kTimeout] != 0 ? lost_back : lost_forward) += 1;
      ASSERT_LE(forward + back, lost_forward + lost_back);
    }
    EXPECT_NEAR(forward, lost_forward, 64);  // what follows the last reply
    EXPECT_NEAR(back, lost_back, 64);
    EXPECT_GT(lost_forward, 0u);
  }
}

TEST(OneWayTest, SplitsTheRoundTripByTheClocks) {
  PathClock clock{.offset_ns = 1000, .error_ns = 50};
  BlockAnswer answer;
  answer.received_ns = 5000 + 300 + 1000;  // 300 after departure, on a clock 1000 ahead
  answer.processing_ns = 20;
  auto delays = one_way_of(clock, answer, 5000, 5000 + 300 + 20 + 700);
  ASSERT_TRUE(delays);
  EXPECT_EQ(delays->forward_ns, 300);
  EXPECT_EQ(delays->back_ns, 700);
  EXPECT_EQ(clock.error_ns, 50);
  clock.told = true;
  // Arrived 400 before it left: the clock is wrong by that at least.
  answer.received_ns = 5000 - 400 + 1000;
  delays = one_way_of(clock, answer, 5000, 6020);
  EXPECT_EQ(delays->forward_ns, 0);
  EXPECT_EQ(delays->back_ns, 1000);
  EXPECT_EQ(clock.error_ns, 400);
  EXPECT_FALSE(clock.told);
  answer.received_ns = 5000 + 1000 + 1100 + 1000;  // the reply came 1100 before it was sent
  delays = one_way_of(clock, answer, 5000, 6020);
  EXPECT_EQ(delays->forward_ns, 1000);
  EXPECT_EQ(delays->back_ns, 0);
  EXPECT_EQ(clock.error_ns, 1100);
}

TEST(OneWayTest, SaysNothingWhereNothingIsKnown) {
  PathClock unknown;
  PathClock known{.offset_ns = 0, .error_ns = 0};
  BlockAnswer answer;
  answer.received_ns = 5100;
  EXPECT_FALSE(one_way_of(unknown, answer, 5000, 5200));
  EXPECT_TRUE(one_way_of(known, answer, 5000, 5200));
  answer.processing_ns = 300;
  EXPECT_FALSE(one_way_of(known, answer, 5000, 5200)) << "longer than the round trip";
  answer.processing_ns = UINT32_MAX;
  EXPECT_FALSE(one_way_of(known, answer, 5000, INT64_MAX / 2)) << "longer than can be told";
  answer.processing_ns = 0;
  for (const int64_t wild : {INT64_MIN, INT64_MAX, INT64_MIN + 5000}) {
    answer.received_ns = wild;
    known.offset_ns = -1;
    const auto delays = one_way_of(known, answer, 5000, 5200);
    if (delays) {
      EXPECT_EQ(delays->forward_ns + delays->back_ns, 200);
    }
  }
}

// The testlet at both ends.
struct WaysTest : testing::Test {
  World world;
  test::Options at_responder, at_source;
  std::unique_ptr<TestletHost> responder, source;

  WaysTest() {
    at_responder.role = TODD_RESPONDER;
    at_responder.params = at_source.params = {{"mode", "udp"}};
    at_responder.latency_ns = 7 * kMs;
    at_source.latency_ns = 3 * kMs;
    at_source.slots = 256;  // the virtual host keeps those of lost probes until the timeout
  }

  void run(uint32_t rounds) {
    responder = std::make_unique<TestletHost>(world, kPing, at_responder);
    ASSERT_EQ(responder->start(), 0) << responder->error_text;
    at_source.targets[0].peer = responder.get();
    source = std::make_unique<TestletHost>(world, kPing, at_source);
    ASSERT_EQ(source->check(), 0) << source->error_text;
    ASSERT_EQ(source->start(), 0) << source->error_text;
    source->begin();
    for (uint32_t r = 0; r < rounds; ++r) source->ticket(0, r, world.now_ns + r * 10 * kMs);
    world.run_for(5000 * kMs);
    source->drain();
    world.run_for(10 * kMs);
    EXPECT_TRUE(source->finished());
  }
};

TEST_F(WaysTest, HostsWithOneClockKnowEachWay) {
  run(10);
  const auto forward = source->observed("delay_forward"), back = source->observed("delay_back");
  ASSERT_EQ(forward.size(), 10u);
  for (const uint64_t ns : forward) EXPECT_NEAR(static_cast<double>(ns), 3 * kMs, 10'000);
  for (const uint64_t ns : back) EXPECT_NEAR(static_cast<double>(ns), 7 * kMs, 10'000);
  EXPECT_EQ(source->observed("processing").size(), 10u);
  EXPECT_EQ(source->gauge("clock_error"), 0);
  EXPECT_EQ(source->counter("corrupted"), 0u);
  EXPECT_EQ(source->counter("lost_forward") + source->counter("lost_back"), 0u);
}

TEST_F(WaysTest, LossesAreToldApart) {
  at_source.datagram = [](uint64_t n, std::string_view) { return n % 10 == 3 || n % 10 == 4 ? -1 : 0; };
  at_responder.datagram = [](uint64_t n, std::string_view) { return n % 8 == 2 ? -1 : 0; };
  run(101);  // the last one is answered
  EXPECT_EQ(source->counter("lost_forward"), 20u);
  EXPECT_EQ(source->counter("lost_back"), 10u);
}

TEST_F(WaysTest, SmallProbesAreEchoedAsTheyAre) {
  at_source.params["size"] = "55";
  run(5);
  EXPECT_EQ(source->observed("rtt").size(), 5u);
  EXPECT_TRUE(source->observed("delay_forward").empty());
  EXPECT_TRUE(source->observed("processing").empty());
  EXPECT_EQ(source->counter("corrupted"), 0u);
  at_source.params = {{"mode", "udp"}, {"one_way", "false"}};
  run(5);
  EXPECT_EQ(source->observed("rtt").size(), 5u);
  EXPECT_TRUE(source->observed("processing").empty());
}

TEST_F(WaysTest, AnEchoServiceIsRecognised) {
  at_source.answer = [](uint32_t, uint32_t round, std::string_view) {
    return round == 1 ? Answer{.result = -ETIMEDOUT} : Answer{};
  };
  source = std::make_unique<TestletHost>(world, kPing, at_source);
  ASSERT_EQ(source->start(), 0);
  source->begin();
  for (uint32_t r = 0; r < 4; ++r) source->ticket(0, r, world.now_ns + r * 10 * kMs);
  world.run_for(3000 * kMs);
  EXPECT_EQ(source->observed("rtt").size(), 3u);
  EXPECT_EQ(source->counter("corrupted"), 0u);
  EXPECT_TRUE(source->observed("processing").empty());
  EXPECT_EQ(source->counter("lost_forward") + source->counter("lost_back"), 0u);
}

TEST_F(WaysTest, DamageInTheBlockIsCorruption) {
  at_source.answer = [](uint32_t, uint32_t round, std::string_view) {
    return Answer{.edit = [round](std::string& m) { m[round == 0 ? 8 + 20 : 60] ^= 1; }};
  };
  at_source.params["size"] = "64";
  source = std::make_unique<TestletHost>(world, kPing, at_source);
  ASSERT_EQ(source->start(), 0);
  source->begin();
  for (uint32_t r = 0; r < 2; ++r) source->ticket(0, r, world.now_ns + r * 10 * kMs);
  world.run_for(3000 * kMs);
  EXPECT_EQ(source->counter("corrupted"), 2u);
  ASSERT_EQ(source->notes.size(), 2u);
  EXPECT_EQ(source->notes[0], "corrupted: the 48 bytes of the responder's report are none");
  EXPECT_NE(source->notes[1].find("corrupted: payload byte 60: "), std::string::npos);
}

// Another host's clock, as an answer of a foreign kernel has it: only what the coordinator knows of it helps.
TEST_F(WaysTest, AnotherHostsClockMustBeKnown) {
  for (const bool known : {false, true}) {
    Heard heard(1);
    at_source.wall_minus_host_ns = 1'000'000 * kMs;
    at_source.targets[0].clock_offset_ns = 40 * kMs;
    at_source.targets[0].clock_error_ns = known ? 2 * kMs : -1;
    at_source.answer = [&](uint32_t, uint32_t, std::string_view) {
      const int64_t there =
          world.now_ns + at_source.wall_minus_host_ns + 40 * kMs;  // the wall clock of the target
      return Answer{.delay_ns = 10 * kMs, .edit = [&heard, there](std::string& m) {
                      const auto* bytes = reinterpret_cast<const uint8_t*>(m.data()) + 8;
                      const auto request = read_request({bytes, kBlockBytes});
                      const Block block = write_answer({.of = *request,
                                                        .heard = heard.take(request->stream, request->number),
                                                        .received_ns = there + 4 * kMs,
                                                        .processing_ns = 1 * kMs,
                                                        .clock = clock_number() + 1});
                      std::memcpy(m.data() + 8, block.data(), block.size());
                    }};
    };
    TestletHost host(world, kPing, at_source);
    ASSERT_EQ(host.start(), 0);
    host.begin();
    for (uint32_t r = 0; r < 3; ++r) host.ticket(0, r, world.now_ns + r * 20 * kMs);
    world.run_for(1000 * kMs);
    EXPECT_EQ(host.observed("processing"), (std::vector<uint64_t>(3, kMs)));
    const size_t n = known ? 3 : 0;
    EXPECT_EQ(host.observed("delay_forward"), (std::vector<uint64_t>(n, 4 * kMs)));
    EXPECT_EQ(host.observed("delay_back"), (std::vector<uint64_t>(n, 5 * kMs)));
    EXPECT_EQ(host.gauge("clock_error"), known ? 2.0 * kMs : -1);
  }
}

}  // namespace
}  // namespace todd::ping
