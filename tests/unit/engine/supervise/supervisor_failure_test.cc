// What the supervisor bears: workers that die, hang, lie or cannot be started, and tasks that cannot be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "engine/io/sockets.h"
#include "supervisor_fixture.h"

namespace todd::supervise {
namespace {

using testing::HasSubstr;

constexpr int64_t kHangLimitNs = 1'000'000'000;

class SupervisorFailureTest : public SupervisorBooks {
 protected:
  SupervisorOptions options() {
    return {.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
            .testlet_folders = {TODD_BINARY_DIR "/tests/testlets"},
            .engine = {io::Backend::event},
            .hang_limit_ns = kHangLimitNs};
  }
  void SetUp() override { start(options()); }
  void start_liar() {
    auto lying = options();
    lying.worker_binary = TODD_BINARY_DIR "/tests/fake-worker";
    start(lying);
  }

  v1::Task crasher(const std::string& id, const std::string& when) {
    auto task = task_of(id, "crasher", v1::SOURCE, {{"when", when}});
    task.mutable_schedule()->set_duration_ns(100'000'000);
    task.add_targets()->set_host("127.0.0.1");
    return task;
  }
  // Prepares it and starts it; what it does then is not read yet.
  void begin(const v1::Task& task) {
    supervisor_->prepare(task);
    ASSERT_TRUE(wait([&] { return books_[task.id()].ready; })) << books_[task.id()].detail;
    supervisor_->start_task(task.id(), wall_ns());
  }
  // Until the worker is dead, without a turn of the loop.
  void await_death() {
    siginfo_t info;
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(supervisor_->worker_pid()), &info, WEXITED | WNOWAIT), 0);
  }
  void kill_worker() {
    ASSERT_GT(supervisor_->worker_pid(), 0);
    kill(supervisor_->worker_pid(), SIGKILL);
    ASSERT_TRUE(wait([&] { return supervisor_->worker_pid() == 0; }));
  }
};

// The socket is drained before the death is believed: what came last may be the end.
TEST_F(SupervisorFailureTest, AnEndThatLiesUnreadAtADeathIsAnEnd) {
  start_liar();
  auto task = crasher("t", "never");
  task.set_run_id("end");
  begin(task);
  await_death();
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.state, "complete") << book.reason << ": " << book.detail;
  EXPECT_EQ(book.counters[0][0], 5u);
}

// A period that was closed and never told of is in the other bank.
TEST_F(SupervisorFailureTest, AClosedPeriodThatNobodyToldOfIsKept) {
  start_liar();
  auto task = crasher("t", "never");
  task.set_run_id("turn");
  begin(task);
  auto& book = books_["t"];
  ASSERT_TRUE(wait([&] { return book.last; }));
  EXPECT_EQ(book.reason, "testlet_crashed");
  EXPECT_EQ(book.counters[0][0], 5u + 7u);
}

// Nothing the worker leaves lying may stop the supervisor's thread.
TEST_F(SupervisorFailureTest, AWorkerThatTakesNoDescriptorBlocksNobody) {
  if (const auto allowed = io::open_icmp(AF_INET); !allowed) GTEST_SKIP() << allowed.error().detail;
  start_liar();
  auto task = crasher("t", "never");
  task.set_run_id("greedy");
  begin(task);
  ASSERT_TRUE(wait([&] { return books_["t"].last; }));
  EXPECT_EQ(books_["t"].state, "complete");
}

TEST_F(SupervisorFailureTest, AWorkerThatSendsNoiseIsKilled) {
  start_liar();
  auto task = crasher("t", "never");
  task.set_run_id("noise");
  begin(task);
  ASSERT_TRUE(wait([&] { return books_["t"].last; }));
  EXPECT_EQ(books_["t"].detail, "the worker was killed: it sent what is no message");
}

