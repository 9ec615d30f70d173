// The supervisor with the real worker and the real ping testlet, on loopback, on each back end.
#include "engine/supervise/supervisor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/base/clock.h"
#include "engine/io/reactor.h"
#include "engine/io/sockets.h"
#include "supervisor_fixture.h"
#include "todd/v1/task.pb.h"

namespace todd::supervise {
namespace {

class SupervisorTest : public SupervisorBooks, public testing::WithParamInterface<io::EngineChoice> {
 protected:
  void SetUp() override {
    const auto reactor = io::make_reactor(GetParam());
    if (!reactor && GetParam().backend == io::Backend::uring) GTEST_SKIP() << reactor.error().detail;
    ASSERT_TRUE(reactor) << reactor.error().detail;
    start({.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
           .testlet_folders = {TODD_BINARY_DIR "/lib/todd/testlets"},
           .engine = GetParam()});
  }
};

// What needs the right to send ICMP.
class SupervisorIcmpTest : public SupervisorTest {
 protected:
  void SetUp() override {
    if (const auto allowed = io::open_icmp(AF_INET); !allowed) GTEST_SKIP() << allowed.error().detail;
    SupervisorTest::SetUp();
  }
};

bool has_ipv6_loopback() {
  return bool(io::open_socket(
      {.kind = io::SocketRequest::udp, .family = AF_INET6, .bind_to = *io::parse_address("::1", 0)}));
}

TEST_P(SupervisorIcmpTest, PingsLoopbackAndCountsExactly) {
  auto& book = run(ping("t", {"127.0.0.1", "127.0.0.3", "127.0.0.2"}, 20, 5'000'000));
  ASSERT_TRUE(book.last) << book.reason << ": " << book.detail;
  EXPECT_EQ(book.state, "complete");
  for (uint32_t edge = 0; edge < 3; ++edge) {
    EXPECT_EQ(book.counters[edge][kPlanned], 20u) << edge;
    EXPECT_EQ(book.counters[edge][kSent], 20u) << edge;
    EXPECT_EQ(book.counters[edge][kReceived], 20u) << edge;
    EXPECT_EQ(book.counters[edge][kLost], 0u) << edge;
  }
  EXPECT_EQ(book.rtts, 60u);
  EXPECT_LT(book.rtt_max, 300'000'000u);
  EXPECT_GT(book.seq, 1u) << "100 ms in periods of 50 ms";
}

TEST_P(SupervisorIcmpTest, PingsBothFamiliesInOneTask) {
  if (!has_ipv6_loopback()) GTEST_SKIP() << "no ::1 here";
  auto& book = run(ping("t", {"127.0.0.1", "::1"}, 20, 5'000'000));
  ASSERT_TRUE(book.last) << book.reason << ": " << book.detail;
  for (uint32_t edge = 0; edge < 2; ++edge) EXPECT_EQ(book.counters[edge][kReceived], 20u) << edge;
}

TEST_P(SupervisorIcmpTest, ADeadAddressIsLostNotAnError) {
  // 127.0.0.1's neighbour in a range nobody owns on lo: unreachable at once or silent, either is the
  // network's answer.
  auto& book = run(ping("t", {"127.0.0.1", "240.0.0.1"}, 3, 10'000'000));
  ASSERT_TRUE(book.last) << book.detail;
  EXPECT_EQ(book.state, "complete");
  EXPECT_EQ(book.counters[0][kReceived], 3u);
  EXPECT_EQ(book.counters[1][kPlanned], 3u);
  EXPECT_EQ(book.counters[1][kReceived], 0u);
  EXPECT_EQ(book.counters[1][kSent], book.counters[1][kLost]);
  EXPECT_EQ(book.counters[1][kPlanned], book.counters[1][kSent] + book.counters[1][kUnsent]);
}

TEST_P(SupervisorIcmpTest, TwoRunsOnOneHostDoNotTakeEachOthersReplies) {
  for (const char* id : {"a", "b"}) supervisor_->prepare(ping(id, {"127.0.0.1"}, 200, 1'000'000));
  ASSERT_TRUE(wait([&] { return books_["a"].ready && books_["b"].ready; }));
  for (const char* id : {"a", "b"}) supervisor_->start_task(id, wall_ns());
  ASSERT_TRUE(wait([&] { return books_["a"].last && books_["b"].last; }));
  for (const char* id : {"a", "b"}) {
    EXPECT_GT(books_[id].counters[0][kReceived], 0u) << id;
    EXPECT_EQ(books_[id].counters[0][kReceived] + books_[id].counters[0][kUnsent], 200u) << id;
    EXPECT_EQ(books_[id].counters[0][kDuplicate], 0u) << id;
  }
}

TEST_P(SupervisorIcmpTest, EveryAddressOfANetworkIsAnEdge) {
  auto& book = run(ping("t", {"127.1.0.0/24"}, 1, 100'000'000));
  ASSERT_TRUE(book.last) << book.detail;
  EXPECT_EQ(book.counters.size(), 254u);
  EXPECT_EQ(book.rtts, 254u);
}

TEST_P(SupervisorTest, UdpEchoBetweenSourceAndResponder) {
  v1::Task responder;
  responder.set_id("r");
  responder.set_testlet("ping");
  responder.set_role(v1::RESPONDER);
  fill_params(responder, {{"mode", "udp"}});
  responder.mutable_schedule()->set_period_ns(50'000'000);
  supervisor_->prepare(responder);
  ASSERT_TRUE(wait([&] { return books_["r"].ready || books_["r"].failed; }));
  ASSERT_TRUE(books_["r"].ready) << books_["r"].detail;
  ASSERT_NE(books_["r"].port, 0u);
  supervisor_->start_task("r", wall_ns());
  auto source = ping("s", {"127.0.0.1"}, 50, 1'000'000);
  source.clear_params();
  fill_params(source, {{"mode", "udp"}});
  source.mutable_targets(0)->set_port(books_["r"].port);
  auto& book = run(source);
  ASSERT_TRUE(book.last) << book.detail;
  EXPECT_GT(book.counters[0][kReceived], 0u);
  EXPECT_EQ(book.counters[0][kReceived] + book.counters[0][kUnsent], 50u);
  EXPECT_EQ(book.counters[0][kLost], 0u);
  supervisor_->stop_task("r", false);
  ASSERT_TRUE(wait([&] { return books_["r"].last; }));
  EXPECT_EQ(books_["r"].state, "complete");
}

TEST_P(SupervisorTest, HttpRequestsAreAnsweredByTheResponder) {
  auto source = task_of("s", "http", v1::SOURCE, {});
  source.mutable_schedule()->set_count(30);
  source.mutable_schedule()->set_interval_ns(5'000'000);
  run_pair(task_of("r", "http", v1::RESPONDER, {}), source);
  EXPECT_EQ(counter("s", "http", "ok"), 30u);
  EXPECT_EQ(counter("s", "http", "failed"), 0u);
}

TEST_P(SupervisorTest, IperfCountsTheSameBytesAtBothEnds) {
  for (const char* reverse : {"false", "true"}) {
    for (const char* protocol : {"tcp", "udp"}) {
      SCOPED_TRACE(std::string(protocol) + " reverse " + reverse);
      books_.clear();
      const std::map<std::string, std::string> params = {
          {"protocol", protocol}, {"reverse", reverse}, {"bitrate", "20M"}, {"streams", "2"}};
      auto source = task_of("s", "iperf", v1::SOURCE, params),
           responder = task_of("r", "iperf", v1::RESPONDER, params);
      for (auto* task : {&source, &responder}) task->mutable_schedule()->set_duration_ns(500'000'000);
      run_pair(responder, source);
      const bool forward = std::string(reverse) == "false";
      const uint64_t received = counter(forward ? "r" : "s", "iperf", "bytes"),
                     sent = counter(forward ? "s" : "r", "iperf", "sent_bytes");
      EXPECT_GT(received, 20'000'000u / 8 / 2 / 2);
      EXPECT_EQ(received, sent);
    }
  }
}

TEST_P(SupervisorIcmpTest, AKilledWorkerEndsItsTaskWithWhatWasMeasured) {
  supervisor_->prepare(ping("t", {"127.0.0.1"}, 1000, 10'000'000));
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.ready; }));
  supervisor_->start_task("t", wall_ns());
  ASSERT_TRUE(wait([&] { return book.counters[0][kReceived] >= 10; }));
  kill(supervisor_->worker_pid(), SIGKILL);
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.state, "error");
  EXPECT_EQ(book.reason, "testlet_crashed");
  EXPECT_TRUE(book.partial);
  EXPECT_NE(book.detail.find("signal 9"), std::string::npos) << book.detail;
  EXPECT_GE(book.counters[0][kReceived], 10u);
  // And the next worker serves.
  auto& next = run(ping("u", {"127.0.0.1"}, 2, 1'000'000));
  EXPECT_EQ(next.counters[0][kReceived], 2u) << next.detail;
}

