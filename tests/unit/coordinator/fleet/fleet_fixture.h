#pragma once
// A coordinator's end of the link and agents' ends of it, over real TLS on loopback, all on one loop.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/fleet/link_server.h"
#include "engine/agent/identity.h"
#include "engine/agent/link.h"
#include "engine/base/clock.h"
#include "todd/v1/link.pb.h"

namespace todd::fleet {

// What the run state machine would hear.
struct HeardEvents final : run::TransportEvents {
  void on_ready(const std::string& agent, const v1::Ready& ready) override {
    log.push_back("ready " + agent + " " + ready.task());
    endpoints += ready.endpoints_size();
  }
  void on_failed(const std::string& agent, const v1::Failed& failed) override {
    log.push_back("failed " + agent + " " + failed.task() + " " + failed.reason());
  }
  void on_record(const std::string& agent, const v1::Record& record) override {
    records.push_back(agent + " " + record.task() + " " + std::to_string(record.seq()));
    if (transport != nullptr) offsets.push_back(transport->clock(agent).offset_ns);
    if (record.last()) ends[record.task()] = record.state() + ": " + record.detail();
  }
  void on_connected(const std::string& agent) override { log.push_back("connected " + agent); }
  void on_lost(const std::string& agent) override { log.push_back("lost " + agent); }
  size_t count(const std::string& line) const {
    return static_cast<size_t>(std::count(log.begin(), log.end(), line));
  }

  std::vector<std::string> log;
  std::vector<std::string> records;
  std::map<std::string, std::string> ends;    // by task: state and detail of its last record
  const run::Transport* transport = nullptr;  // what it says of the agent's clock as each record comes
  std::vector<int64_t> offsets;
  int endpoints = 0;
};

// The host's clock, wrong by a fixed amount.
struct SkewedClock final : Clock {
  int64_t wall_now_ns() const override {
    ++readings;
    return wall_ns() + (skew_ns -= setback_ns);
  }
  mutable int64_t skew_ns = 0;
  int64_t setback_ns = 0;  // at each reading it is set back by this
  mutable int readings = 0;
};

// An agent without a supervisor: it notes what it is asked.
struct TestAgent {
  TestAgent(io::Loop& loop, agent::Identity identity, agent::LinkOptions options = {}) {
    agent::Link::Events events;
    events.hello = [this](v1::AgentHello& hello) {
      hello.mutable_facts()->set_hostname("host-of-test");
      hello.mutable_facts()->set_engine("event");
      (*hello.mutable_facts()->mutable_labels())["site"] = "lab";
      for (const auto& [hash, json] : manifests) hello.add_testlets()->set_hash(hash);
      for (const std::string& task : spool.tasks()) hello.add_open_tasks(task);
    };
    events.manifest = [this](const std::string& hash) { return manifests[hash]; };
    events.prepare = [this](const v1::Task& task) {
      log.push_back("prepare " + task.id());
      last_task = task;
    };
    events.start = [this](const std::string& task, int64_t at) {
      log.push_back("start " + task);
      start_at_ns = at;
    };
    events.stop = [this](const std::string& task, bool cancel) {
      log.push_back((cancel ? "cancel " : "drain ") + task);
    };
    events.forget = [this](const std::string& task) { log.push_back("forget " + task); };
    events.rejected = [this](const Error& error) { rejected = error; };
    link = std::make_unique<agent::Link>(loop, std::move(identity), spool, clock, std::move(events), options);
  }
  void add_record(const std::string& task, uint64_t seq) {
    v1::Record record;
    record.set_task(task);
    record.set_seq(seq);
    spool.add(record);
    link->flush();
  }

  SkewedClock clock;
  agent::Spool spool;
  std::map<std::string, std::string> manifests;
  std::vector<std::string> log;
  v1::Task last_task;
  int64_t start_at_ns = 0;
  Error rejected{Errc::system, 0, ""};
  std::unique_ptr<agent::Link> link;
};

class FleetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_), nullptr);
    start_server();
  }
  void TearDown() override {
    server.reset();
    std::filesystem::remove_all(folder_);
  }

  std::string path(const std::string& name) const { return std::string(folder_) + "/" + name; }

  // Turns the loop until done; fails the test after ten seconds.
  void until(const std::function<bool()>& done, const char* what) {
    const int64_t deadline = monotonic_ns() + 10'000'000'000;
    while (!done()) {
      ASSERT_LT(monotonic_ns(), deadline) << "waiting for " << what;
      loop.turn(20'000'000);
    }
  }

  virtual LinkOptions options() const {
    LinkOptions made;
    made.port = port_;
    made.data_dir = path("coordinator");
    return made;
  }

  // Also a restart: everything is read from disk again, on the same port.
  void start_server() {
    server.reset();
    roster = std::make_unique<Roster>(path("coordinator/agents"));
    ASSERT_TRUE(roster->load());
    server = std::make_unique<LinkServer>(loop, options(), *roster);
    server->set_events(heard);
    heard.transport = server.get();
    const Status started = server->start();
    ASSERT_TRUE(started) << started.error().detail;
    port_ = server->port();
  }

  Result<agent::Identity> enrol_with(io::JoinToken token, const std::string& name) {
    Result<agent::Identity> joined = fail(Errc::timed_out, "no answer");
    bool done = false;
    const agent::Enrolment enrolment(loop,
                                     {.token = std::move(token), .name = name, .give_up_ns = 1'000'000'000},
                                     [&](Result<agent::Identity> result) {
                                       joined = std::move(result);
                                       done = true;
                                     });
    until([&] { return done; }, "enrolment");
    return joined;
  }

  io::JoinToken invite(int64_t ttl_ns = 600'000'000'000) {
    const auto text = server->invite({.ttl_ns = ttl_ns});
    EXPECT_TRUE(text);
    const auto token = io::parse_join_token(*text);
    EXPECT_TRUE(token);
    return *token;
  }

  agent::Identity enrol(const std::string& name) {
    auto joined = enrol_with(invite(), name);
    EXPECT_TRUE(joined) << joined.error().detail;
    return joined.value_or(agent::Identity{});
  }

  void connect(TestAgent& agent, const std::string& name) {
    const Status started = agent.link->start();
    ASSERT_TRUE(started) << started.error().detail;
    until([&] { return server->connected(name); }, "the agent to connect");
  }

  io::Loop loop;
  HeardEvents heard;
  std::unique_ptr<Roster> roster;
  std::unique_ptr<LinkServer> server;

 private:
  uint16_t port_ = 0;
  char folder_[32] = "/tmp/todd-fleet-XXXXXX";
};

}  // namespace todd::fleet
