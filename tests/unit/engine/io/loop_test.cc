#include "engine/io/loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

#include "engine/base/clock.h"
#include "engine/base/fd.h"

namespace todd::io {
namespace {

constexpr int64_t kMs = 1'000'000;

struct Pair {
  Pair() {
    int fds[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    a = UniqueFd(fds[0]);
    b = UniqueFd(fds[1]);
  }
  UniqueFd a, b;
};

TEST(LoopTest, RunsPostsInOrderAndPostsOfPostsLater) {
  Loop loop;
  std::vector<int> order;
  loop.post([&] {
    order.push_back(1);
    loop.post([&] {
      order.push_back(4);
      loop.stop();
    });
  });
  loop.post([&] { order.push_back(2); });
  loop.post([&] { order.push_back(3); });
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
}

TEST(LoopTest, TakesPostsAndStopFromAnotherThread) {
  Loop loop;
  int sum = 0;
  std::thread other([&] {
    for (int i = 1; i <= 1000; ++i) loop.post([&sum, i] { sum += i; });
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  other.join();
  EXPECT_EQ(sum, 500500);
}

TEST(LoopTest, RemembersAStopBeforeRun) {
  Loop loop;
  std::thread([&] { loop.stop(); }).join();
  loop.turn(0);
  loop.run();  // returns at once
  bool ran = false;
  loop.post([&] {
    ran = true;
    loop.stop();
  });
  loop.run();  // and runs again
  EXPECT_TRUE(ran);
}

TEST(LoopTest, DropsPostsThatNeverRan) {
  auto token = std::make_shared<int>(1);
  {
    Loop loop;
    loop.post([token] { ADD_FAILURE() << "ran"; });
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(LoopTest, TimersFireOnceInOrderAndNotEarly) {
  Loop loop;
  std::vector<int> order;
  const int64_t begin = monotonic_ns();
  int64_t fired = 0;
  const HandlePtr late = loop.after(20 * kMs, [&] {
    order.push_back(2);
    fired = monotonic_ns();
  });
  const HandlePtr soon = loop.after(1 * kMs, [&] { order.push_back(1); });
  const HandlePtr end = loop.after(40 * kMs, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_GE(fired - begin, 20 * kMs);
}

TEST(LoopTest, ATimerCountsFromTheCallNotFromTheWakeUp) {
  Loop loop;
  HandlePtr timer;
  int64_t asked = 0, fired = 0;
  loop.post([&] {
    const int64_t busy_until = monotonic_ns() + 30 * kMs;
    while (monotonic_ns() < busy_until) {
    }
    asked = monotonic_ns();
    timer = loop.after(20 * kMs, [&] {
      fired = monotonic_ns();
      loop.stop();
    });
  });
  loop.run();
  EXPECT_GE(fired - asked, 19 * kMs);
}

TEST(LoopTest, ACancelledTimerNeverRuns) {
  Loop loop;
  HandlePtr victim = loop.after(1 * kMs, [] { ADD_FAILURE() << "ran"; });
  const HandlePtr killer = loop.after(0, [&] { victim.reset(); });
  const HandlePtr end = loop.after(10 * kMs, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(victim, nullptr);
}

TEST(LoopTest, AHandleMayBeDestroyedInItsCallback) {
  Loop loop;
  auto guard = std::make_shared<int>(7);
  HandlePtr timer;
  int seen = 0;
  timer = loop.after(0, [&, guard] {
    timer.reset();
    seen = *guard;  // the captures live until the callback returns
  });
  const std::weak_ptr<int> weak = guard;
  guard.reset();
  loop.turn(kMs);
  EXPECT_EQ(seen, 7);
  EXPECT_TRUE(weak.expired());

  const Pair pair;
  ASSERT_EQ(write(pair.b.get(), "x", 1), 1);
  int reads = 0;
  HandlePtr reader = loop.on_readable(pair.a.get(), [&] {
    ++reads;
    reader.reset();
  });
  loop.turn(kMs);
  loop.turn(0);
  EXPECT_EQ(reads, 1);
}

TEST(LoopTest, ReadableIsLevelTriggeredAndWritableFollowsTheBuffer) {
  Loop loop;
  const Pair pair;
  int reads = 0, writes = 0;
  const HandlePtr reader = loop.on_readable(pair.a.get(), [&] { ++reads; });
  loop.turn(0);
  EXPECT_EQ(reads, 0);
  ASSERT_EQ(write(pair.b.get(), "xy", 2), 2);
  loop.turn(kMs);
  loop.turn(kMs);
  EXPECT_EQ(reads, 2);
  HandlePtr writer = loop.on_writable(pair.a.get(), [&] { ++writes; });
  loop.turn(kMs);
  EXPECT_EQ(writes, 1);
  writer.reset();
  loop.turn(kMs);
  EXPECT_EQ(writes, 1);
}

TEST(LoopTest, TurnWaitsAtMostAsLongAsTold) {
  Loop loop;
  const HandlePtr far = loop.after(3600 * 1000 * kMs, [] {});
  const int64_t begin = monotonic_ns();
  loop.turn(15 * kMs);
  const int64_t took = monotonic_ns() - begin;
  EXPECT_GE(took, 15 * kMs);
  EXPECT_LT(took, 5000 * kMs);
}

TEST(LoopTest, HearsSignals) {
  Loop loop;
  int heard = 0;
  const HandlePtr handle = loop.on_signal(SIGUSR1, [&] {
    ++heard;
    loop.stop();
  });
  loop.post([] { raise(SIGUSR1); });
  loop.run();
  EXPECT_EQ(heard, 1);
}

TEST(LoopTest, WritingToAClosedPeerIsNoSignal) {
  const Loop loop;
  Pair pair;
  pair.b.reset();
  EXPECT_EQ(write(pair.a.get(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
}

}  // namespace
}  // namespace todd::io