TEST_P(SupervisorIcmpTest, AWorkerKilledInItsFirstPeriodMeasuredSinceItsStart) {
  auto task = ping("t", {"127.0.0.1"}, 1000, 10'000'000);
  task.mutable_schedule()->set_period_ns(10'000'000'000);
  supervisor_->prepare(task);
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.ready; }));
  const int64_t start = wall_ns();
  supervisor_->start_task("t", start);
  kill(supervisor_->worker_pid(), SIGKILL);
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.from_wall_ns, start);
}

// Threads of the worker that probe.
int lanes_of(int pid) {
  int lanes = 0;
  for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::ifstream name(task.path() / "comm");
    std::string text;
    lanes += std::getline(name, text) && text == "todd-lane";
  }
  return lanes;
}

class SupervisorLanesTest : public SupervisorIcmpTest {
 protected:
  static constexpr uint32_t kEdges = 4096;
  void SetUp() override {
    SupervisorIcmpTest::SetUp();
    lanes_ = true;
    start({.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
           .testlet_folders = {TODD_BINARY_DIR "/lib/todd/testlets"},
           .engine = GetParam(),
           .lanes = 3});
  }
  v1::Task sweep(uint64_t count) { return ping("t", {"127.1.0.0-127.1.15.255"}, count, 0); }
};

