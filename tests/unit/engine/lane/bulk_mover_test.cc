// How a lane divides its time among jobs, on socket pairs; and when paced sends are due.
#include "engine/lane/bulk_mover.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "engine/base/clock.h"
#include "engine/lane/bulk_pace.h"
#include "tests/unit/engine/io/reactor_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::EngineChoice;
using io::kOldestUring;

constexpr int64_t kMs = 1'000'000, kS = 1000 * kMs;

class BulkMoverTest : public io::ReactorTest {};
TODD_ALL_ENGINES(BulkMoverTest);

// There are more jobs that can go on at any time than a round has time for.
TEST_P(BulkMoverTest, EveryJobHasItsTurnAndTheLaneToo) {
  constexpr size_t kJobs = 200;
  BulkMover mover(*reactor_);
  std::vector<std::shared_ptr<BulkJob>> jobs;
  std::vector<UniqueFd> far;
  todd_bulk_job wanted{};
  wanted.size = sizeof wanted;
  wanted.flags = TODD_BF_SEND;
  wanted.length = 128 * 1024;
  for (size_t i = 0; i < kJobs; ++i) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    far.emplace_back(pair[1]);
    jobs.push_back(
        std::make_shared<BulkJob>(wanted, UniqueFd(pair[0]), std::make_shared<Doorbell>(*reactor_)));
    mover.expect();
    mover.take(jobs.back());
  }
  EXPECT_EQ(mover.jobs(), kJobs);
  std::vector<int64_t> rounds;
  const auto moved = [&] {
    std::vector<uint64_t> out;
    for (const auto& job : jobs) out.push_back(job->counts.bytes.get());
    return out;
  };
  static char buffer[1 << 20];
  const int64_t end = monotonic_ns() + 10 * kS;
  while (std::ranges::min(moved()) < 2'000'000 && monotonic_ns() < end) {
    const int64_t before = monotonic_ns();
    const int64_t wake = mover.work(before);
    rounds.push_back(monotonic_ns() - before);
    reactor_->turn(std::min(wake, monotonic_ns()));
    for (const UniqueFd& fd : far)
      while (recv(fd.get(), buffer, sizeof buffer, 0) > 0) {
      }
  }
  EXPECT_GE(std::ranges::min(moved()), 2'000'000u);
  EXPECT_LE(std::ranges::max(moved()), 4 * std::ranges::min(moved()));
  std::ranges::nth_element(rounds, rounds.begin() + static_cast<ptrdiff_t>(rounds.size() / 2));
  EXPECT_LT(rounds[rounds.size() / 2], 3 * kMs);
  for (const auto& job : jobs) job->stop();
  mover.work(monotonic_ns());
  for (int i = 0; i < 100 && mover.jobs() != 0; ++i) mover.work(monotonic_ns());
  EXPECT_EQ(mover.jobs(), 0u);
}

TEST_P(BulkMoverTest, SmallPacedSendsLeaveTogether) {
  BulkMover mover(*reactor_);
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
  const UniqueFd far(pair[1]);
  todd_bulk_job wanted{};
  wanted.size = sizeof wanted;
  wanted.flags = TODD_BF_SEND;
  wanted.length = 1000;
  wanted.bitrate = 1'000'000'000;  // one each 8 us
  wanted.end_ns = monotonic_ns() + 100 * kMs;
  const auto job =
      std::make_shared<BulkJob>(wanted, UniqueFd(pair[0]), std::make_shared<Doorbell>(*reactor_));
  mover.expect();
  mover.take(job);
  static char buffer[1 << 20];
  int rounds = 0;
  for (; !job->ended(); ++rounds) {
    const int64_t wake = mover.work(monotonic_ns());
    while (recv(far.get(), buffer, sizeof buffer, 0) > 0) {
    }
    if (!job->ended()) reactor_->turn(wake);
  }
  EXPECT_EQ(job->result(), 0);
  EXPECT_LT(rounds, 1'100);  // 1,000 rests, and 12,500 sends
  EXPECT_LE(job->counts.bytes.get(), 12'501'000u);
  EXPECT_GE(job->counts.bytes.get(), 3'000'000u);  // on a busy host
}

TEST(BulkPaceTest, RoundingAddsUpToNothing) {
  BulkPace pace(3'000'000'000, 5);  // a byte takes 2.67 ns
  for (int i = 0; i < 3'000'000; ++i) pace.sent(1);
  EXPECT_EQ(pace.due_ns(), 5 + 8'000'000);
  EXPECT_EQ(pace.bytes_in(kMs), 375'000u);
  EXPECT_EQ(pace.time_of(375'000), kMs);
}

TEST(BulkPaceTest, MakesGoodTenMilliseconds) {
  BulkPace pace(8'000'000, 0);  // a byte a microsecond
  pace.sent(1000);
  EXPECT_EQ(pace.due_ns(), kMs);
  EXPECT_EQ(pace.late_ns(kMs / 2), 0);
  EXPECT_EQ(pace.late_ns(11 * kMs), 10 * kMs);
  EXPECT_EQ(pace.due_ns(), kMs);
  EXPECT_EQ(pace.late_ns(31 * kMs), 30 * kMs);
  EXPECT_EQ(pace.due_ns(), 21 * kMs);
  pace.sent(1000);
  EXPECT_EQ(pace.due_ns(), 22 * kMs);
}

TEST(BulkPaceTest, WithoutABitrateAllIsDue) {
  BulkPace pace(0, 7);
  pace.sent(1'000'000'000);
  EXPECT_FALSE(pace.paced());
  EXPECT_EQ(pace.due_ns(), 7);
}

}  // namespace
}  // namespace todd::lane
