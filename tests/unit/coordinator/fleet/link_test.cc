#include "fleet_fixture.h"

#include "engine/io/channel.h"
#include "engine/io/frame.h"
#include "engine/io/pki.h"
#include "engine/manifest/manifest.h"

namespace todd::fleet {
namespace {
using LinkTest = FleetTest;

TEST_F(LinkTest, CarriesTasksThereAndAnswersBack) {
  TestAgent agent(loop, enrol("lab-1"));
  connect(agent, "lab-1");
  v1::Task task;
  task.set_id("t1");
  task.set_testlet("ping");
  server->prepare("lab-1", task);
  server->start("lab-1", "t1", 1000);
  server->stop("lab-1", "t1", true);
  until([&] { return agent.log.size() == 3; }, "three messages");
  EXPECT_EQ(agent.log, (std::vector<std::string>{"prepare t1", "start t1", "cancel t1"}));
  EXPECT_EQ(agent.last_task.testlet(), "ping");

  v1::Ready ready;
  ready.set_task("t1");
  agent.link->send(ready);
  v1::Failed failed;
  failed.set_task("t2");
  failed.set_reason("permission");
  agent.link->send(failed);
  until([&] { return heard.count("failed lab-1 t2 permission") == 1; }, "the failure");
  EXPECT_EQ(heard.log,
            (std::vector<std::string>{"connected lab-1", "ready lab-1 t1", "failed lab-1 t2 permission"}));
}

TEST_F(LinkTest, LongTasksAndAnswersTravelInParts) {
  constexpr int kTargets = 30'000;
  TestAgent agent(loop, enrol("lab-1"));
  connect(agent, "lab-1");
  v1::Task task;
  task.set_id("t1");
  task.set_testlet("ping");
  for (int i = 0; i < kTargets; ++i)
    task.add_targets()->set_host("host-with-a-rather-long-name-" + std::to_string(i) + ".branch.example");
  ASSERT_GT(task.ByteSizeLong(), io::kMaxFrame);
  server->prepare("lab-1", task);
  until([&] { return agent.log.size() == 1; }, "the task");
  EXPECT_EQ(agent.last_task.SerializeAsString(), task.SerializeAsString());

  v1::Ready ready;
  ready.set_task("t1");
  for (int i = 0; i < kTargets; ++i) ready.add_endpoints()->set_edge(static_cast<uint32_t>(i));
  agent.link->send(ready);
  until([&] { return heard.count("ready lab-1 t1") == 1; }, "the answer");
  EXPECT_EQ(heard.endpoints, kTargets);
}

TEST_F(LinkTest, AGreetingMayBeLong) {
  TestAgent agent(loop, enrol("lab-1"));
  for (int i = 0; i < 400; ++i) agent.add_record("task-" + std::string(60, 'x') + std::to_string(i), 1);
  connect(agent, "lab-1");
}

TEST_F(LinkTest, ATaskThatCannotTravelFailsAlone) {
  TestAgent agent(loop, enrol("lab-1"));
  connect(agent, "lab-1");
  v1::Task task;
  task.set_id("t1");
  task.add_params()->set_s(std::string(600'000, 'x'));
  server->prepare("lab-1", task);
  EXPECT_EQ(heard.count("failed lab-1 t1 local_resource"), 0u) << "must not be told from within prepare()";
  until([&] { return heard.count("failed lab-1 t1 local_resource") == 1; }, "the failure");
  EXPECT_TRUE(server->connected("lab-1"));
}

TEST_F(LinkTest, FactsAreKeptAcrossARestart) {
  {
    TestAgent agent(loop, enrol("lab-1"));
    connect(agent, "lab-1");
    EXPECT_EQ(server->details("lab-1")->engine, "event");
  }
  start_server();
  const auto agents = server->agents();
  ASSERT_EQ(agents.size(), 1u);
  EXPECT_EQ(agents[0].agent, "lab-1");
  EXPECT_EQ(agents[0].hostname, "host-of-test");
  EXPECT_EQ(agents[0].labels.at("site"), "lab");
  EXPECT_FALSE(agents[0].connected);
}

TEST_F(LinkTest, TestletsAreLearnedOnceAndKnownWhileTheAgentIsAway) {
  manifest::Manifest made;
  made.sdk = "test";
  manifest::Testlet testlet;
  testlet.id = "echo";
  testlet.version = "1.2";
  testlet.source = true;
  testlet.summary = "for tests";
  made.testlets.push_back(testlet);
  const std::string json = manifest::write_manifest(made);
  const auto parsed = manifest::parse_manifest(json);
  ASSERT_TRUE(parsed) << parsed.error().detail;
  const auto identity = enrol("lab-1");
  {
    TestAgent agent(loop, identity);
    agent.manifests[parsed->hash] = json;
    agent.manifests[std::string(64, 'a')] = json;  // a hash that is not the content's
    connect(agent, "lab-1");
    EXPECT_EQ(server->details("lab-1")->refused.size(), 1u);
  }
  start_server();
  ASSERT_EQ(server->testlets().size(), 1u);
  EXPECT_EQ(server->testlets().at("echo").version, "1.2");
  EXPECT_EQ(server->testlet_hashes().at("echo"), parsed->hash);
  ASSERT_TRUE(server->remove("lab-1"));
  EXPECT_TRUE(server->testlets().empty());
}

TEST_F(LinkTest, OtherProtocolsAreRefusedNamingBoth) {
  TestAgent agent(loop, enrol("lab-1"), {.protocol_min = 2, .protocol_max = 3});
  ASSERT_TRUE(agent.link->start());
  until([&] { return !agent.rejected.detail.empty(); }, "the refusal");
  EXPECT_EQ(agent.rejected.code, Errc::unsupported);
  EXPECT_NE(agent.rejected.detail.find("protocol 2 to 3"), std::string::npos) << agent.rejected.detail;
  EXPECT_NE(agent.rejected.detail.find("speaks 1"), std::string::npos) << agent.rejected.detail;
  EXPECT_FALSE(server->connected("lab-1"));
}

TEST_F(LinkTest, TheNewerOfTwoWithOneIdentityWins) {
  const auto identity = enrol("lab-1");
  TestAgent older(loop, identity);
  connect(older, "lab-1");
  TestAgent newer(loop, identity);
  ASSERT_TRUE(newer.link->start());
  until([&] { return !older.rejected.detail.empty() && server->connected("lab-1"); }, "the older to go");
  EXPECT_EQ(older.rejected.code, Errc::denied);
  EXPECT_TRUE(newer.link->up());
  EXPECT_FALSE(older.link->up());
  EXPECT_EQ(heard.log, (std::vector<std::string>{"connected lab-1", "lost lab-1", "connected lab-1"}));
}

TEST_F(LinkTest, RemovalCutsTheLinkAndKeepsItOut) {
  const auto identity = enrol("lab-1");
  TestAgent agent(loop, identity);
  connect(agent, "lab-1");
  ASSERT_TRUE(server->remove("lab-1"));
  EXPECT_EQ(heard.count("lost lab-1"), 1u);
  until([&] { return !agent.rejected.detail.empty(); }, "the goodbye");
  EXPECT_EQ(agent.rejected.code, Errc::denied);
  EXPECT_TRUE(server->agents().empty());

  TestAgent again(loop, identity);
  ASSERT_TRUE(again.link->start());
  until([&] { return !again.rejected.detail.empty(); }, "the refusal");
  EXPECT_NE(again.rejected.detail.find("not enrolled"), std::string::npos) << again.rejected.detail;
  EXPECT_EQ(heard.count("connected lab-1"), 1u);
}

TEST_F(LinkTest, TheAgentsClockIsEstimatedAndStartsAreConverted) {
  constexpr int64_t kSkew = 3'600'000'000'000;
  TestAgent agent(loop, enrol("lab-1"));
  agent.clock.skew_ns = kSkew;
  connect(agent, "lab-1");
  const run::ClockQuality clock = server->clock("lab-1");
  EXPECT_GT(clock.error_ns, 0);
  EXPECT_LT(clock.error_ns, 1'000'000'000);
  EXPECT_LE(std::abs(clock.offset_ns - kSkew), clock.error_ns);
  server->start("lab-1", "t", 5'000);
  until([&] { return agent.start_at_ns != 0; }, "the start");
  EXPECT_NEAR(static_cast<double>(agent.start_at_ns - kSkew), 5'000.0, 1e9);
}

TEST_F(LinkTest, UnacknowledgedRecordsAreSentAgainAfterACut) {
  TestAgent agent(loop, enrol("lab-1"), {.first_delay_ns = 1'000'000, .longest_delay_ns = 10'000'000});
  connect(agent, "lab-1");
  for (uint64_t seq = 1; seq <= 3; ++seq) agent.add_record("t", seq);
  until([&] { return heard.records.size() == 3; }, "three records");
  server->ack("lab-1", "t", 1);
  until([&] { return agent.spool.records() == 2; }, "the acknowledgement to trim the spool");

  start_server();  // cuts the link
  until([&] { return heard.records.size() == 5; }, "the two again");
  EXPECT_EQ(heard.records,
            (std::vector<std::string>{"lab-1 t 1", "lab-1 t 2", "lab-1 t 3", "lab-1 t 2", "lab-1 t 3"}));
  server->ack("lab-1", "t", 3);
  until([&] { return agent.link->flushed(); }, "the last acknowledgement");
}

// The agent sends its spool as soon as it is greeted, before it has answered a ping. Taken with an offset of
// 0, the records of an agent whose clock is ahead would be stamped ahead, and everything after them pinned
// there.
TEST_F(LinkTest, RecordsWaitUntilTheClockIsKnown) {
  constexpr int64_t kSkew = 3'600'000'000'000;
  TestAgent agent(loop, enrol("lab-1"), {.first_delay_ns = 1'000'000, .longest_delay_ns = 10'000'000});
  agent.clock.skew_ns = kSkew;
  for (uint64_t seq = 1; seq <= 3; ++seq) agent.add_record("t", seq);
  v1::Failed failed;
  failed.set_task("t");
  failed.set_reason("local_resource");
  agent.link->send(failed);
  connect(agent, "lab-1");
  until([&] { return heard.records.size() == 3; }, "three records");
  start_server();  // knows nothing of the clock any more
  until([&] { return heard.records.size() == 6; }, "the three again");
  for (const int64_t offset : heard.offsets) EXPECT_NEAR(static_cast<double>(offset - kSkew), 0, 1e9);
  EXPECT_EQ(heard.count("failed lab-1 t local_resource"), 1u);
}

TEST_F(LinkTest, WhatIsMadeWhileTheLinkIsAwayComesLater) {
  TestAgent agent(loop, enrol("lab-1"), {.first_delay_ns = 1'000'000, .longest_delay_ns = 10'000'000});
  agent.add_record("t", 1);
  v1::Failed failed;
  failed.set_task("t2");
  failed.set_reason("permission");
  agent.link->send(failed);
  connect(agent, "lab-1");
  until([&] { return heard.records.size() == 1 && heard.count("failed lab-1 t2 permission") == 1; }, "both");
}

TEST_F(LinkTest, TasksNobodyWaitsForAreForgotten) {
  TestAgent agent(loop, enrol("lab-1"));
  server->set_wanted([](const std::string&, const std::string& task) { return task == "wanted"; });
  agent.add_record("old", 1);
  agent.add_record("wanted", 1);
  connect(agent, "lab-1");
  until([&] { return heard.records.size() == 1; }, "the wanted record");
  EXPECT_EQ(agent.log, std::vector<std::string>{"forget old"});
  EXPECT_EQ(heard.records, std::vector<std::string>{"lab-1 wanted 1"});
  EXPECT_EQ(agent.spool.tasks(), std::vector<std::string>{"wanted"});
}

// A peer with an identity of ours that sends what it likes.
struct RawPeer {
  RawPeer(io::Loop& loop, const agent::Identity& identity, uint16_t port) {
    auto tls = io::make_tls_client({.certificate_pem = identity.certificate_pem,
                                    .key_pem = identity.key_pem,
                                    .ca_pem = identity.ca_pem});
    EXPECT_TRUE(tls);
    io::Channel::Events events;
    events.on_open = [this] { open = true; };
    events.on_data = [](std::string_view bytes) { return bytes.size(); };
    events.on_close = [this](const Error&) { closed = true; };
    channel = io::connect_tcp(loop, "127.0.0.1", port, *tls, std::move(events));
  }
  void hello(const std::string& agent_id) {
    v1::FromAgent message;
    message.mutable_hello()->set_agent_id(agent_id);
    message.mutable_hello()->set_protocol_min(1);
    message.mutable_hello()->set_protocol_max(1);
    std::string frame;
    io::append_frame(frame, message.SerializeAsString());
    channel->send(frame);
  }
  bool open = false;
  bool closed = false;
  io::ChannelPtr channel;
};

TEST_F(LinkTest, AMalformedFrameEndsOnlyItsLink) {
  TestAgent bystander(loop, enrol("lab-1"));
  connect(bystander, "lab-1");
  const auto identity = enrol("lab-2");
  for (const std::string& poison :
       {std::string("\xff\xff\xff\xff\xff\xff", 6), std::string("\x03\xff\xff\xff", 4),
        std::string("\x81\x80\x40", 3) /* one byte above 1 MiB */}) {
    for (const bool greeted : {false, true}) {
      RawPeer peer(loop, identity, server->port());
      until([&] { return peer.open; }, "TLS");
      if (greeted) peer.hello(identity.agent_id);
      peer.channel->send(poison);
      until([&] { return peer.closed; }, "the link to end");
    }
  }
  EXPECT_TRUE(server->connected("lab-1"));
  EXPECT_EQ(heard.count("lost lab-1"), 0u);
}

TEST_F(LinkTest, AHelloMustBeOfTheCertificatesAgent) {
  const auto one = enrol("lab-1");
  const auto two = enrol("lab-2");
  RawPeer peer(loop, one, server->port());
  until([&] { return peer.open; }, "TLS");
  peer.hello(two.agent_id);
  until([&] { return peer.closed; }, "the link to end");
  EXPECT_FALSE(server->connected("lab-2"));
}

TEST_F(LinkTest, WithoutACertificateOnlyEnrolmentIsHeard) {
  const auto identity = enrol("lab-1");
  RawPeer peer(loop, {.ca_pem = identity.ca_pem}, server->port());
  until([&] { return peer.open; }, "TLS");
  peer.hello(identity.agent_id);
  until([&] { return peer.closed; }, "the link to end");
  EXPECT_FALSE(server->connected("lab-1"));
}

TEST_F(LinkTest, ACertificateOfAnotherCaIsNotLetIn) {
  const auto identity = enrol("lab-1");
  const auto other_ca = io::make_ca("other", 1);
  agent::Identity forged = identity;
  forged.key_pem = io::make_key().value();
  forged.certificate_pem = io::sign_csr(*other_ca, io::make_csr(forged.key_pem, "x").value(),
                                        {.common_name = identity.agent_id, .days = 1})
                               .value();
  RawPeer peer(loop, forged, server->port());
  until([&] { return peer.closed; }, "the link to end");
  EXPECT_FALSE(server->connected("lab-1"));
}

class ImpatientTest : public FleetTest {
 protected:
  LinkOptions options() const override {
    LinkOptions made = FleetTest::options();
    made.ping_ns = 20'000'000;
    made.hello_ns = 500'000'000;
    return made;
  }
};

TEST_F(ImpatientTest, APeerThatStopsAnsweringIsLost) {
  const auto identity = enrol("lab-1");
  RawPeer mute(loop, identity, server->port());  // reads, never answers a ping
  until([&] { return mute.open; }, "TLS");
  mute.hello(identity.agent_id);
  until([&] { return mute.closed; }, "the link to end");
}

TEST_F(ImpatientTest, APeerThatAnswersStays) {
  TestAgent agent(loop, enrol("lab-1"));
  connect(agent, "lab-1");
  const int64_t end = monotonic_ns() + 200'000'000;  // ten keep-alives
  until([&] { return monotonic_ns() > end; }, "ten keep-alives");
  EXPECT_EQ(heard.count("lost lab-1"), 0u);
}

// Its clock is set back within each exchange: the estimate starts over, and is none.
TEST_F(ImpatientTest, RecordsWaitWhileTheClockEstimateStartsOver) {
  constexpr int64_t kSkew = 3'600'000'000'000;
  TestAgent agent(loop, enrol("lab-1"));
  agent.clock.skew_ns = kSkew;
  connect(agent, "lab-1");
  agent.clock.setback_ns = 1'000'000;
  int seen = agent.clock.readings;
  until([&] { return agent.clock.readings >= seen + 6; }, "an impossible exchange");
  agent.add_record("t", 1);
  seen = agent.clock.readings;
  until([&] { return agent.clock.readings >= seen + 6; }, "two more, behind the record");
  EXPECT_TRUE(heard.records.empty());
  EXPECT_NEAR(static_cast<double>(server->clock("lab-1").offset_ns - kSkew), 0, 1e9) << "the last known";
  agent.clock.setback_ns = 0;
  until([&] { return heard.records.size() == 1; }, "the record");
  EXPECT_NEAR(static_cast<double>(heard.offsets.at(0) - kSkew), 0, 1e9);
}

TEST_F(ImpatientTest, APeerThatSaysNothingIsCut) {
  const auto identity = enrol("lab-1");
  RawPeer mute(loop, identity, server->port());
  until([&] { return mute.open; }, "TLS");
  until([&] { return mute.closed; }, "the link to end");
}

TEST_F(LinkTest, ACoordinatorThatFallsSilentIsLeft) {
  const auto identity = enrol("lab-1");
  TestAgent agent(loop, identity,
                  {.first_delay_ns = 1'000'000, .longest_delay_ns = 1'000'000, .silence_ns = 300'000'000});
  connect(agent, "lab-1");  // pings every 5 s: to this agent that is silence
  until([&] { return heard.count("connected lab-1") == 2; }, "the agent to dial again");
}

TEST_F(LinkTest, GoodbyeOfAStoppingCoordinatorIsNoRejection) {
  TestAgent agent(loop, enrol("lab-1"), {.first_delay_ns = 1'000'000, .longest_delay_ns = 10'000'000});
  connect(agent, "lab-1");
  server->stop();
  until([&] { return !agent.link->up() && heard.count("lost lab-1") == 1; }, "the link to go");
  start_server();
  until([&] { return server->connected("lab-1"); }, "the agent to come back");
  EXPECT_EQ(agent.rejected.detail, "");
}
}  // namespace
}  // namespace todd::fleet