TEST_P(SupervisorLanesTest, ATaskWorthSeveralLanesIsDividedAndItsEdgesStayItsOwn) {
  ASSERT_TRUE(wait([&] { return !supervisor_->engine().empty(); }));
  EXPECT_EQ(lanes_of(supervisor_->worker_pid()), 1) << "before they are needed";
  auto& book = run(sweep(2));
  ASSERT_TRUE(book.last) << book.reason << ": " << book.detail;
  EXPECT_EQ(book.state, "complete") << book.detail;
  EXPECT_EQ(lanes_of(supervisor_->worker_pid()), 3);
  ASSERT_EQ(book.counters.size(), kEdges);
  for (auto& [edge, counters] : book.counters) {
    EXPECT_EQ(counters[kPlanned], 2u) << edge;
    EXPECT_EQ(counters[kReceived] + counters[kUndetermined], 2u) << edge;
  }
  EXPECT_FALSE(supervisor_->open_tasks());
}

TEST_P(SupervisorLanesTest, EveryLaneIsCancelled) {
  auto task = sweep(0);
  supervisor_->prepare(task);
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.ready; }));
  supervisor_->start_task("t", wall_ns());
  ASSERT_TRUE(wait([&] { return book.counters.size() == kEdges; }));
  supervisor_->stop_task("t", true);
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.state, "cancelled");
  for (auto& [edge, c] : book.counters) {
    EXPECT_EQ(c[kPlanned], c[kSent] + c[kUnsent]) << edge;
    EXPECT_EQ(c[kSent], c[kReceived] + c[kLost] + c[kUndetermined]) << edge;
  }
}

TEST_P(SupervisorLanesTest, WhatEveryLaneMeasuredSurvivesTheWorker) {
  auto task = sweep(0);
  task.mutable_schedule()->set_period_ns(10'000'000'000);
  supervisor_->prepare(task);
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.ready; }));
  supervisor_->start_task("t", wall_ns());
  const int64_t until = monotonic_ns() + 500'000'000;
  wait([&] { return monotonic_ns() > until; });
  kill(supervisor_->worker_pid(), SIGKILL);
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.reason, "testlet_crashed");
  for (const uint32_t edge : {0u, kEdges / 2, kEdges - 1})
    EXPECT_GT(book.counters[edge][kReceived], 0u) << edge;
}

class SupervisorBulkTest : public SupervisorBooks {};

TEST_F(SupervisorBulkTest, WhoHasTheHostMoveBytesFindsAllLanes) {
  start({.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
         .testlet_folders = {TODD_BINARY_DIR "/tests/testlets"},
         .lanes = 3});
  v1::Task task = task_of("t", "teller", v1::SOURCE, {});
  task.mutable_schedule()->set_duration_ns(1'000'000);
  task.add_targets()->set_host("192.0.2.1");
  EXPECT_EQ(run(task).state, "complete");
  EXPECT_EQ(lanes_of(supervisor_->worker_pid()), 3);
}

TEST_P(SupervisorLanesTest, SmallTasksHaveALaneEach) {
  for (const char* id : {"a", "b", "c", "d"}) {
    supervisor_->prepare(ping(id, {"127.0.0.1"}, 3, 1'000'000));
    ASSERT_TRUE(wait([&] { return books_[id].ready; })) << id;
  }
  EXPECT_EQ(lanes_of(supervisor_->worker_pid()), 3);
  for (const char* id : {"a", "b", "c", "d"}) supervisor_->start_task(id, wall_ns());
  for (const char* id : {"a", "b", "c", "d"}) {
    ASSERT_TRUE(wait([&] { return books_[id].last; })) << id;
    EXPECT_EQ(books_[id].counters[0][kReceived], 3u) << id;
  }
}

