#pragma once
// Ping as a lane runs it, on a real reactor in a pair of network namespaces of which the far end answers,
// with a look at every turn: what it sent and received, what it cost.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.h"
#include "engine/host/library.h"
#include "engine/io/packet_sender.h"
#include "engine/io/sockets.h"
#include "engine/lane/instance.h"
#include "engine/manifest/params.h"
#include "engine/worker/make_setup.h"
#include "tests/support/network_pair.h"
#include "todd/v1/task.pb.h"

namespace todd::probe_path {

enum class Door { raw, ping, frames };

struct Way {
  io::EngineChoice engine;
  Door door;
  manifest::Stamps stamps;
};
inline std::string way_name(const testing::TestParamInfo<Way>& info) {
  const auto& [engine, door, stamps] = info.param;
  std::string name = io::engine_text(engine);
  for (char& c : name)
    if (c == ':' || c == '.') c = '_';
  constexpr const char* kDoors[] = {"raw", "ping", "frames"};
  constexpr const char* kStamps[] = {"exact", "sampled", "user"};
  return name + "_" + kDoors[static_cast<int>(door)] + "_" + kStamps[static_cast<int>(stamps)];
}

// What one turn did: datagrams handed to the kernel, received, and stamps of departure that came.
struct Turn {
  uint32_t sent = 0, received = 0, stamped = 0;
  uint32_t calls = 0;  // by the reactor's own count
};

// Tells what passes between a reactor and its sinks, and passes it on.
class WatchedReactor final : public io::Reactor {
 public:
  explicit WatchedReactor(std::unique_ptr<io::Reactor> inner) : inner_(std::move(inner)) {}
  Turn current;

  const char* name() const override { return inner_->name(); }
  const std::string& why() const override { return inner_->why(); }
  bool turn(int64_t deadline_ns) override {
    const uint64_t before = inner_->syscalls();
    const bool came = inner_->turn(deadline_ns);
    current.calls += static_cast<uint32_t>(inner_->syscalls() - before);
    return came;
  }
  void post(std::function<void()> task) override { inner_->post(std::move(task)); }
  std::unique_ptr<io::DatagramSocket> add_datagram(UniqueFd fd, io::DatagramSink& sink,
                                                   io::DatagramOptions options) override {
    sinks_.push_back(std::make_unique<Sink>(sink, current));
    return inner_->add_datagram(std::move(fd), *sinks_.back(), options);
  }
  std::unique_ptr<io::Stream> add_stream(UniqueFd fd, io::StreamSink& sink,
                                         io::StreamOptions options) override {
    return inner_->add_stream(std::move(fd), sink, options);
  }
  std::unique_ptr<io::Acceptor> add_acceptor(UniqueFd fd, io::AcceptSink& sink) override {
    return inner_->add_acceptor(std::move(fd), sink);
  }
  std::unique_ptr<io::Readiness> add_readiness(int fd, io::ReadyFor what, io::ReadinessSink& sink) override {
    return inner_->add_readiness(fd, what, sink);
  }
  uint64_t syscalls() const override { return inner_->syscalls(); }

 private:
  struct Sink final : io::DatagramSink {
    Sink(io::DatagramSink& to, Turn& turn) : to_(to), turn_(turn) {}
    void on_sent(uint64_t cookie, int result, int64_t tx_mono_ns) override {
      turn_.sent += result == 0;
      to_.on_sent(cookie, result, tx_mono_ns);
    }
    void on_datagram(const io::DatagramIn& in) override {
      ++turn_.received;
      to_.on_datagram(in);
    }
    void on_error(const io::DatagramError& error) override { to_.on_error(error); }
    void on_drops(uint64_t dropped) override { to_.on_drops(dropped); }
    void on_transmitted(const uint8_t* packet, uint32_t len, int64_t wall_ns) override {
      ++turn_.stamped;
      to_.on_transmitted(packet, len, wall_ns);
    }
    io::DatagramSink& to_;
    Turn& turn_;
  };