TEST_F(SupervisorFailureTest, AWorkerThatCannotBeStartedIsTriedAgain) {
  const auto folder = std::filesystem::path(testing::TempDir()) / ("supervisor" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto binary = folder / "todd-worker",
             real = std::filesystem::path(TODD_BINARY_DIR "/bin/todd-worker");
  std::filesystem::create_symlink(real, binary);
  auto upgraded = options();
  upgraded.worker_binary = binary;
  start(upgraded);
  std::filesystem::remove(binary);
  kill_worker();
  auto& book = run(crasher("t", "never"));  // waits for the next worker, which there is none of
  EXPECT_TRUE(book.failed);
  EXPECT_EQ(book.reason, "local_resource");
  EXPECT_THAT(book.detail, HasSubstr("No such file"));
  EXPECT_EQ(run(crasher("u", "never")).reason, "local_resource");  // at once
  std::filesystem::create_symlink(real, binary);
  ASSERT_TRUE(wait([&] { return supervisor_->worker_pid() != 0; }));
  EXPECT_EQ(run(crasher("v", "never")).state, "complete");
  std::filesystem::remove_all(folder);
}

// The watch ends while no worker lives, and begins again with the tasks that waited for one.
TEST_F(SupervisorFailureTest, AHangIsSeenInATaskThatWaitedForItsWorker) {
  kill_worker();
  begin(crasher("t", "hang"));
  ASSERT_TRUE(wait([&] { return books_["t"].last; }));
  EXPECT_THAT(books_["t"].detail, HasSubstr("it hung"));
  EXPECT_THAT(books_["t"].detail, HasSubstr("in the code of crasher"));
}

TEST_F(SupervisorFailureTest, ATaskStoppedBeforeItIsReadyIsGone) {
  kill_worker();
  supervisor_->prepare(crasher("waits", "never"));
  supervisor_->stop_task("waits", true);
  ASSERT_TRUE(wait([&] { return books_["waits"].failed; }));
  EXPECT_EQ(books_["waits"].reason, "cancelled");
  ASSERT_TRUE(wait([&] { return supervisor_->worker_pid() != 0; }));
  auto named = crasher("resolves", "never");
  named.mutable_targets(0)->set_host("no-such-host.invalid");
  supervisor_->prepare(named);
  supervisor_->stop_task("resolves", true);
  ASSERT_TRUE(wait([&] { return books_["resolves"].failed; }));
  EXPECT_EQ(books_["resolves"].reason, "cancelled") << books_["resolves"].detail;
  EXPECT_EQ(supervisor_->open_tasks(), 0u);
  EXPECT_FALSE(books_["waits"].ready);
}

TEST_F(SupervisorFailureTest, ATaskForAnotherVersionOfTheTestletIsRefused) {
  auto task = crasher("t", "never");
  task.set_manifest_hash("0123456789abcdef");
  auto& book = run(task);
  EXPECT_EQ(book.reason, "unsupported");
  EXPECT_THAT(book.detail,
              HasSubstr("needs crasher with manifest 0123456789ab, this host has version 1.0.0"));
  task.set_id("u");
  task.set_manifest_hash(supervisor_->testlets().at(0).manifest.hash);
  EXPECT_EQ(run(task).state, "complete");
}

TEST_F(SupervisorFailureTest, AValueOfAnotherTypeIsRefused) {
  auto task = crasher("t", "never");
  task.mutable_params(0)->set_s("never");
  EXPECT_EQ(run(task).detail, "when: the value is no choice");
  task.set_id("u");
  task.mutable_params(0)->set_i(4);
  EXPECT_EQ(run(task).reason, "bad_param");
}

TEST_F(SupervisorFailureTest, MoreEdgesThanMayBeAreRefused) {
  auto task = crasher("t", "never");
  for (int i = 0; i < 17; ++i) task.add_targets()->set_host("10." + std::to_string(i) + ".0.0/16");
  EXPECT_THAT(run(task).detail, HasSubstr("at most 1048576 edges"));
}

TEST_F(SupervisorFailureTest, ThreeCrashesQuarantineATestlet) {
  for (const char* id : {"1", "2", "3"}) {
    const bool in_create = std::string(id) == "2";
    auto& book = run(crasher(id, in_create ? "create" : "step"));
    EXPECT_EQ(book.reason, "testlet_crashed") << id;
    EXPECT_EQ(book.failed, in_create) << id;
    EXPECT_THAT(book.detail, HasSubstr("in the code of crasher"));
  }
  auto& book = run(crasher("4", "never"));
  EXPECT_EQ(book.reason, "quarantined");
  EXPECT_THAT(
      book.detail,
      HasSubstr("crasher crashed 3 times in 10 min, the last time its worker was killed by signal 9"));
  ASSERT_EQ(supervisor_->quarantined().size(), 1u);
  EXPECT_EQ(supervisor_->quarantined()[0].testlet, "crasher");
  EXPECT_EQ(supervisor_->quarantined()[0].why, book.detail);
}

TEST_F(SupervisorFailureTest, ADeathOutsideItsCodeIsNoStrike) {
  for (const char* id : {"1", "2", "3"}) {
    auto task = crasher(id, "never");
    supervisor_->prepare(task);  // ready and never started: nobody is in its code
    ASSERT_TRUE(wait([&] { return books_[id].ready; })) << books_[id].detail;
    kill_worker();
    ASSERT_TRUE(wait([&] { return books_[id].last; }));
    EXPECT_EQ(books_[id].detail, "the worker was killed by signal 9 (Killed)");
  }
  EXPECT_EQ(run(crasher("4", "never")).state, "complete");
}

}  // namespace
}  // namespace todd::supervise
