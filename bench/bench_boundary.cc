// What the boundary costs a probe: ping's step with 64 tickets and 64 replies, through the library as it is
// shipped and the tables that it calls, beside the same work in one loop inside the engine. Both must record
// the same, which is compared first.
#include <benchmark/benchmark.h>
#include <sys/socket.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>

#include "engine/host/library.h"
#include "engine/io/sockets.h"
#include "engine/lane/instance.h"
#include "engine/manifest/params.h"
#include "engine/worker/make_setup.h"
#include "tests/unit/engine/lane/fake_reactor.h"
#include "todd/v1/task.pb.h"

namespace todd::lane {
const void* query_interface(const todd_host*, const char* id);
}

namespace {

using namespace todd;

constexpr uint32_t kTargets = 1024, kBatch = 64, kMessage = 64, kIcmpHeader = 8, kCookieEnd = 16;
constexpr int64_t kSecond = 1'000'000'000;

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "bench_boundary: %s\n", result.error().detail.c_str());
    std::exit(1);
  }
  return std::move(*result);
}

v1::Task task_of(const manifest::Testlet& testlet) {
  v1::Task task;
  task.set_testlet("ping");
  task.set_role(v1::SOURCE);
  for (const auto& value : must(manifest::resolve_params(testlet.params, {}))) {
    auto& out = *task.add_params();
    switch (value.type) {
      case manifest::ParamType::text: out.set_s(value.s); break;
      case manifest::ParamType::real:
      case manifest::ParamType::rate:
      case manifest::ParamType::ratio: out.set_r(value.r); break;
      default: out.set_i(value.i);
    }
  }
  task.mutable_schedule()->set_interval_ns(kSecond);
  task.mutable_schedule()->set_timeout_ns(kSecond);
  task.mutable_schedule()->set_count(1u << 30);
  task.add_targets()->set_host("10.64.0.0-10.64.3.255");
  return task;
}

// A task of ping that was created and started, on a reactor that sends nowhere.
class Task {
 public:
  explicit Task(host::Libraries& libraries) {
    const auto loaded = must(libraries.load(TODD_PING_LIBRARY, "ping"));
    auto whole = must(worker::make_setup(task_of(loaded.manifest), loaded));
    worker::drop_unresolved(*whole);
    const uint32_t edges = worker::edges_of(*whole);
    setup_ = std::move(worker::divide(std::move(whole), edges, 1).front());
    memory_.reset(static_cast<uint8_t*>(std::calloc(setup_->layout->bytes(), 1)));
    setup_->cells = memory_.get();
    setup_->icmp[0].fd = UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    host_ = {.size = sizeof host_,
             .abi_minor = TODD_ABI_MINOR,
             .name = "bench",
             .version = "",
             .query = lane::query_interface,
             .log = log};
    todd_error error{.size = sizeof error};
    if (setup_->testlet->create(&host_, &setup_->run, &setup_->instance, &error) < 0) fail(error.text);
    events_ = {
        [this](const std::string&, uint16_t) { ready_ = true; },
        [](const std::string&, const std::string&, const std::string& detail) { fail(detail.c_str()); },
        [](const std::string&, const lane::Closed&) {},
        [](const std::string&, uint64_t, const std::string&) {}};
    instance_ = std::make_unique<lane::Instance>(*setup_, reactor_, events_, host_);
    instance_->begin();
    if (!ready_) fail("not ready");
  }
  ~Task() {
    instance_.reset();
    setup_->testlet->destroy(setup_->instance);
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  void step(todd_batch& batch) {
    if (setup_->testlet->step(setup_->instance, &batch) != 0) fail("step");
  }
  stats::CellWriter& cells() { return instance_->cells(); }
  uint32_t metric(const char* name) const {
    for (uint32_t i = 0; i < setup_->manifest.metrics.size(); ++i)
      if (setup_->manifest.metrics[i].name == name) return i;
    fail(name);
  }
  stats::CellReader::Row row(uint32_t edge) const {
    return stats::CellReader(*setup_->layout, memory_.get()).bank_row(0, edge);
  }

 private:
  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "bench_boundary: %s\n", what);
    std::exit(1);
  }
  static void log(const todd_host*, int32_t, const char*, size_t) {}

  struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
  };
  std::unique_ptr<lane::TaskSetup> setup_;
  std::unique_ptr<uint8_t, Free> memory_;
  lane::FakeReactor reactor_;
  lane::InstanceEvents events_;
  todd_host host_{};
  bool ready_ = false;
  std::unique_ptr<lane::Instance> instance_;
};

