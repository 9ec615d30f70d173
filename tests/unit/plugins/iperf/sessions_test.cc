// Whole tests over TCP, the source against the responder.

#include <gtest/gtest.h>

#include <algorithm>

#include "plugins/iperf/messages.h"
#include "plugins/iperf/protocol.h"
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
constexpr uint32_t kPeer = 1;  // of the responder's edges
const todd_testlet& kIperf = **todd_entry_v0.testlets;

struct SessionsTest : testing::Test {
  World world;
  Options r, o;
  std::unique_ptr<TestletHost> responder, source;

  SessionsTest() {
    r.role = TODD_RESPONDER;
    r.tokens = {1, kToken};
    o.targets[0].peer_token = kToken;
    o.timeout_ns = r.timeout_ns = 4 * kS;
    r.bits_per_s = o.bits_per_s = 100e6;
    r.max_piece = o.max_piece = 50'000;
    r.slots = o.slots = 256;
  }
  void set(const char* name, const char* value) { o.params[name] = r.params[name] = value; }
  void prepare(int64_t duration) {
    responder = std::make_unique<TestletHost>(world, kIperf, r);
    ASSERT_EQ(responder->start(), 0) << responder->error_text;
    world.run_for(kMs);
    ASSERT_TRUE(responder->ready());
    ASSERT_NE(responder->published(), 0);
    o.targets[0].peer = responder.get();
    o.duration_ns = duration;
    source = std::make_unique<TestletHost>(world, kIperf, o);
    ASSERT_EQ(source->start(), 0) << source->error_text;
    source->begin(duration + o.timeout_ns);
    responder->begin();
  }
  void go(int64_t duration = 2 * kS) {
    prepare(duration);
    world.run_for(duration + 6 * kS);
  }
  void expect_clean_end() {
    EXPECT_TRUE(source->finished());
    EXPECT_EQ(source->open_streams(), 0u);
    EXPECT_EQ(responder->open_streams(), 0u);
    EXPECT_TRUE(source->notes.empty()) << source->notes[0];
    EXPECT_TRUE(responder->notes.empty()) << responder->notes[0];
    responder->drain();
    world.run_for(kMs);
    EXPECT_TRUE(responder->finished());
  }
  double rate(const TestletHost& h, const std::string& bytes, const std::string& time, uint32_t edge = 0) {
    return static_cast<double>(h.counter(bytes, edge)) * 8e3 / static_cast<double>(h.counter(time, edge));
  }
};

TEST_F(SessionsTest, EachEndRecordsItsSide) {
  go();
  EXPECT_NEAR(rate(*source, "sent_bytes", "sent_time"), 100, 3);
  EXPECT_NEAR(rate(*responder, "bytes", "received_time", kPeer), 100, 3);
  EXPECT_EQ(source->counter("bytes"), 0u);  // the responder knows the edge and records it itself
  EXPECT_EQ(source->counter("sent_bytes"), responder->counter("bytes", kPeer) + source->counter("undelivered_at_end"));
  EXPECT_EQ(source->counter("retransmits"), 3u);
  EXPECT_EQ(source->gauge("tcp_rtt"), 250e3);
  EXPECT_GE(source->gauge("peer_cpu"), 0);
  expect_clean_end();
}

TEST_F(SessionsTest, AStandAloneResponderTellsWhatItSaw) {
  r.tokens.clear();
  set("streams", "4");
  go();
  EXPECT_GT(source->counter("bytes"), 24'000'000u);
  EXPECT_EQ(source->counter("sent_bytes"), source->counter("bytes") + source->counter("undelivered_at_end"));
  EXPECT_NEAR(rate(*source, "bytes", "received_time"), 100, 3);
  EXPECT_NEAR(source->gauge("fairness"), 1, 0.01);
  EXPECT_EQ(responder->counter("bytes", TODD_NONE), 0u);
  expect_clean_end();
}

TEST_F(SessionsTest, OnTheWayBackTheSourceReceives) {
  set("reverse", "true");
  set("streams", "3");
  go();
  EXPECT_GT(source->counter("bytes"), 24'000'000u);
  EXPECT_EQ(responder->counter("sent_bytes", kPeer), source->counter("bytes") + source->counter("undelivered_at_end"));
  EXPECT_NEAR(rate(*source, "bytes", "received_time"), 100, 3);
  EXPECT_EQ(source->counter("sent_bytes"), 0u);
  EXPECT_EQ(responder->counter("retransmits", kPeer), 9u);
  expect_clean_end();
}

