#pragma once
// An instance with one flow of streams, on a real reactor over loopback, that does what a test tells it.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/io/sockets.h"
#include "engine/lane/bulk_mover.h"
#include "engine/lane/stream_flow.h"
#include "tests/unit/engine/io/reactor_fixture.h"

namespace todd::lane {

inline constexpr int64_t kMs = 1'000'000, kS = 1'000 * kMs;

// A testlet that does what the test says and remembers what came of it.
struct Puppet {
  struct Wanted {
    todd_op op;
    std::string payload;
  };
  todd_flow flow{};
  std::function<void(Puppet&)> prepare = [](Puppet&) {};  // in start()
  const todd_lane* lane = nullptr;
  const todd_net* net = nullptr;
  const todd_stream* tls = nullptr;
  const todd_bulk* bulk = nullptr;
  std::function<void()> in_step;  // called in the next one, once
  std::deque<Wanted> wanted;
  std::vector<todd_done> done;
  std::string received;
  uint32_t free_slots = 0;

  static Puppet& of(void* self) { return *static_cast<Puppet*>(self); }
  static todd_status start(void* self, const todd_lane* lane, todd_error* error) {
    Puppet& p = of(self);
    p.lane = lane;
    p.net = static_cast<const todd_net*>(lane->host->query(lane->host, TODD_NET_1));
    p.tls = static_cast<const todd_stream*>(lane->host->query(lane->host, TODD_STREAM_1));
    p.bulk = static_cast<const todd_bulk*>(lane->host->query(lane->host, TODD_BULK_1));
    p.flow.size = sizeof p.flow;
    if (p.flow.proto == 0) p.flow.proto = TODD_TCP;
    if (p.flow.slot_cap == 0) p.flow.slot_cap = 64 * 1024;
    uint32_t index = 0;
    const todd_status status = p.net->open(lane, &p.flow, &index, error);
    if (status < 0) return status;
    p.prepare(p);
    p.net->ready(lane);
    return 0;
  }
  static todd_status step(void* self, todd_batch* b) {
    Puppet& p = of(self);
    todd_slots& slots = *b->slots[0];
    p.free_slots = slots.n_free;
    for (uint32_t i = 0; i < b->n_done; ++i) {
      p.done.push_back(b->done[i]);
      if (b->done[i].code != TODD_OP_RECV || b->done[i].len == 0) continue;
      p.received.append(reinterpret_cast<const char*>(todd_payload(b, &b->done[i])), b->done[i].len);
    }
    for (; b->state != TODD_CANCELLED && !p.wanted.empty() && b->n_op < b->cap_op; p.wanted.pop_front()) {
      auto& [op, payload] = p.wanted.front();
      if (!payload.empty()) {
        if (slots.taken == slots.n_free) break;
        op.slot = slots.free[slots.taken++];
        op.len = static_cast<uint32_t>(payload.size());
        memcpy(slots.base + size_t{op.slot} * slots.stride, payload.data(), payload.size());
      }
      b->op[b->n_op++] = op;
    }
    if (const auto call = std::exchange(p.in_step, nullptr); call) call();
    b->wake_ns = b->now_ns + kMs;
    return 0;
  }
};

class StreamFlowTest : public io::ReactorTest {
 protected:
  // One target, unless the test has added others: a socket that listens and does nothing more.
  void begin(bool good = true) {
    testlet_.size = sizeof testlet_;
    testlet_.start = Puppet::start;
    testlet_.step = Puppet::step;
    setup_.testlet = &testlet_;
    setup_.instance = &puppet_;
    setup_.manifest.probes = true;
    const auto counted = manifest::host_metrics(setup_.manifest);
    setup_.manifest.metrics.assign(counted.begin(), counted.end());
    setup_.run.size = sizeof setup_.run;
    setup_.run.role = TODD_SOURCE;
    if (setup_.timeout_ns == 0) setup_.timeout_ns = 10 * kS;
    setup_.specs = std::make_shared<std::vector<schedule::TargetSpec>>(1);
    if (setup_.targets.empty()) listen_for_target(8);
    const auto n = static_cast<uint32_t>(setup_.targets.size());
    setup_.run.n_target = n;
    setup_.samples = -1;
    std::vector<stats::Kind> kinds;
    for (const auto& metric : setup_.manifest.metrics) kinds.push_back(metric.kind);
    setup_.layout = std::make_unique<stats::CellLayout>(kinds, n, 64u);
    memory_.assign(setup_.layout->bytes() / 8 + 1, 0);
    setup_.cells = reinterpret_cast<uint8_t*>(memory_.data());
    events_.ready = [](const std::string&, uint16_t) {};
    events_.failed = [this](const std::string&, const std::string& reason, const std::string& why) {
      failed_ = reason + ": " + why;
    };
    events_.closed = [](const std::string&, const Closed&) {};
    events_.resolve = [this](const std::string&, uint64_t token, const std::string& name) {
      asked_.emplace_back(token, name);
    };
    mover_ = std::make_unique<BulkMover>(*reactor_);
    if (!events_.move)
      events_.move = [this](const std::shared_ptr<BulkJob>& job) {
        mover_->expect();
        job->set_mover(mover_->bell());
        mover_->take(job);
        return true;
      };
    host_.query = query_interface;
    instance_ = std::make_unique<Instance>(setup_, *reactor_, events_, host_);
    instance_->begin();
    ASSERT_EQ(failed_.empty(), good) << failed_;
    instance_->start_at(wall_ns() - kMs);
  }
  void TearDown() override {
    instance_.reset();
    mover_.reset();
    ReactorTest::TearDown();
  }
  void listen_for_target(int backlog) {
    auto address = io::loopback(AF_INET);
    listening_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(listening_.get(), &address.sa, sizeof address.v4), 0);
    ASSERT_EQ(listen(listening_.get(), backlog), 0);
    setup_.targets.push_back({.address = *io::local_address(listening_.get())});
  }
  // The lane's rounds, later_ns after what is now, until that is so; false: it is not within ten seconds.
  bool rounds(const std::function<bool()>& so, int64_t later_ns = 0) {
    const int64_t end = monotonic_ns() + 10 * kS;
    for (;;) {
      instance_->work(monotonic_ns() + later_ns);
      if (so()) return true;
      if (monotonic_ns() >= end) return false;
      const int64_t wake = mover_->work(monotonic_ns());
      reactor_->turn(std::min(wake, monotonic_ns() + kMs));
    }
  }
  static todd_op op(int code, uint64_t stream = 0) {
    todd_op made{};
    made.code = static_cast<uint16_t>(code);
    made.slot = TODD_NONE;
    made.key = stream;
    made.user = static_cast<uint64_t>(code);
    return made;
  }
  void want(const todd_op& what, const std::string& payload = "") {
    puppet_.wanted.push_back({what, payload});
  }
  // The operation, and the next completion of its code.
  todd_done go(const todd_op& what, const std::string& payload = "") {
    want(what, payload);
    return next(what.code);
  }
  todd_done next(int code, int64_t later_ns = 0) {
    todd_done found{};
    found.result = INT32_MIN;
    const auto there = [&] {
      for (size_t i = 0; i < puppet_.done.size(); ++i) {
        if (puppet_.done[i].code != code) continue;
        found = puppet_.done[i];
        puppet_.done.erase(puppet_.done.begin() + static_cast<ptrdiff_t>(i));
        return true;
      }
      return false;
    };
    EXPECT_TRUE(rounds(there, later_ns)) << "no completion of " << code;
    return found;
  }
  // Of an established connection to the target.
  uint64_t connect() {
    const todd_done done = go(op(TODD_OP_CONNECT));
    EXPECT_EQ(done.result, 0);
    return done.arg;
  }
  // What the testlet has asked for was done and told.
  void settle() {
    want(op(TODD_OP_TIMER));
    next(TODD_OP_TIMER);
  }
  int option(uint64_t stream, int level, int name) {
    StreamBase* const flow = instance_->stream_flow_of(stream);
    int value = -1;
    socklen_t len = sizeof value;
    EXPECT_TRUE(flow != nullptr && getsockopt(flow->fd(stream), level, name, &value, &len) == 0);
    return value;
  }
  std::string congestion(uint64_t stream) {
    char text[16] = "";
    socklen_t len = sizeof text;
    getsockopt(instance_->stream_flow_of(stream)->fd(stream), IPPROTO_TCP, TCP_CONGESTION, text, &len);
    return text;
  }
  uint64_t count(HostMetric metric) {
    stats::CellReader reader(*setup_.layout, setup_.cells);
    uint64_t n = 0;
    for (const uint32_t bank : {0u, 1u})
      for (const auto& [index, value] : reader.bank_row(bank, 0))
        if (index == metric) n += value.counter;
    return n;
  }
  UniqueFd accept_one() {
    const timeval limit{5, 0};  // of accept() too
    setsockopt(listening_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    UniqueFd fd(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(fd);
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
  }
  // A connection of somebody else's to a port of ours.
  static UniqueFd call(uint16_t port) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto to = io::loopback(AF_INET, port);
    EXPECT_EQ(::connect(fd.get(), &to.sa, sizeof to.v4), 0);
    return fd;
  }
  static bool hung_up(const UniqueFd& fd) {
    char byte;
    const ssize_t got = recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return got == 0 || (got < 0 && errno != EAGAIN);
  }
  static uint32_t make_tls(Puppet& p, uint32_t flags) {
    todd_tls wanted{};
    wanted.size = sizeof wanted;
    wanted.flags = flags;
    uint32_t context = 0;
    EXPECT_EQ(p.tls->tls(p.lane, &wanted, &context, nullptr), 0);
    return context;
  }
  std::string tls_error(uint64_t stream) {
    todd_tls_info info{};
    info.size = sizeof info;
    EXPECT_EQ(puppet_.tls->tls_info(puppet_.lane, stream, &info), 0);
    return info.error != nullptr ? info.error : "";
  }

  Puppet puppet_;
  todd_testlet testlet_{};
  todd_host host_{};
  TaskSetup setup_;
  std::vector<uint64_t> memory_;
  InstanceEvents events_;
  std::string failed_;
  std::vector<std::pair<uint64_t, std::string>> asked_;  // RESOLVEs: token and name
  UniqueFd listening_;
  std::unique_ptr<BulkMover> mover_;
  std::unique_ptr<Instance> instance_;
};

}  // namespace todd::lane
