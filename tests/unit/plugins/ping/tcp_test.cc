#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Script;
using test::TestletHost;
using test::World;
using testing::HasSubstr;

constexpr int64_t kMs = 1'000'000;
const todd_testlet& kPing = **todd_entry_v0.testlets;

struct Options : test::Options {
  Options() { params = {{"mode", "tcp"}}; }
};

struct TcpTest : testing::Test {
  World world;

  void run(TestletHost& host, uint32_t rounds) {
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t r = 0; r < rounds; ++r) host.ticket(0, r, world.now_ns + r * 10 * kMs);
    world.run_for(3000 * kMs);
    host.drain();
    world.run_for(10 * kMs);
  }
};

TEST_F(TcpTest, AHandshakeIsAProbeAndItsConnectionIsClosed) {
  Script server;
  server.connect_ns = 5 * kMs;
  Options o;
  o.connect = [&](uint32_t) { return &server; };
  TestletHost host(world, kPing, o);
  run(host, 3);
  EXPECT_EQ(host.operations.at(0).code, TODD_OP_CONNECT);
  EXPECT_EQ(host.operations.at(0).flags, TODD_OF_PROBE);
  EXPECT_NE(host.operations.at(0).at_ns, 0) << "so that its lateness is known";
  EXPECT_EQ(host.observed("rtt"), (std::vector<uint64_t>{5 * kMs, 5 * kMs, 5 * kMs}));
  EXPECT_EQ(host.open_streams(), 0u);
  EXPECT_TRUE(host.finished());
}

TEST_F(TcpTest, AFailedHandshakeIsNamed) {
  Script none;
  Options o;
  o.connect = [&](uint32_t) { return &none; };
  for (const auto& [error, name] : {std::pair{ECONNREFUSED, "refused"},
                                    {ECONNRESET, "reset"},
                                    {EHOSTUNREACH, "unreachable"},
                                    {ETIMEDOUT, "timeout"}}) {
    none.connect_result = -error;
    TestletHost host(world, kPing, o);
    run(host, 2);
    EXPECT_EQ(host.tally("connect_errors", name), 2u) << name;
    EXPECT_EQ(host.counter("loss_bursts"), 1u);
    EXPECT_TRUE(host.observed("rtt").empty());
  }
}

TEST_F(TcpTest, TheResponderOpensAPortAndClosesWhatComesIn) {
  Options o;
  o.role = TODD_RESPONDER;
  o.tokens = {7};
  TestletHost host(world, kPing, o);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  world.run_for(kMs);
  EXPECT_TRUE(host.ready());
  EXPECT_NE(host.published(), 0);
  Script client;
  host.dial(client);
  EXPECT_EQ(host.open_streams(), 1u);
  world.run_for(10 * kMs);
  EXPECT_EQ(host.open_streams(), 0u) << "idle visitors would use up the descriptors";
}

TEST_F(TcpTest, WhatDoesNotFitIsRefused) {
  Options portless;
  portless.targets[0].port = 0;
  TestletHost without_port(world, kPing, portless);
  EXPECT_EQ(without_port.start(), 0) << without_port.error_text;
  EXPECT_THAT(without_port.refused[0], HasSubstr("mode tcp needs a port, as in HOST:443"));
  Options sized;
  sized.params["payload"] = "zero";
  TestletHost with_payload(world, kPing, sized);
  EXPECT_LT(with_payload.check(), 0);
  EXPECT_THAT(with_payload.error_text, HasSubstr("payload: mode tcp sends no payload"));
}

}  // namespace
}  // namespace todd::ping