  std::vector<std::unique_ptr<Sink>> sinks_;  // outlive the sockets, which the instance destroys before this
  std::unique_ptr<io::Reactor> inner_;
};

inline constexpr uint32_t kTargets = 512;
inline constexpr int64_t kTimeoutNs = 200'000'000;

class ProbePath {
 public:
  // Skips the test, or fails it, if it cannot be had; then ok() is false.
  explicit ProbePath(const Way& way) { make(way); }
  // On a network of the test's.
  explicit ProbePath(std::unique_ptr<io::Reactor> network,
                     const std::map<std::string, std::string>& params = {})
      : reactor_(std::make_unique<WatchedReactor>(std::move(network))) {
    make_setup({{}, Door::ping, manifest::Stamps::user}, params);
    setup_->icmp[0].fd = UniqueFd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    make_instance();
  }
  ~ProbePath() {
    instance_.reset();
    if (setup_ && setup_->instance != nullptr) setup_->testlet->destroy(setup_->instance);
  }
  ProbePath(const ProbePath&) = delete;
  ProbePath& operator=(const ProbePath&) = delete;

  bool ok() const { return host_.size != 0 && setup_->instance != nullptr; }
  WatchedReactor& reactor() { return *reactor_; }
  uint64_t counter(lane::HostMetric metric) const {
    uint64_t sum = 0;
    const stats::CellReader reader(*setup_->layout, memory_.data());
    for (uint32_t edge = 0; edge < kTargets; ++edge)
      for (const auto& [index, value] : reader.bank_row(0, edge))
        if (index == metric) sum += value.counter;
    return sum;
  }

  // One round of probes to every target a while, `rounds` in all, at this rate of all; HUGE_VAL: as fast as
  // served. `before` is called before each turn of the loop and its work, `after` behind them.
  void run(double rate, uint64_t rounds, const std::function<void()>& before,
           const std::function<void(const Turn&)>& after) {
    setup_->plan.rate = setup_->run.rate = rate;
    setup_->plan.count = setup_->run.count = rounds;
    start();
    const int64_t give_up = monotonic_ns() + 60'000'000'000;
    while (!ended_ && monotonic_ns() < give_up) {
      before();
      reactor_->current = {};
      instance_->work(monotonic_ns());
      if (!ended_) reactor_->turn(instance_->next_wake());
      after(reactor_->current);
    }
    ASSERT_TRUE(ended_);
  }
  void expect_all_answered(uint64_t rounds) const {
    EXPECT_EQ(counter(lane::kReceived), rounds * kTargets)
        << "sent " << counter(lane::kSent) << " lost " << counter(lane::kLost) << " unsent "
        << counter(lane::kUnsent) << " undetermined " << counter(lane::kUndetermined);
  }

 private:
  void make(const Way& way) {
    std::string why;
    network_ = test::NetworkPair::make(why);
    if (!network_) GTEST_SKIP() << why;
    ASSERT_TRUE(network_->far("route add local 10.77.0.0/16 dev lo"));
    ASSERT_TRUE(network_->near("route add 10.77.0.0/16 via 192.0.2.2"));
    ASSERT_TRUE(network_->set_near("ipv4/ping_group_range", "0 2147483647"));
    auto made = io::make_reactor(way.engine);
    if (!made && way.engine.backend == io::Backend::uring) GTEST_SKIP() << made.error().detail;
    ASSERT_TRUE(made) << made.error().detail;
    reactor_ = std::make_unique<WatchedReactor>(std::move(*made));
    ASSERT_NO_FATAL_FAILURE(make_setup(way));
    ASSERT_NO_FATAL_FAILURE(open_sockets(way));
    make_instance();
  }

