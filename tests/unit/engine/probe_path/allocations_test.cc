// Between the first rounds and the last probe nothing on the probe path allocates: not the reactor, not the
// lane, not the testlet, whatever becomes of the probes. malloc and what stands beside it are this program's,
// and count.
#include <execinfo.h>

#include <array>
#include <cerrno>
#include <ctime>

#include "tests/unit/engine/probe_path/probe_path.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kCounts = false;  // the sanitizers have a malloc of their own
#else
constexpr bool kCounts = true;
#endif

namespace {

struct Counted {
  bool on = false;
  uint64_t allocations = 0;
  std::array<void*, 16> first{};  // who made the first one
  int depth = 0;
};
thread_local Counted counted;

void note_allocation() {
  if (!counted.on) return;
  counted.on = false;  // backtrace() may allocate
  if (counted.allocations++ == 0) counted.depth = backtrace(counted.first.data(), 16);
  counted.on = true;
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
void* __libc_malloc(size_t bytes);
void* __libc_calloc(size_t count, size_t bytes);
void* __libc_realloc(void* old, size_t bytes);
void* __libc_memalign(size_t alignment, size_t bytes);

void* malloc(size_t bytes) noexcept {
  note_allocation();
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) noexcept {
  note_allocation();
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, size_t bytes) noexcept {
  note_allocation();
  return __libc_realloc(old, bytes);
}
void* memalign(size_t alignment, size_t bytes) noexcept {
  note_allocation();
  return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) noexcept {
  note_allocation();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** out, size_t alignment, size_t bytes) noexcept {
  note_allocation();
  *out = __libc_memalign(alignment, bytes);
  return *out == nullptr ? ENOMEM : 0;
}
}
#endif

namespace todd::probe_path {
namespace {

std::string first_allocation() {
  std::string out;
  char** names = backtrace_symbols(counted.first.data(), counted.depth);
  for (int i = 0; i < counted.depth; ++i) out += std::string("\n  ") + names[i];
  free(names);
  return out;
}

// ICMP that is answered at once: of 16 probes one is lost, one answered twice, one answered by an error;
// every fifth finds the socket full and has to wait. So many probes at first get no answer but errors.
class VirtualNetwork final : public io::Reactor {
 public:
  explicit VirtualNetwork(uint64_t unanswered = 0) : unanswered_(unanswered) {}
  const char* name() const override { return "virtual"; }
  const std::string& why() const override { return why_; }
  bool turn(int64_t deadline_ns) override;
  void post(std::function<void()> task) override { task(); }
  std::unique_ptr<io::DatagramSocket> add_datagram(UniqueFd fd, io::DatagramSink& sink,
                                                   io::DatagramOptions) override {
    sink_ = &sink;
    return std::make_unique<Socket>(*this, std::move(fd));
  }
  std::unique_ptr<io::Stream> add_stream(UniqueFd, io::StreamSink&, io::StreamOptions) override {
    return nullptr;
  }
  std::unique_ptr<io::Acceptor> add_acceptor(UniqueFd, io::AcceptSink&) override { return nullptr; }
  std::unique_ptr<io::Readiness> add_readiness(int, io::ReadyFor, io::ReadinessSink&) override {
    return nullptr;
  }
  uint64_t syscalls() const override { return 0; }

 private:
  struct Probe {
    std::array<uint8_t, 128> bytes{};
    uint32_t len = 0;
    io::Address to{};
    uint64_t cookie = 0;
  };
  struct Socket final : io::DatagramSocket {
    Socket(VirtualNetwork& network, UniqueFd fd) : network_(network), fd_(std::move(fd)) {}
    bool send(const io::DatagramOut& out) override {
      if (network_.queued_ == network_.probes_.size()) return false;
      Probe& probe = network_.probes_[network_.queued_++];
      memcpy(probe.bytes.data(), out.data, out.len);
      probe.len = out.len;
      probe.to = *out.to;
      probe.cookie = out.cookie;
      return true;
    }
    int fd() const override { return fd_.get(); }
    void check_drops() override {}
    VirtualNetwork& network_;
    UniqueFd fd_;
  };
  void answer(Probe& probe);
  void deliver(const uint8_t* data, uint32_t len, const io::Address& from) {
    io::DatagramIn in{};
    in.data = data;
    in.len = len;
    in.ttl = 64;
    in.from = from;
    in.rx_wall_ns = wall_ns();
    in.rx_source = io::Stamp::kernel;
    sink_->on_datagram(in);
  }
  void refuse(const Probe& probe) {
    std::array<uint8_t, 36> error{3, 1};  // host unreachable
    error[8] = 0x45;
    error[17] = IPPROTO_ICMP;
    memcpy(&error[24], &probe.to.v4.sin_addr, 4);
    memcpy(&error[28], probe.bytes.data(), 8);
    deliver(error.data(), error.size(), probe.to);
  }

