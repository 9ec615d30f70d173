// The whole agent in this process, with its supervisor and a real worker beside this program.
#include "engine/agent/agent.h"

#include "fleet_fixture.h"

namespace todd::fleet {
namespace {
class AgentTest : public FleetTest {
 protected:
  agent::Config config() {
    agent::Config made;
    made.name = "lab-1";
    made.labels = {{"site", "lab"}};
    made.testlet_folders = {path("no-testlets")};
    made.engine = io::Backend::event;
    return made;
  }
  void start_agent(agent::Identity identity) {
    agent = std::make_unique<agent::Agent>(loop, clock, config(), std::move(identity), [this](Status status) {
      ended = true;
      result = std::move(status);
    });
    const Status started = agent->start();
    ASSERT_TRUE(started) << started.error().detail;
    until([&] { return server->connected("lab-1"); }, "the agent to connect");
  }
  static v1::Task task(const std::string& id) {
    v1::Task made;
    made.set_id(id);
    made.set_testlet("none-such");
    made.set_role(v1::SOURCE);
    made.add_targets()->set_host("127.0.0.1");
    return made;
  }

  Clock clock;
  std::unique_ptr<agent::Agent> agent;
  bool ended = false;
  Status result;
};

TEST_F(AgentTest, TellsItsFactsAndItsEngine) {
  start_agent(enrol("lab-1"));
  until([&] { return server->details("lab-1")->engine == "event"; }, "the worker's engine to be known");
  const auto details = server->details("lab-1");
  EXPECT_EQ(details->facts.labels.at("site"), "lab");
  EXPECT_FALSE(details->facts.test_addresses.empty());
}

TEST_F(AgentTest, AnswersEveryTask) {
  start_agent(enrol("lab-1"));
  server->prepare("lab-1", task("t1"));
  v1::Task broken = task("t2");
  broken.set_role(v1::ROLE_UNSET);
  server->prepare("lab-1", broken);
  until([&] { return heard.log.size() == 3; }, "two answers");
  EXPECT_EQ(heard.count("failed lab-1 t1 no_testlet"), 1u) << ::testing::PrintToString(heard.log);
  EXPECT_EQ(heard.count("failed lab-1 t2 bad_param"), 1u) << ::testing::PrintToString(heard.log);
}

TEST_F(AgentTest, EndsCleanlyWhenToldTo) {
  start_agent(enrol("lab-1"));
  agent->shut_down();
  until([&] { return ended; }, "the end");
  EXPECT_TRUE(result);
}

TEST_F(AgentTest, EndsWithTheReasonWhenTakenOut) {
  start_agent(enrol("lab-1"));
  ASSERT_TRUE(server->remove("lab-1"));
  until([&] { return ended; }, "the end");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::denied);
}
}  // namespace
}  // namespace todd::fleet