// Batches as the lane makes them: the tickets of 64 targets after the other, and the replies to those of the
// batch before.
class Traffic {
 public:
  Traffic()
      : slots_(kBatch * kMessage),
        received_(kBatch * kMessage),
        free_(kBatch),
        ops_(512),
        tickets_(kBatch),
        done_(kBatch) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      free_[i] = i;
      done_[i] = {.result = kMessage,
                  .code = TODD_OP_EXCHANGE,
                  .flow = 0,
                  .slot = i,
                  .len = kMessage,
                  .tx_src = TODD_TS_KERNEL,
                  .rx_src = TODD_TS_KERNEL,
                  .ttl = 64};
    }
  }

  todd_batch& next() {
    const bool answers = number_ > 0;
    for (uint32_t i = 0; i < kBatch; ++i) {
      auto& done = done_[i];
      done.user = uint64_t{tickets_[i].target} << 32 | tickets_[i].round;
      done.target = tickets_[i].target;
      done.arg = static_cast<uint64_t>(tickets_[i].due_ns);
      done.tx_ns = tickets_[i].due_ns + 300;  // late by that
      done.rx_ns = done.tx_ns + 20'000 + static_cast<int64_t>((number_ * 2654435761u) % 8192);
      const uint64_t ticket = number_++;
      tickets_[i] = {static_cast<int64_t>(kSecond + ticket * 1000), static_cast<uint32_t>(ticket % kTargets),
                     static_cast<uint32_t>(ticket / kTargets)};
    }
    view_ = {slots_.data(), free_.data(), received_.data(), kMessage, kMessage, kBatch, 0};
    batch_ = {};
    batch_.size = sizeof batch_;
    batch_.state = TODD_RUNNING;
    batch_.now_ns = tickets_.back().due_ns;
    batch_.start_ns = kSecond;
    batch_.deadline_ns = INT64_MAX;
    batch_.done = done_.data();
    batch_.n_done = answers ? kBatch : 0;
    batch_.ticket = tickets_.data();
    batch_.n_ticket = kBatch;
    batch_.op = ops_.data();
    batch_.cap_op = static_cast<uint32_t>(ops_.size());
    view_pointer_ = &view_;
    batch_.slots = &view_pointer_;
    batch_.n_flow = 1;
    return batch_;
  }

  // What was sent comes back: all messages are alike but for the bytes that the engine fills in.
  void learn_replies() { std::memcpy(received_.data(), slots_.data(), received_.size()); }
  const uint8_t* sent(uint32_t slot) const { return &slots_[size_t{slot} * kMessage]; }

 private:
  std::vector<uint8_t> slots_, received_;
  std::vector<uint32_t> free_;
  std::vector<todd_op> ops_;
  std::vector<todd_ticket> tickets_;
  std::vector<todd_done> done_;
  todd_slots view_{};
  todd_slots* view_pointer_ = nullptr;
  todd_batch batch_{};
  uint64_t number_ = 0;
};

// What ping does for an answered probe, without a boundary: no table of functions, no check of what crosses
// it.
class InEngine {
 public:
  InEngine(Task& task, const uint8_t* message)
      : cells_(task.cells()),
        rtt_(task.metric("rtt")),
        corrected_(task.metric("rtt_corrected")),
        jitter_(task.metric("jitter")),
        smoothed_(task.metric("jitter_rfc3550")),
        ttl_(task.metric("ttl")),
        hops_(task.metric("hops")),
        longest_(task.metric("longest_loss_burst")),
        outage_(task.metric("outage")),
        targets_(kTargets) {
    std::memcpy(message_, message, kMessage);
  }

