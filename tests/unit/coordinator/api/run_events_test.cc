#include "coordinator/api/run_events.h"

#include <gtest/gtest.h>

#include "coordinator/api/problem.h"
#include "engine/base/clock.h"

namespace todd::api {
namespace {

struct FakeStream : EventStream {
  // As the server does with a client that reads nothing (HttpServer's stream_queue_bytes).
  bool send(std::string_view bytes) override {
    if (text.size() + bytes.size() > ServerOptions().stream_queue_bytes) cut = true;
    if (!cut) text += bytes;
    return !finished && !cut;
  }
  void finish() override { finished = true; }
  bool open() const override { return !finished; }
  void on_close(std::function<void()> callback) override { gone = std::move(callback); }
  std::string text;
  bool finished = false, cut = false;
  std::function<void()> gone;
};

struct FakeReply : Reply {
  void send(Response) override {}
  void send_pieces(Response, Pieces) override {}
  std::shared_ptr<EventStream> stream(Response r) override {
    head = std::move(r);
    return events;
  }
  bool open() const override { return true; }
  Response head;
  std::shared_ptr<FakeStream> events = std::make_shared<FakeStream>();
};

// Agents that are there and say nothing: a run ends only when it is cancelled.
struct SilentAgents : run::Transport {
  bool connected(const std::string&) const override { return true; }
  run::ClockQuality clock(const std::string&) const override { return {}; }
  void prepare(const std::string&, const v1::Task&) override {}
  void start(const std::string&, const std::string&, int64_t) override {}
  void stop(const std::string&, const std::string&, bool) override {}
  void ack(const std::string&, const std::string&, uint64_t) override {}
};

class RunEventsTest : public ::testing::Test {
 protected:
  static run::Request request(size_t edges = 1) {
    model::TestPlan plan;
    plan.label = plan.test.name = "t";
    plan.testlet.id = "ping";
    plan.testlet.source = true;
    plan.edges.resize(edges);
    for (size_t i = 0; i < edges; ++i) {
      plan.edges[i].source.agent = "a1";
      plan.edges[i].target_name = plan.edges[i].target.host =
          "198.18." + std::to_string(i / 250) + "." + std::to_string(i % 250);
    }
    run::Request request;
    request.suite = "s";
    request.plans = {plan};
    request.manifest_hashes = {{"ping", "x"}};
    request.agents.resize(1);
    request.agents[0].agent = "a1";
    return request;
  }
  std::string begin_run(size_t edges = 1) {
    const auto id = runs_.create(request(edges));
    EXPECT_TRUE(id) << id.error().detail;
    return id.value_or("");
  }
  void cancel(const std::string& id) {
    EXPECT_TRUE(runs_.cancel(id));
    const int64_t give_up = monotonic_ns() + 10'000'000'000;
    while ((*runs_.report(id))->state == model::RunState::running && monotonic_ns() < give_up) {
      loop_.turn(10'000'000);
    }
    loop_.turn(0);
  }

  io::Loop loop_;
  SilentAgents agents_;
  Clock clock_;
  run::Runs runs_{loop_, agents_, clock_, {.cancel_ns = 10'000'000}};
};

TEST_F(RunEventsTest, BeginsWithASnapshotAndEndsWithTheRun) {
  const auto id = begin_run();
  FakeReply reply;
  ASSERT_TRUE(send_run_events(loop_, runs_, id, reply));
  EXPECT_EQ(reply.head.content_type, "text/event-stream");
  const auto& text = reply.events->text;
  EXPECT_EQ(text.find("retry: 2000\n\nevent: snapshot\ndata: {"), 0u) << text;
  EXPECT_EQ(text.find("event: finished"), std::string::npos);
  cancel(id);
  EXPECT_NE(text.find("event: finished\ndata: {\"event\":\"run.finished\""), std::string::npos) << text;
  EXPECT_NE(text.find("\"state\":\"cancelled\""), std::string::npos) << text;
  EXPECT_TRUE(reply.events->finished);
}

TEST_F(RunEventsTest, ARunOfManyEdgesFitsAStream) {
  const auto id = begin_run(20'000);
  FakeReply reply;
  ASSERT_TRUE(send_run_events(loop_, runs_, id, reply));
  EXPECT_FALSE(reply.events->cut);
  EXPECT_NE(reply.events->text.find("\"edges\":20000,\"edges_done\":0"), std::string::npos)
      << reply.events->text;
  cancel(id);
  EXPECT_FALSE(reply.events->cut);
  EXPECT_TRUE(reply.events->finished);
  FakeReply later;
  ASSERT_TRUE(send_run_events(loop_, runs_, id, later));
  EXPECT_NE(later.events->text.find("event: finished\ndata: {"), std::string::npos) << later.events->text;
  EXPECT_FALSE(later.events->cut);
}

TEST_F(RunEventsTest, ARunThatHasEndedIsToldAtOnce) {
  const auto id = begin_run();
  cancel(id);
  FakeReply reply;
  ASSERT_TRUE(send_run_events(loop_, runs_, id, reply));
  EXPECT_NE(reply.events->text.find("event: finished"), std::string::npos);
  EXPECT_TRUE(reply.events->finished);
}

TEST_F(RunEventsTest, OnlyARunThatHasEndedCanBeRemoved) {
  const auto id = begin_run();
  const auto refused = runs_.remove(id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::exists);
  EXPECT_NE(refused.error().detail.find("todd runs cancel " + id), std::string::npos)
      << refused.error().detail;
  cancel(id);
  ASSERT_TRUE(runs_.remove(id));
  EXPECT_EQ(runs_.report(id).error().code, Errc::not_found);
  EXPECT_EQ(runs_.remove(id).error().code, Errc::not_found);
}

TEST_F(RunEventsTest, LetsGoOfEverythingWhenTheClientGoes) {
  const auto id = begin_run();
  std::weak_ptr<FakeStream> stream;
  {
    FakeReply reply;
    ASSERT_TRUE(send_run_events(loop_, runs_, id, reply));
    stream = reply.events;
    reply.events->gone();
  }
  loop_.turn(0);
  EXPECT_TRUE(stream.expired());
  cancel(id);
}

TEST_F(RunEventsTest, OneRunTooManyIsForLater) {
  run::Runs full(loop_, agents_, clock_, {.max_open = 0});
  const auto refused = full.create(request());
  ASSERT_FALSE(refused);
  EXPECT_EQ(problem(refused.error()).status, 503);
}

TEST_F(RunEventsTest, AnUnknownRunIsAnError) {
  FakeReply reply;
  const auto status = send_run_events(loop_, runs_, "nothing", reply);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::not_found);
}

}  // namespace
}  // namespace todd::api