TEST_F(SessionsTest, BothWaysAtOnceAreToldApart) {
  for (const bool agents : {true, false}) {
    if (!agents) r.tokens.clear();
    r.bits_per_s = 50e6;
    set("bidir", "true");
    set("streams", "2");
    go();
    const TestletHost& far = agents ? *responder : *source;
    const uint32_t edge = agents ? kPeer : 0;
    EXPECT_NEAR(rate(*source, "sent_bytes", "sent_time"), 100, 3);
    EXPECT_NEAR(rate(far, "bytes", "received_time", edge), 100, 3);
    EXPECT_NEAR(rate(*source, "reverse_bytes", "reverse_received_time"), 50, 2);
    EXPECT_NEAR(rate(far, "reverse_sent_bytes", "reverse_sent_time", edge), 50, 2);
    EXPECT_EQ(far.counter("reverse_sent_bytes", edge),
              source->counter("reverse_bytes") + source->counter("reverse_undelivered_at_end"));
    expect_clean_end();
  }
}

TEST_F(SessionsTest, ABitrateIsOfTheEdgeAndKeptWhenLow) {
  set("streams", "2");
  set("bitrate", "8M");
  go();
  EXPECT_NEAR(rate(*source, "sent_bytes", "sent_time"), 8, 0.2);
  expect_clean_end();
  set("bitrate", "100k");
  go();
  EXPECT_NEAR(rate(*source, "sent_bytes", "sent_time"), 0.1, 0.005);
  expect_clean_end();
}

TEST_F(SessionsTest, WhatIsOmittedDoesNotCount) {
  set("omit", "1s");
  set("bitrate", "8M");
  for (const char* reverse : {"false", "true"}) {
    set("reverse", reverse);
    go();
    const bool back = *reverse == 't';
    EXPECT_NEAR(static_cast<double>((back ? *source : *responder).counter("bytes", back ? 0 : kPeer)), 2e6, 5e4);
    EXPECT_NEAR(static_cast<double>((back ? *responder : *source).counter("sent_time", back ? kPeer : 0)), 2e9, 5e7);
    EXPECT_EQ((back ? *responder : *source).counter("retransmits", back ? kPeer : 0), 0u);  // all before
    expect_clean_end();
  }
}

TEST_F(SessionsTest, SoManyBytesAndNoMore) {
  set("streams", "3");
  set("bytes", "1000001");
  go(10 * kS);
  EXPECT_EQ(source->counter("sent_bytes"), 1'000'001u);
  EXPECT_EQ(responder->counter("bytes", kPeer) + source->counter("undelivered_at_end"), 1'000'001u);
  expect_clean_end();
  set("reverse", "true");
  go(10 * kS);
  EXPECT_GE(source->counter("bytes"), 1'000'001u);
  EXPECT_LT(source->counter("received_time"), static_cast<uint64_t>(kS));
  expect_clean_end();
}

// 4 MB that the sender's system has taken need 3.4 s more on this path: they are under way, not lost.
TEST_F(SessionsTest, WhatIsUnderWayAtTheEndIsToldAsSuch) {
  o.bits_per_s = 10e6;
  o.socket_buffer = 1'000'000;
  go();
  EXPECT_EQ(source->counter("sent_bytes"), responder->counter("bytes", kPeer) + source->counter("undelivered_at_end"));
  EXPECT_NEAR(rate(*responder, "bytes", "received_time", kPeer), 10, 0.5);
  expect_clean_end();
}