  void step(todd_batch& b) {
    for (uint32_t i = 0; i < b.n_done; ++i) reply(b, b.done[i]);
    auto& view = *b.slots[0];
    for (uint32_t i = 0; i < b.n_ticket; ++i) {
      const uint32_t slot = view.free[view.taken++];
      std::memcpy(view.base + size_t{slot} * view.stride, message_, kMessage);
      b.op[b.n_op++] = {.user = uint64_t{b.ticket[i].target} << 32 | b.ticket[i].round,
                        .code = TODD_OP_EXCHANGE,
                        .target = b.ticket[i].target,
                        .slot = slot,
                        .len = kMessage,
                        .at_ns = b.ticket[i].due_ns};
    }
    b.served = b.n_ticket;
  }

 private:
  struct Target {
    int64_t rtt_ns = 0;
    float jitter_ns = 0;
    uint32_t answers = 0;
  };

  void reply(const todd_batch& b, const todd_done& d) {
    Target& t = targets_[d.target];
    const int64_t rtt = d.rx_ns - d.tx_ns;
    cells_.observe(rtt_, d.target, static_cast<uint64_t>(rtt));
    cells_.observe(corrected_, d.target, static_cast<uint64_t>(d.rx_ns) - d.arg);
    const int64_t apart = std::abs(rtt - t.rtt_ns);
    if (t.answers > 0) {
      cells_.observe(jitter_, d.target, static_cast<uint64_t>(apart));
      t.jitter_ns += (static_cast<float>(apart) - t.jitter_ns) / 16;
      set(smoothed_, d.target, double(int64_t(t.jitter_ns)));
    }
    set(ttl_, d.target, d.ttl);
    if (t.answers == 1) {
      set(hops_, d.target, 64 - d.ttl);
      cells_.set(longest_, d.target, 0, stats::GaugeMerge::max);
      cells_.set(outage_, d.target, 0, stats::GaugeMerge::max);
    }
    t.rtt_ns = rtt;
    ++t.answers;
    if (std::memcmp(todd_payload(&b, &d) + kCookieEnd, message_ + kCookieEnd, kMessage - kCookieEnd) != 0)
      std::abort();
  }
  void set(uint32_t metric, uint32_t edge, double value) {
    cells_.set(metric, edge, value, stats::GaugeMerge::last);
  }

  stats::CellWriter& cells_;
  uint32_t rtt_, corrected_, jitter_, smoothed_, ttl_, hops_, longest_, outage_;
  std::vector<Target> targets_;
  uint8_t message_[kMessage];
};

// Both ways, fed the same; the first batches are for memory and for learning what a message looks like.
struct Contest {
  explicit Contest(host::Libraries& libraries) : through(libraries), within(libraries) {
    through.step(theirs.next());
    theirs.learn_replies();
    in_engine = std::make_unique<InEngine>(within, theirs.sent(0));
    in_engine->step(ours.next());
    ours.learn_replies();
    for (uint32_t i = 0; i < 4 * kTargets / kBatch; ++i) {
      through.step(theirs.next());
      in_engine->step(ours.next());
    }
  }

  bool agree() const {
    for (uint32_t edge = 0; edge < kTargets; ++edge)
      if (through.row(edge) != within.row(edge) || through.row(edge).empty()) return false;
    return true;
  }

  Task through, within;
  Traffic theirs, ours;
  std::unique_ptr<InEngine> in_engine;
};

void testlet(benchmark::State& state, Contest& contest) {
  for (auto _ : state) contest.through.step(contest.theirs.next());
  state.SetItemsProcessed(state.iterations() * kBatch);
}

void in_engine(benchmark::State& state, Contest& contest) {
  for (auto _ : state) contest.in_engine->step(contest.ours.next());
  state.SetItemsProcessed(state.iterations() * kBatch);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  // Libraries keep what they loaded for good: reachable to the end.
  static auto& libraries = *new host::Libraries;
  Contest contest(libraries);
  if (!contest.agree()) {
    std::fprintf(stderr, "bench_boundary: the two ways record different things\n");
    return 1;
  }
  benchmark::RegisterBenchmark("testlet", testlet, std::ref(contest));
  benchmark::RegisterBenchmark("in_engine", in_engine, std::ref(contest));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
