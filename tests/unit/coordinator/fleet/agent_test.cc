// The whole agent, with its worker, at the coordinator's end of the link.
#include "engine/agent/agent.h"

#include "engine/manifest/params.h"
#include "engine/manifest/scan.h"
#include "fleet_fixture.h"

namespace todd::fleet {
namespace {
using AgentTest = FleetTest;

const std::string kTestlets = TODD_BINARY_DIR "/lib/todd/testlets";

// A task of UDP echo's responder: it needs no privilege.
v1::Task echo_responder(const std::string& id) {
  v1::Task task;
  task.set_id(id);
  task.set_testlet("ping");
  task.set_role(v1::RESPONDER);
  task.mutable_schedule()->set_period_ns(100'000'000);
  for (const auto& file : manifest::scan_folders({kTestlets})) {
    const auto* testlet = file.manifest.testlet("ping");
    if (testlet == nullptr) continue;
    const auto values = manifest::resolve_params(testlet->params, {{"mode", "udp"}});
    EXPECT_TRUE(values) << values.error().detail;
    for (const auto& value : *values) {
      auto& out = *task.add_params();
      out.set_given(value.given);
      if (value.type == manifest::ParamType::text)
        out.set_s(value.s);
      else if (value.type == manifest::ParamType::real || value.type == manifest::ParamType::ratio)
        out.set_r(value.r);
      else
        out.set_i(value.i);
    }
  }
  return task;
}

// Whoever asks for the testlets of the fleet learns why one is not started.
TEST_F(AgentTest, AQuarantineIsToldAtOnce) {
  const std::string folder = TODD_BINARY_DIR "/tests/testlets";
  const Clock clock;
  agent::Agent agent(loop, clock, {.data_dir = path("agent"), .name = "lab-1", .testlet_folders = {folder}},
                     enrol("lab-1"), [](Status) {});
  ASSERT_TRUE(agent.start());
  until([&] { return server->connected("lab-1"); }, "the agent to connect");
  v1::Task task;
  task.set_testlet("crasher");
  task.set_role(v1::RESPONDER);
  task.add_params()->set_i(1);  // when: create
  for (const std::string id : {"t1", "t2", "t3"}) {
    task.set_id(id);
    server->prepare("lab-1", task);
    until([&] { return heard.count("failed lab-1 " + id + " testlet_crashed") == 1; }, "the crash");
  }
  until([&] { return server->details("lab-1")->refused.size() == 1; }, "the quarantine");
  EXPECT_NE(server->details("lab-1")->refused[0].error.find("crasher crashed 3 times"), std::string::npos);
  EXPECT_EQ(server->details("lab-1")->refused[0].path, folder + "/crasher.so");
  task.set_id("t4");
  server->prepare("lab-1", task);
  until([&] { return heard.count("failed lab-1 t4 quarantined") == 1; }, "the refusal");
}

// The worker may say hello between the agent's own hello and the coordinator's answer to it.
TEST_F(AgentTest, TheEngineIsToldBeforeAnyTask) {
  const Clock clock;
  agent::Agent agent(loop, clock,
                     {.data_dir = path("agent"), .name = "lab-1", .testlet_folders = {kTestlets}},
                     enrol("lab-1"), [](Status) {});
  ASSERT_TRUE(agent.start());
  until([&] { return server->connected("lab-1"); }, "the agent to connect");
  until([&] { return !server->details("lab-1")->engine.empty(); }, "the engine");
}

// A coordinator that lost its link asks again for what it cannot know was answered; the answer must not be
// lost with the link.
TEST_F(AgentTest, ARepeatedPrepareGetsTheFirstAnswer) {
  const Clock clock;
  agent::Agent agent(loop, clock,
                     {.data_dir = path("agent"), .name = "lab-1", .testlet_folders = {kTestlets}},
                     enrol("lab-1"), [](Status) {});
  const Status started = agent.start();
  ASSERT_TRUE(started) << started.error().detail;
  until([&] { return server->connected("lab-1"); }, "the agent to connect");
  server->prepare("lab-1", echo_responder("t1"));
  until([&] { return heard.count("ready lab-1 t1") == 1; }, "the first answer");
  server->prepare("lab-1", echo_responder("t1"));
  until([&] { return heard.count("ready lab-1 t1") == 2; }, "the same answer");
  start_server();
  until([&] { return server->connected("lab-1"); }, "the agent to come back");
  server->prepare("lab-1", echo_responder("t1"));
  until([&] { return heard.count("ready lab-1 t1") == 3; }, "the same answer over another link");
  EXPECT_EQ(heard.count("failed lab-1 t1 local_resource"), 0u);
  agent.shut_down();
  until([&] { return !heard.records.empty(); }, "the last record");
}

// An agent that was started anew: whoever waits for the task's records would wait in vain until the deadline.
TEST_F(AgentTest, ATaskItDoesNotHaveIsToldLost) {
  const Clock clock;
  agent::Agent agent(loop, clock,
                     {.data_dir = path("agent"), .name = "lab-1", .testlet_folders = {kTestlets}},
                     enrol("lab-1"), [](Status) {});
  ASSERT_TRUE(agent.start());
  until([&] { return server->connected("lab-1"); }, "the agent to connect");
  server->start("lab-1", "t1", clock.wall_now_ns());
  until([&] { return heard.count("failed lab-1 t1 agent_lost") == 1; }, "the refusal");
}

// A worker that is told to stop calls what it measured complete. Where nobody but the agent ended the test,
// that would pass a test that was cut off.
TEST_F(AgentTest, WhatItEndsByItselfIsNeverComplete) {
  const Clock clock;
  bool gone = false;
  agent::Agent agent(
      loop, clock, {.data_dir = path("agent"), .name = "lab-1", .testlet_folders = {kTestlets}},
      enrol("lab-1"), [&](Status) { gone = true; }, 1'000'000);
  ASSERT_TRUE(agent.start());
  until([&] { return server->connected("lab-1"); }, "the agent to connect");
  server->prepare("lab-1", echo_responder("t1"));
  until([&] { return heard.count("ready lab-1 t1") == 1; }, "the answer");
  start_server();  // the link is away for longer than the lease
  until([&] { return heard.ends.contains("t1"); }, "the last record");
  EXPECT_EQ(heard.ends["t1"], "cancelled: no coordinator for 1ms");
  until([&] { return server->connected("lab-1"); }, "the agent to come back");
  server->prepare("lab-1", echo_responder("t2"));
  until([&] { return heard.count("ready lab-1 t2") == 1; }, "the answer");
  agent.shut_down();
  until([&] { return heard.ends.contains("t2"); }, "the last record");
  EXPECT_EQ(heard.ends["t2"], "cancelled: the agent was stopped");
}

}  // namespace
}  // namespace todd::fleet