  const std::string why_;
  const uint64_t unanswered_;
  io::DatagramSink* sink_ = nullptr;
  std::array<Probe, 512> probes_;
  size_t queued_ = 0;
  uint64_t offered_ = 0, number_ = 0;
};

void VirtualNetwork::answer(Probe& probe) {
  const uint64_t number = number_++, fate = number % 16;
  if (fate == 3) return;
  if (fate == 7) return refuse(probe);
  if (number < unanswered_) return;
  probe.bytes[0] = 0;  // echo reply
  deliver(probe.bytes.data(), probe.len, probe.to);
  if (fate == 11) deliver(probe.bytes.data(), probe.len, probe.to);
}

bool VirtualNetwork::turn(int64_t deadline_ns) {
  const size_t sent = std::exchange(queued_, 0);
  for (size_t i = 0; i < sent; ++i) {
    const bool full = ++offered_ % 5 == 0;
    sink_->on_sent(probes_[i].cookie, full ? -EAGAIN : 0, monotonic_ns());
    if (!full) answer(probes_[i]);
  }
  if (sent != 0 || deadline_ns <= monotonic_ns()) return sent != 0;
  const timespec until{deadline_ns / 1'000'000'000, deadline_ns % 1'000'000'000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  return false;
}

constexpr uint64_t kRounds = 20, kFirstRounds = 4;

// Runs it and returns the allocations of the rounds between.
uint64_t allocations_of(ProbePath& path, double rate, bool frames, uint64_t last_round = kRounds - 1) {
  void* once[1];
  backtrace(once, 1);  // loads what it needs
  uint64_t sent = 0;
  counted = {};
  uint64_t before = 0;
  path.run(
      rate, kRounds,
      [&] {
        before = counted.allocations;
        counted.on = sent >= kFirstRounds * kTargets && sent < last_round * kTargets;
      },
      [&](const Turn& turn) {
        counted.on = false;
        sent += turn.sent;
        // Once a second frames read the routes again, which is no probe's doing.
        constexpr uint32_t kReadsRoutes = 10;
        if (frames && turn.calls >= kReadsRoutes) counted.allocations = before;
      });
  return counted.allocations;
}

class ProbePathMemoryTest : public testing::TestWithParam<Way> {};
INSTANTIATE_TEST_SUITE_P(Ways, ProbePathMemoryTest, testing::ValuesIn(all_ways()), way_name);

TEST_P(ProbePathMemoryTest, NoAllocationBetweenTheFirstRoundsAndTheLast) {
  if (!kCounts) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  for (const double rate : {20'000.0, double{HUGE_VAL}}) {
    ProbePath path(GetParam());
    if (!path.ok()) return;
    EXPECT_EQ(allocations_of(path, rate, GetParam().door == Door::frames), 0u) << first_allocation();
    path.expect_all_answered(kRounds);
  }
}

TEST(ProbePathVirtualMemoryTest, NoAllocationWhateverBecomesOfTheProbes) {
  if (!kCounts) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  for (const double rate : {20'000.0, double{HUGE_VAL}}) {
    ProbePath path(std::make_unique<VirtualNetwork>());
    ASSERT_TRUE(path.ok());
    EXPECT_EQ(allocations_of(path, rate, false), 0u) << first_allocation();
    constexpr uint64_t kAll = kRounds * kTargets;
    EXPECT_EQ(path.counter(lane::kReceived), kAll / 16 * 14);
    EXPECT_EQ(path.counter(lane::kLost), kAll / 8);
    EXPECT_EQ(path.counter(lane::kDuplicate), kAll / 16);
    const uint64_t packet = path.counter(lane::kSentBytes) / kAll;
    EXPECT_EQ(packet, 20u + 8u + 56u);
    EXPECT_EQ(path.counter(lane::kSentBytes), kAll * packet);
    EXPECT_EQ(path.counter(lane::kReceivedBytes), kAll / 16 * 15 * packet) << "ICMP errors are no replies";
  }
}

// Round by round no target is answered, and then nearly all.
TEST(ProbePathVirtualMemoryTest, NoAllocationWhereTargetsAreFinished) {
  if (!kCounts) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  constexpr uint64_t kUnanswered = kFirstRounds + 2;
  for (const double rate : {20'000.0, double{HUGE_VAL}}) {
    ProbePath path(std::make_unique<VirtualNetwork>(kUnanswered * kTargets), {{"until_answer", "true"}});
    ASSERT_TRUE(path.ok());
    EXPECT_EQ(allocations_of(path, rate, false, kUnanswered + 1), 0u) << first_allocation();
    EXPECT_GE(path.counter(lane::kReceived), kTargets);
    EXPECT_LT(path.counter(lane::kPlanned), (kUnanswered + 4) * kTargets) << "the others were finished";
  }
}

TEST(ProbePathVirtualMemoryTest, AnAllocationIsSeen) {
  if (!kCounts) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  counted = {};
  counted.on = true;
  const auto made = std::make_unique<std::vector<int>>(100);
  counted.on = false;
  EXPECT_EQ(counted.allocations, 2u) << "the object and what it holds";
  EXPECT_EQ(made->size(), 100u);
}

}  // namespace
}  // namespace todd::probe_path
