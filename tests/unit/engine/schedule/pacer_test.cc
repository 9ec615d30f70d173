#include <array>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "engine/schedule/schedule.h"

namespace todd::schedule {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1'000 * kMs;
constexpr int64_t kStart = 5'000 * kSecond;

// Everything due at that time, however many calls it takes.
std::vector<Ticket> drain(Pacer& pacer, int64_t now_ns) {
  std::vector<Ticket> all;
  std::array<Ticket, 256> out;
  while (const size_t n = pacer.take(now_ns, kStart, out))
    all.insert(all.end(), out.begin(), out.begin() + n);
  return all;
}

TEST(Pacer, HandsOutEachTicketAtItsTime) {
  Pacer pacer(Schedule({.targets = 2, .count = 3, .interval_ns = 10 * kMs}));
  std::array<Ticket, 8> out;
  EXPECT_EQ(pacer.next_due_ns(), 0);
  EXPECT_EQ(pacer.take(kStart - 1, kStart, out), 0u);
  EXPECT_EQ(pacer.next_due_ns(), kStart);
  std::vector<int64_t> due;
  while (!pacer.done()) {
    const int64_t now = pacer.next_due_ns();
    EXPECT_EQ(pacer.take(now - 1, kStart, out), 0u);
    ASSERT_EQ(pacer.take(now, kStart, out), 1u);
    EXPECT_EQ(out[0].due_ns, now);
    EXPECT_EQ(out[0].round, due.size() / 2);
    due.push_back(now - kStart);
  }
  EXPECT_EQ(due, (std::vector<int64_t>{0, 5 * kMs, 10 * kMs, 15 * kMs, 20 * kMs, 25 * kMs}));
  EXPECT_EQ(pacer.next_due_ns(), INT64_MAX);
  EXPECT_EQ(pacer.take(kStart + kSecond, kStart, out), 0u);
  EXPECT_EQ(pacer.issued(), 6u);
  EXPECT_EQ(pacer.skipped(), 0u);
}

TEST(Pacer, IsAheadByTheLookaheadAtMost) {
  Pacer pacer(Schedule({.targets = 1, .interval_ns = kMs}), 50'000);
  EXPECT_EQ(drain(pacer, kStart).size(), 1u);
  EXPECT_EQ(drain(pacer, kStart + kMs - 50'001).size(), 0u);
  EXPECT_EQ(drain(pacer, kStart + kMs - 50'000).size(), 1u);
}

TEST(Pacer, CapsTheBurst) {
  Pacer pacer(Schedule({.targets = 1, .interval_ns = 1000}));
  std::array<Ticket, 256> out;
  EXPECT_EQ(pacer.take(kStart + 50 * kMs, kStart, out), Pacer::kBurst);
  EXPECT_EQ(out[0].due_ns, kStart);
  std::array<Ticket, 3> small;
  EXPECT_EQ(pacer.take(kStart + 50 * kMs, kStart, small), 3u);
  EXPECT_EQ(small[0].due_ns, kStart + 64 * 1000);
}

TEST(Pacer, DoesNotBurstAfterClockJump) {
  Pacer pacer(Schedule({.targets = 1000, .interval_ns = kSecond}));
  drain(pacer, kStart);
  const auto after = drain(pacer, kStart + 3600 * kSecond);
  EXPECT_EQ(after.size(), 101u);  // the last 100 ms and what is due now
  EXPECT_EQ(after.front().due_ns, kStart + 3600 * kSecond - 100 * kMs);
  EXPECT_EQ(pacer.skipped() + pacer.issued(), 3'600'001u);
  EXPECT_EQ(after.front().target, Schedule({.targets = 1000, .interval_ns = kSecond}).target(3'599'900));
}

TEST(Pacer, AllowsTenSpacingsOfLateness) {
  Pacer pacer(Schedule({.targets = 1, .interval_ns = kSecond}));
  EXPECT_EQ(drain(pacer, kStart + 10 * kSecond).size(), 11u);
  EXPECT_EQ(pacer.skipped(), 0u);
  EXPECT_EQ(drain(pacer, kStart + 1000 * kSecond).size(), 11u);
  EXPECT_EQ(pacer.skipped(), 979u);
}

TEST(Pacer, WaitsOutAClockThatWentBack) {
  Pacer pacer(Schedule({.targets = 1, .interval_ns = kMs}));
  drain(pacer, kStart + 10 * kMs);
  EXPECT_EQ(drain(pacer, kStart - 1000 * kSecond).size(), 0u);
  EXPECT_EQ(drain(pacer, kStart + 11 * kMs).size(), 1u);
}

TEST(Pacer, AJumpPastTheEndEndsIt) {
  Pacer pacer(Schedule({.targets = 1, .count = 100, .interval_ns = kMs}));
  EXPECT_EQ(drain(pacer, kStart + 3600 * kSecond).size(), 0u);
  EXPECT_TRUE(pacer.done());
  EXPECT_EQ(pacer.skipped(), 100u);
}

TEST(Pacer, MaxIsAlwaysDue) {
  Pacer pacer(Schedule({.targets = 4, .count = 100, .rate = HUGE_VAL}));
  std::array<Ticket, 300> out;
  EXPECT_EQ(pacer.take(kStart - 1, kStart, out), 0u);
  EXPECT_EQ(pacer.take(kStart + 7, kStart, out), 300u);
  EXPECT_EQ(out[299].due_ns, kStart + 7);
  EXPECT_LE(pacer.next_due_ns(), kStart + 7);
  EXPECT_EQ(pacer.take(kStart + 8, kStart, out), 100u);
  EXPECT_TRUE(pacer.done());
  EXPECT_EQ(pacer.skipped(), 0u);
}

TEST(Pacer, MaxEndsWithTheDuration) {
  Pacer pacer(Schedule({.targets = 4, .rate = HUGE_VAL, .duration_ns = kSecond}));
  std::array<Ticket, 16> out;
  EXPECT_EQ(pacer.take(kStart + kSecond - 1, kStart, out), 16u);
  EXPECT_EQ(pacer.take(kStart + kSecond, kStart, out), 0u);
  EXPECT_TRUE(pacer.done());
}

TEST(Pacer, NoTargetsIsDone) { EXPECT_TRUE(Pacer(Schedule(Plan{})).done()); }

}  // namespace
}  // namespace todd::schedule