TEST_F(SessionsTest, WithTheSmallestBatchAndPieces) {
  o.cap_op = r.cap_op = 1;
  o.max_done = r.max_done = 1;
  o.slots = r.slots = 2;
  o.max_piece = r.max_piece = 13;
  set("bidir", "true");
  set("bitrate", "100k");
  set("streams", "3");
  go(500 * kMs);
  EXPECT_GT(responder->counter("bytes", kPeer), 4'000u);
  EXPECT_GT(source->counter("reverse_bytes"), 4'000u);
  expect_clean_end();
}

TEST_F(SessionsTest, SeveralClientsAtOnce) {
  r.tokens = {1, kToken, 3};
  prepare(2 * kS);
  Options third = o;
  third.targets[0].peer_token = 3;
  third.params["reverse"] = "true";
  TestletHost other(world, kIperf, third);
  ASSERT_EQ(other.start(), 0);
  other.begin(6 * kS);
  world.run_for(8 * kS);
  EXPECT_NEAR(rate(*responder, "bytes", "received_time", 1), 100, 5);
  EXPECT_NEAR(rate(other, "bytes", "received_time"), 100, 5);
  EXPECT_EQ(responder->counter("sent_bytes", 2), other.counter("bytes") + other.counter("undelivered_at_end"));
  EXPECT_TRUE(other.finished() && other.notes.empty());
  expect_clean_end();
}

TEST_F(SessionsTest, StrangersAreTurnedAwayInARunOfAgents) {
  o.targets[0].peer_token = 999;
  go();
  EXPECT_EQ(responder->counter("bytes", 0) + responder->counter("bytes", 1), 0u);
  EXPECT_EQ(source->tally("errors", "denied"), 1u);
  EXPECT_TRUE(source->finished());
}

TEST_F(SessionsTest, CancelAndDrainWhileItRuns) {
  for (const bool cancel : {true, false}) {
    prepare(100 * kS);
    world.run_for(500 * kMs);
    EXPECT_GT(source->counter("sent_bytes"), 1'000'000u);
    EXPECT_FALSE(source->finished());
    cancel ? source->cancel() : source->drain();
    world.run_for(cancel ? kMs : kS);
    EXPECT_TRUE(source->finished()) << cancel;
    EXPECT_TRUE(source->notes.empty());
    if (cancel) {
      world.run_for(6 * kS);  // until nothing is under way
      continue;
    }
    expect_clean_end();
    EXPECT_NEAR(rate(*responder, "bytes", "received_time", kPeer), 100, 5);
  }
}

TEST_F(SessionsTest, AResponderThatStopsIsNoResult) {
  prepare(10 * kS);
  world.run_for(500 * kMs);
  responder->drain();
  world.run_for(2 * kS);
  EXPECT_TRUE(source->finished());
  EXPECT_EQ(source->tally("errors", "terminated"), 1u) << source->notes.at(0);
  EXPECT_TRUE(responder->finished());
}

// A server that lets the test begin, and then dies or goes silent.
TEST_F(SessionsTest, AServerThatDiesWhileItRuns) {
  for (const bool silent : {true, false}) {
    int connections = 0;
    Script control, data;
    size_t got = 0;
    control.data = [&](Wire& w, std::string_view bytes) {
      const size_t before = got;
      got += bytes.size();
      if (before < kCookie && got >= kCookie) w.send(std::string(1, static_cast<char>(State::kParamExchange)), 0);
      if (before <= kCookie && got > kCookie) {
        w.send(std::string{static_cast<char>(State::kCreateStreams), static_cast<char>(State::kTestStart),
                           static_cast<char>(State::kTestRunning)},
               10 * kMs);
        if (!silent) w.reset(ECONNRESET, 500 * kMs);
      }
    };
    o.targets[0].peer = nullptr;
    o.connect = [&](uint32_t) { return connections++ == 0 ? &control : &data; };
    o.duration_ns = kS;
    TestletHost host(world, kIperf, o);
    ASSERT_EQ(host.start(), 0);
    host.begin(5 * kS);
    // Its go-ahead came before the data stream was there: nothing else woke the client until the end.
    world.run_for(300 * kMs);
    EXPECT_GT(host.counter("sent_bytes"), 1'000'000u);
    world.run_for(8 * kS);
    EXPECT_TRUE(host.finished());
    EXPECT_EQ(host.tally("errors", silent ? "timeout" : "reset"), 1u) << host.notes.at(0);
    if (!silent) EXPECT_NE(host.notes.at(0).find("before the test was over"), std::string::npos) << host.notes.at(0);
    EXPECT_GT(host.counter("sent_bytes"), 1'000'000u);
    EXPECT_EQ(host.open_streams(), 0u);
  }
}

}  // namespace
}  // namespace todd::iperf
