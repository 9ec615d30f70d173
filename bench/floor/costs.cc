#include "bench/floor/costs.h"

#include <liburing.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "bench/floor/path.h"

namespace todd::floor {
namespace {

template <typename F>
Cost cost(const char* name, int calls, int per_call, F call) {
  std::vector<double> rounds;
  for (int r = 0; r < 5; ++r) {
    const auto began = now_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < calls; ++i) call();
    rounds.push_back(double(now_ns(CLOCK_MONOTONIC) - began) / calls / per_call);
  }
  std::sort(rounds.begin(), rounds.end());
  return {name, rounds[2]};
}

io_uring make_ring() {
  io_uring ring{};
  io_uring_params params{};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
  errno = -io_uring_queue_init_params(256, &ring, &params);
  must(errno == 0, "io_uring");
  io_uring_register_ring_fd(&ring);
  return ring;
}

Cost empty_operations(int batch, bool skip) {
  io_uring ring = make_ring();
  const std::string name = "io_uring NOP x" + std::to_string(batch) + (skip ? ", no completion" : "");
  const auto out = cost(name.c_str(), 200'000 / batch, batch, [&] {
    for (int i = 0; i < batch; ++i) {
      auto* entry = io_uring_get_sqe(&ring);
      io_uring_prep_nop(entry);
      if (skip) entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
    io_uring_submit_and_get_events(&ring);
    unsigned head, seen = 0;
    io_uring_cqe* done;
    io_uring_for_each_cqe(&ring, head, done)++ seen;
    io_uring_cq_advance(&ring, seen);
  });
  io_uring_queue_exit(&ring);
  return out;
}

timespec as_timespec(int64_t ns) { return {ns / 1'000'000'000, ns % 1'000'000'000}; }

// Sleeps to a time of CLOCK_MONOTONIC.
class Sleeper {
 public:
  explicit Sleeper(std::string kind) : kind_(std::move(kind)) {
    if (kind_ == "timerfd") timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (kind_ == "io_uring") ring_ = make_ring();
  }
  ~Sleeper() {
    if (timer_ >= 0) close(timer_);
    if (kind_ == "io_uring") io_uring_queue_exit(&ring_);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;

  void sleep_to(int64_t when) {
    const auto at = as_timespec(when);
    if (timer_ >= 0) {
      const itimerspec set{{}, at};
      timerfd_settime(timer_, TFD_TIMER_ABSTIME, &set, nullptr);
      uint64_t ticks = 0;
      must(read(timer_, &ticks, sizeof ticks) == sizeof ticks, "reading a timer");
    } else if (kind_ == "io_uring") {
      auto* entry = io_uring_get_sqe(&ring_);
      __kernel_timespec to{at.tv_sec, at.tv_nsec};
      io_uring_prep_timeout(entry, &to, 0, IORING_TIMEOUT_ABS);
      io_uring_submit_and_wait(&ring_, 1);
      io_uring_cq_advance(&ring_, io_uring_cq_ready(&ring_));
    } else {
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
    }
  }

 private:
  std::string kind_;
  int timer_ = -1;
  io_uring ring_{};
};

Lateness late(const char* kind, int interval_us, int slack_ns) {
  prctl(PR_SET_TIMERSLACK, slack_ns);
  Sleeper sleeper(kind);
  std::vector<double> late;
  const int wakes = std::clamp(500'000 / interval_us, 200, 2000);
  int64_t due = now_ns(CLOCK_MONOTONIC) + 1'000'000;
  for (int i = 0; i < wakes; ++i, due += interval_us * 1000) {
    sleeper.sleep_to(due);
    const auto now = now_ns(CLOCK_MONOTONIC);
    late.push_back(1e-3 * double(now - due));
    if (now > due) due = now;  // lateness of this wake is not the next one's
  }
  std::sort(late.begin(), late.end());
  return {kind, interval_us, slack_ns, late[late.size() / 2], late[late.size() * 99 / 100], late.back()};
}

}  // namespace

std::vector<Cost> costs() {
  std::vector<Cost> out;
  out.push_back(cost("system call", 1'000'000, 1, [] { syscall(SYS_getppid); }));
  out.push_back(cost("clock_gettime, monotonic", 1'000'000, 1, [] { now_ns(CLOCK_MONOTONIC); }));
  out.push_back(cost("clock_gettime, realtime", 1'000'000, 1, [] { now_ns(CLOCK_REALTIME); }));
#if defined(__x86_64__)
  out.push_back(cost("rdtsc", 1'000'000, 1, [] {
    const auto now = __rdtsc();
    asm volatile("" : : "r"(now));
  }));
#endif
  for (const int batch : {1, 8, 32, 128}) out.push_back(empty_operations(batch, false));
  for (const int batch : {1, 8, 32, 128}) out.push_back(empty_operations(batch, true));
  return out;
}

std::vector<Lateness> lateness() {
  std::vector<Lateness> out;
  for (const char* kind : {"clock_nanosleep", "timerfd", "io_uring"})
    for (const int slack : {1, 50'000})
      for (const int interval : {50, 100, 1000}) out.push_back(late(kind, interval, slack));
  return out;
}

}  // namespace todd::floor