  void make_setup(const Way& way, const std::map<std::string, std::string>& params = {}) {
    const auto loaded = libraries().load(TODD_PING_LIBRARY, "ping");
    ASSERT_TRUE(loaded) << loaded.error().detail;
    v1::Task task;
    task.set_testlet("ping");
    task.set_role(v1::SOURCE);
    const auto values = manifest::resolve_params(loaded->manifest.params, params);
    ASSERT_TRUE(values);
    for (const auto& value : *values) {
      auto& out = *task.add_params();
      if (value.type == manifest::ParamType::text)
        out.set_s(value.s);
      else
        out.set_i(value.i);
    }
    task.mutable_schedule()->set_rate(1000);
    task.mutable_schedule()->set_count(1);
    task.mutable_schedule()->set_timeout_ns(kTimeoutNs);
    task.mutable_schedule()->set_stamps(static_cast<uint32_t>(way.stamps));
    task.add_targets()->set_host("10.77.0.0-10.77.1.255");
    auto whole = worker::make_setup(task, *loaded);
    ASSERT_TRUE(whole) << whole.error().detail;
    worker::drop_unresolved(**whole);
    setup_ = std::move(worker::divide(std::move(*whole), kTargets, 1).front());
    memory_.assign(setup_->layout->bytes(), 0);
    setup_->cells = memory_.data();
  }

  void open_sockets(const Way& way) {
    auto socket = io::open_socket(
        {.kind = io::SocketRequest::icmp, .family = AF_INET, .raw = way.door != Door::ping, .bind = false});
    ASSERT_TRUE(socket) << socket.error().detail;
    setup_->icmp[0].fd = std::move(*socket);
    setup_->icmp[0].raw = way.door != Door::ping;
    if (way.door != Door::frames) return;
    auto packet = io::open_packet_socket();
    ASSERT_TRUE(packet) << packet.error().detail;
    setup_->packet = std::move(*packet);
  }

  void make_instance() {
    host_ = {.size = sizeof host_,
             .abi_minor = TODD_ABI_MINOR,
             .name = "test",
             .version = "",
             .query = lane::query_interface,
             .log = [](const todd_host*, int32_t, const char*, size_t) {}};
    todd_error error{.size = sizeof error};
    ASSERT_GE(setup_->testlet->create(&host_, &setup_->run, &setup_->instance, &error), 0) << error.text;
    events_ = {[](const std::string&, uint16_t) {},
               [](const std::string&, const std::string&, const std::string& detail) { FAIL() << detail; },
               [this](const std::string&, const lane::Closed& closed) { ended_ |= closed.last; },
               [](const std::string&, uint64_t, const std::string&) {}};
  }

  // The plan is the instance's from its construction on.
  void start() {
    instance_ = std::make_unique<lane::Instance>(*setup_, *reactor_, events_, host_);
    instance_->begin();
    instance_->start_at(wall_ns());
  }

  // What is loaded stays loaded: libraries give up what they hold when they go, which leak checkers dislike.
  static host::Libraries& libraries() {
    static host::Libraries& all = *new host::Libraries;
    return all;
  }

  std::unique_ptr<test::NetworkPair> network_;
  std::unique_ptr<lane::TaskSetup> setup_;
  std::vector<uint8_t> memory_;
  std::unique_ptr<WatchedReactor> reactor_;
  lane::InstanceEvents events_;
  todd_host host_{};
  bool ended_ = false;
  std::unique_ptr<lane::Instance> instance_;
};

inline std::vector<Way> all_ways() {
  std::vector<Way> ways;
  for (const auto engine : {io::EngineChoice{io::Backend::uring}, io::EngineChoice{io::Backend::uring, 600},
                            io::EngineChoice{io::Backend::event}})
    for (const auto door : {Door::raw, Door::ping, Door::frames})
      for (const auto stamps : {manifest::Stamps::exact, manifest::Stamps::sampled, manifest::Stamps::user})
        ways.push_back({engine, door, stamps});
  return ways;
}

}  // namespace todd::probe_path
