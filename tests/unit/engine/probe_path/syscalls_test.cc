// What the probe path costs in system calls by the reactor's count, and whether that count is the kernel's.
#include "tests/support/kernel_calls.h"
#include "tests/unit/engine/probe_path/probe_path.h"

namespace todd::probe_path {
namespace {

class ProbePathCallsTest : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Ways, ProbePathCallsTest, testing::ValuesIn(all_ways()), way_name);

constexpr uint64_t kRounds = 10;
constexpr double kFewAtATime = 20'000, kAsFastAsServed = HUGE_VAL;

// A batch is a round of work and the turn behind it: what is due leaves, at most 64 probes to a call, and
// what has come is collected. A drain of an error queue that brought stamps of departure is one call more.
uint32_t limit_of(const Way& way, const Turn& turn) {
  const uint32_t calls = way.engine.backend == io::Backend::event ? 4 : way.door == Door::frames ? 3 : 2;
  return calls + (turn.sent > 64 ? (turn.sent - 1) / 64 : 0) + (turn.stamped != 0 ? 1 : 0);
}

TEST_P(ProbePathCallsTest, FewCallsABatch) {
  for (const double rate : {kFewAtATime, kAsFastAsServed}) {
    ProbePath path(GetParam());
    if (!path.ok()) return;
    const int64_t began = monotonic_ns();
    uint64_t batches = 0, sent = 0, over = 0;
    std::string told;
    path.run(
        rate, kRounds, [] {},
        [&](const Turn& turn) {
          sent += turn.sent;
          if (sent <= kTargets || (turn.sent == 0 && turn.received == 0)) return;  // the first arm and learn
          ++batches;
          if (turn.calls <= limit_of(GetParam(), turn)) return;
          ++over;
          if (over <= 10)
            told += " " + std::to_string(turn.sent) + " sent, " + std::to_string(turn.received) +
                    " received, " + std::to_string(turn.stamped) + " stamped: " + std::to_string(turn.calls) +
                    ";";
        });
    path.expect_all_answered(kRounds);
    // The routes of frames are read again once a second.
    const int64_t reads = GetParam().door == Door::frames ? (monotonic_ns() - began) / 1'000'000'000 : 0;
    EXPECT_LE(over, static_cast<uint64_t>(reads))
        << "of " << batches << " batches at " << rate << "/s:" << told;
    EXPECT_GT(batches, (kRounds - 1) * kTargets / 100);
  }
}

TEST_P(ProbePathCallsTest, TheKernelCountsTheSame) {
  ProbePath path(GetParam());
  if (!path.ok()) return;
  std::string why;
  auto kernel = test::KernelCalls::of_this_thread(why);
  if (!kernel) GTEST_SKIP() << why;
  const int64_t began = monotonic_ns();
  uint64_t theirs = 0, ours = 0, from = 0;
  path.run(
      kFewAtATime, kRounds, [&] { from = kernel->so_far(); },
      [&](const Turn& turn) {
        const uint64_t made = kernel->so_far() - from;
        if (turn.sent == 0 && turn.received == 0) return;  // the last closes the period
        theirs += made;
        ours += turn.calls;
      });
  path.expect_all_answered(kRounds);
  // As of Linux 6.0 a completion may come between the look for it and the call that then is not made.
  const uint64_t made_not = GetParam().engine.newest == 600 ? 2 : 0;
  EXPECT_LE(ours, theirs + made_not);
  // Ten times a second, apart from batches, the host is asked what its CPUs dropped.
  const auto asked = static_cast<uint64_t>((monotonic_ns() - began) / 100'000'000 + 1);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  const uint64_t sanitizers = theirs / 100;  // who gives memory back
#else
  const uint64_t sanitizers = 0;
#endif
  const uint64_t cpu_read = 2;  // where the first period begins: its thread's, its process's
  EXPECT_GE(ours + asked + cpu_read + sanitizers, theirs);
  EXPECT_GT(ours, kRounds * kTargets / 64);
}

}  // namespace
}  // namespace todd::probe_path