TEST_P(SupervisorIcmpTest, AHangingWorkerIsKilledAndReplaced) {
  start({.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
         .testlet_folders = {TODD_BINARY_DIR "/lib/todd/testlets"},
         .engine = GetParam(),
         .hang_limit_ns = 1'000'000'000});
  supervisor_->prepare(ping("t", {"127.0.0.1"}, 1000, 10'000'000));
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.ready; }));
  supervisor_->start_task("t", wall_ns());
  ASSERT_TRUE(wait([&] { return book.counters[0][kReceived] >= 10; }));
  kill(supervisor_->worker_pid(), SIGSTOP);
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.reason, "testlet_crashed");
  EXPECT_TRUE(book.partial);
  EXPECT_NE(book.detail.find("it hung, no sign of life for 1s"), std::string::npos) << book.detail;
  // A healthy one outlives many limits.
  auto& next = run(ping("u", {"127.0.0.1"}, 25, 100'000'000));
  EXPECT_EQ(next.state, "complete") << next.detail;
  EXPECT_EQ(next.counters[0][kReceived], 25u);
}

TEST_P(SupervisorIcmpTest, CancelEndsAtOnceAndTheBooksBalance) {
  supervisor_->prepare(ping("t", {"127.0.0.1"}, 100000, 1'000'000));
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.ready; }));
  supervisor_->start_task("t", wall_ns());
  ASSERT_TRUE(wait([&] { return book.counters[0][kReceived] >= 10; }));
  supervisor_->stop_task("t", true);
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.state, "cancelled");
  auto& c = book.counters[0];
  EXPECT_EQ(c[kPlanned], c[kSent] + c[kUnsent]);
  EXPECT_EQ(c[kSent], c[kReceived] + c[kLost] + c[kUndetermined]);
}

TEST_P(SupervisorIcmpTest, ANameIsResolvedAndABadOneSaysSo) {
  auto& good = run(ping("t", {"127.0.0.1", "localhost"}, 2, 1'000'000));
  EXPECT_EQ(good.counters[1][kReceived], 2u) << good.detail;
  ASSERT_EQ(good.endpoints.size(), 1u);  // a literal asks nobody
  EXPECT_EQ(good.endpoints[0].edge(), 1u);
  EXPECT_GT(good.endpoints[0].resolve_ns(), 0u);
  auto& bad = run(ping("u", {"no-such-host.invalid"}, 2, 1'000'000));
  EXPECT_TRUE(bad.failed);
  EXPECT_EQ(bad.reason, "name_resolution") << bad.detail;
}

TEST_P(SupervisorTest, AnUnknownTestletIsRefused) {
  v1::Task task;
  task.set_id("t");
  task.set_testlet("pong");
  auto& book = run(task);
  EXPECT_TRUE(book.failed);
  EXPECT_EQ(book.reason, "testlet_missing");
}

TEST_P(SupervisorTest, TheWorkerUsesWhatWasAskedForAndSaysSo) {
  ASSERT_TRUE(wait([&] { return !supervisor_->engine().empty(); }));
  EXPECT_EQ(supervisor_->engine(), io::engine_text(GetParam()));
  start({.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
         .testlet_folders = {TODD_BINARY_DIR "/lib/todd/testlets"},
         .engine = {io::Backend::automatic, 515}});
  ASSERT_TRUE(wait([&] { return !supervisor_->engine().empty(); }));
  EXPECT_EQ(supervisor_->engine(), "event");
  EXPECT_EQ(supervisor_->engine_why().find("epoll, because io_uring: "), 0u) << supervisor_->engine_why();
}

const auto kBackends =
    testing::Values(io::EngineChoice{io::Backend::uring}, io::EngineChoice{io::Backend::event});
std::string name_of(const testing::TestParamInfo<io::EngineChoice>& info) {
  return io::engine_text(info.param);
}
INSTANTIATE_TEST_SUITE_P(Backends, SupervisorTest, kBackends, name_of);
INSTANTIATE_TEST_SUITE_P(Backends, SupervisorIcmpTest, kBackends, name_of);
INSTANTIATE_TEST_SUITE_P(Backends, SupervisorLanesTest, kBackends, name_of);

}  // namespace
}  // namespace todd::supervise
