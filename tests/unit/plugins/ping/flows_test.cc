#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "plugins/ping/flows.h"
#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::Script;
using test::TestletHost;
using test::World;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kMs = 1'000'000;
const todd_testlet& kPing = **todd_entry_v0.testlets;

TEST(FlowPlanTest, PortsAndHowMany) {
  struct Case {
    uint32_t flows;
    const char* ports;
    uint32_t n;
    uint16_t first;
  };
  for (const Case& c :
       {Case{0, "", 1, 0}, Case{8, "", 8, 0}, Case{0, "40000", 1, 40000}, Case{4, "40000", 4, 40000},
        Case{0, "40000-40015", 16, 40000}, Case{4, "40000-40015", 4, 40000}, Case{0, "65535", 1, 65535}}) {
    const FlowPlan plan = plan_flows(c.flows, c.ports);
    EXPECT_EQ(plan.wrong, "") << c.ports;
    EXPECT_EQ(plan.flows, c.n) << c.ports;
    EXPECT_EQ(plan.first_port, c.first) << c.ports;
  }
  for (const char* ports : {"0", "x", "40000-", "-40000", "40001-40000", "65536", "1-2-3", "40000 "})
    EXPECT_THAT(plan_flows(0, ports).wrong, HasSubstr("is no port nor a range")) << ports;
  EXPECT_THAT(plan_flows(3, "40000-40001").wrong, HasSubstr("2 ports for 3 flows"));
  EXPECT_THAT(plan_flows(2, "65535").wrong, HasSubstr("1 ports for 2 flows"));
  EXPECT_THAT(plan_flows(0, "40000-40064").wrong, HasSubstr("at most 64"));
}

TEST(FlowTableTest, TheWorstAreThoseThatLoseTheGreatestPart) {
  FlowTable table(2, 4);
  for (uint32_t flow = 0; flow < 4; ++flow) {
    for (int i = 0; i < 10; ++i) table.sent(0, flow);
  }
  EXPECT_TRUE(table.worst(3).empty());
  table.lost(0, 2);
  table.lost(0, 1);
  table.lost(0, 1);
  const auto worst = table.worst(3);
  ASSERT_EQ(worst.size(), 2u);
  EXPECT_EQ(worst[0].flow, 1u);
  EXPECT_EQ(worst[0].sent, 12u);
  EXPECT_EQ(worst[0].lost, 2u);
  EXPECT_EQ(worst[1].flow, 2u);
  EXPECT_EQ(table.worst(1).size(), 1u);
  // All alike is no difference, however bad.
  for (uint32_t flow = 0; flow < 4; ++flow) table.lost(1, flow);
  EXPECT_EQ(table.worst(3).size(), 2u);
}

TEST(FlowTableTest, TheWorstOfTheLastTargetComesBeforeTheBestOfTheFirst) {
  FlowTable table(3, 2);
  for (uint32_t target = 0; target < 3; ++target) {
    for (int i = 0; i < 9; ++i) table.sent(target, 0), table.sent(target, 1);
    for (uint32_t lost = 0; lost <= target; ++lost) table.lost(target, 1);
  }
  const auto worst = table.worst(2);
  ASSERT_EQ(worst.size(), 2u);
  EXPECT_EQ(worst[0].target, 2u);
  EXPECT_EQ(worst[0].lost, 3u);
  EXPECT_EQ(worst[1].target, 1u);
}

struct FlowsTest : testing::Test {
  World world;
  test::Options options;

  void run(TestletHost& host, uint32_t rounds) {
    ASSERT_EQ(host.check(), 0) << host.error_text;
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t r = 0; r < rounds; ++r) host.ticket(0, r, world.now_ns + r * 10 * kMs);
    world.run_for(4000 * kMs);
    host.drain();
    world.run_for(10 * kMs);
    EXPECT_TRUE(host.finished());
  }
};

TEST_F(FlowsTest, TheRoundsRotateAndTheFlowThatLosesIsNamed) {
  options.params = {{"mode", "udp"}, {"flows", "3"}, {"source_port", "40000"}};
  options.targets[0].port = 7;
  options.answer = [](uint32_t, uint32_t round, std::string_view) {
    return round % 3 == 1 && round < 6 ? Answer{.result = -ETIMEDOUT} : Answer{};
  };
  TestletHost host(world, kPing, options);
  run(host, 12);
  std::vector<uint32_t> flows;
  for (size_t i = 0; i < 6; ++i) flows.push_back(host.operations[i].flow);
  EXPECT_THAT(flows, ElementsAre(0, 1, 2, 0, 1, 2));
  for (const char* port : {"40000", "40001", "40002"}) EXPECT_EQ(host.tally("flow_sent", port), 4u) << port;
  EXPECT_EQ(host.tally("flow_lost", "40001"), 2u);
  EXPECT_EQ(host.tally("flow_lost", "40000"), 0u);
  EXPECT_THAT(host.notes, ElementsAre("flow_loss: udp 192.0.2.100:40001 to 192.0.2.1:7: 2 of 4 lost"));
}

TEST_F(FlowsTest, ReportsOfTheResponderAreKeptApartByFlow) {
  test::Options at_responder;
  at_responder.role = TODD_RESPONDER;
  at_responder.params = {{"mode", "udp"}};
  TestletHost responder(world, kPing, at_responder);
  ASSERT_EQ(responder.start(), 0);
  options.params = {{"mode", "udp"}, {"flows", "4"}};
  options.targets[0].peer = &responder;
  options.slots = 64;
  options.datagram = [](uint64_t n, std::string_view) { return n % 4 == 2 && n < 40 ? -1 : 0; };
  TestletHost host(world, kPing, options);
  run(host, 60);
  EXPECT_EQ(host.counter("lost_forward"), 10u);
  EXPECT_EQ(host.counter("lost_back"), 0u);
  EXPECT_EQ(host.observed("rtt").size(), 50u);
}

TEST_F(FlowsTest, HandshakesGoFromTheGivenPorts) {
  Script server;
  options.params = {{"mode", "tcp"}, {"source_port", "40000-40001"}};
  options.connect = [&](uint32_t) { return &server; };
  TestletHost host(world, kPing, options);
  run(host, 6);
  EXPECT_EQ(host.tally("flow_sent", "40000"), 3u);
  EXPECT_EQ(host.tally("flow_sent", "40001"), 3u);
  EXPECT_EQ(host.operations.at(0).flow, 0u);
  EXPECT_TRUE(host.notes.empty());
}

TEST_F(FlowsTest, OneFlowHasNoTable) {
  options.params = {{"mode", "udp"}};
  TestletHost host(world, kPing, options);
  run(host, 3);
  EXPECT_EQ(host.tally("flow_sent", "7500"), 0u);
}

TEST_F(FlowsTest, WhatDoesNotFitIsRefused) {
  const std::pair<std::map<std::string, std::string>, const char*> all[] = {
      {{{"flows", "2"}}, "flows, source_port: belong to modes udp and tcp"},
      {{{"source_port", "4000"}}, "flows, source_port: belong to modes udp and tcp"},
      {{{"mode", "tcp"}, {"flows", "2"}}, "mode tcp needs source_port too"},
      {{{"mode", "udp"}, {"source_port", "5-4"}}, "is no port nor a range"},
  };
  for (const auto& [params, text] : all) {
    test::Options o;
    o.params = params;
    TestletHost host(world, kPing, o);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << text;
    EXPECT_THAT(host.error_text, HasSubstr(text));
  }
}

}  // namespace
}  // namespace todd::ping
