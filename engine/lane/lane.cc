#include "engine/lane/lane.h"

#include <sys/prctl.h>

#include <atomic>
#include <future>
#include <map>
#include <thread>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/version.h"
#include "engine/lane/bulk_mover.h"

namespace todd::lane {
namespace {

void log_from_testlet(const todd_host*, int32_t level, const char* text, size_t len) {
  const LogLevel levels[] = {LogLevel::debug, LogLevel::info, LogLevel::warn, LogLevel::error};
  log(levels[level < 0 || level > 3 ? 1 : level], "testlet", {text, len});
}

const todd_host kHost{.size = sizeof(todd_host),
                      .abi_minor = TODD_ABI_MINOR,
                      .ctx = nullptr,
                      .name = "todd-worker",
                      .version = kVersion,
                      .query = query_interface,
                      .log = log_from_testlet};

}  // namespace

struct Lane::Impl {
  struct Task {
    std::unique_ptr<TaskSetup> setup;
    std::unique_ptr<Instance> instance;
  };
  Events events;
  std::unique_ptr<io::Reactor> reactor;
  std::unique_ptr<BulkMover> mover;
  std::map<std::string, Task> tasks;
  bool stopping = false;  // set by a posted task
  std::atomic<size_t> n_tasks{0};
  std::promise<void> told_to_stop;  // whoever posts `stopping` may still be about it when it has run
  std::thread thread;
  static constexpr int64_t kOversleptNs =
      10'000'000;  // less than what is given up is waited for beyond its time

  void run() {
    int64_t looked = monotonic_ns();
    while (!stopping) {
      const int64_t wake = work(), from = monotonic_ns();
      reactor->turn(wake);
      const int64_t now = monotonic_ns();
      if (from - looked > kOversleptNs || now - std::max(wake, from) > kOversleptNs) catch_up();
      looked = now;
    }
    tasks.clear();
    mover.reset();
  }

  // This thread was kept from its work, or slept longer than it meant: what came meanwhile is heard before
  // anything is given up for want of it.
  void catch_up() {
    constexpr int kMost = 1000;
    for (int i = 0; i < kMost && !stopping && reactor->turn(0); ++i) {
    }
  }

  // Every task's round; returns when the next is due.
  int64_t work() {
    const int64_t now = monotonic_ns();
    int64_t wake = INT64_MAX;
    for (auto it = tasks.begin(); it != tasks.end();) {
      it->second.instance->work(now);
      if (it->second.instance->ended()) {
        it->second.instance.reset();
        events.ended(std::move(it->second.setup));
        it = tasks.erase(it);
        n_tasks.store(tasks.size(), std::memory_order_relaxed);
      } else {
        wake = std::min(wake, it->second.instance->next_wake());
        ++it;
      }
    }
    return std::min(wake, mover->work(monotonic_ns()));
  }

  void with(const std::string& id, const std::function<void(Instance&)>& what) {
    const auto it = tasks.find(id);
    if (it != tasks.end()) what(*it->second.instance);
  }
};

Lane::Lane(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Lane>> Lane::start(const io::EngineChoice& engine, Events events) {
  auto impl = std::make_unique<Impl>();
  Impl* raw = impl.get();
  raw->events = std::move(events);
  std::promise<Status> made;
  auto outcome = made.get_future();
  raw->thread = std::thread([raw, engine, &made] {
    prctl(PR_SET_NAME, "todd-lane");
    prctl(PR_SET_TIMERSLACK, 1);  // the default 50 us would dominate pacing
    auto reactor = io::make_reactor(engine);
    if (!reactor) {
      made.set_value(tl::unexpected(reactor.error()));
      return;
    }
    raw->reactor = std::move(*reactor);
    raw->mover = std::make_unique<BulkMover>(*raw->reactor);
    made.set_value({});
    raw->run();
    raw->told_to_stop.get_future().wait();
    raw->reactor.reset();
  });
  if (auto status = outcome.get(); !status) {
    raw->thread.join();
    return tl::unexpected(status.error());
  }
  std::unique_ptr<Lane> lane(new Lane(std::move(impl)));
  lane->engine_ = raw->reactor->name();
  lane->why_ = raw->reactor->why();
  return lane;
}

Lane::~Lane() {
  if (!impl_->thread.joinable()) return;
  impl_->reactor->post([impl = impl_.get()] { impl->stopping = true; });
  impl_->told_to_stop.set_value();
  impl_->thread.join();
}

const todd_host& Lane::host() const { return kHost; }

void Lane::prepare(std::unique_ptr<TaskSetup> setup) {
  auto shared =
      std::make_shared<std::unique_ptr<TaskSetup>>(std::move(setup));  // std::function must be copyable
  impl_->reactor->post([impl = impl_.get(), shared] {
    auto& task = impl->tasks[(*shared)->id];
    impl->n_tasks.store(impl->tasks.size(), std::memory_order_relaxed);
    task.setup = std::move(*shared);
    task.instance = std::make_unique<Instance>(*task.setup, *impl->reactor, impl->events.instance, kHost);
    task.instance->begin();
  });
}

void Lane::start_task(const std::string& id, int64_t at_wall_ns) {
  impl_->reactor->post(
      [impl = impl_.get(), id, at_wall_ns] { impl->with(id, [&](Instance& i) { i.start_at(at_wall_ns); }); });
}

void Lane::stop(const std::string& id, bool cancel) {
  impl_->reactor->post(
      [impl = impl_.get(), id, cancel] { impl->with(id, [&](Instance& i) { i.stop(cancel); }); });
}

void Lane::copied(const std::string& id) {
  impl_->reactor->post([impl = impl_.get(), id] { impl->with(id, [](Instance& i) { i.period_copied(); }); });
}

void Lane::echo(std::function<void()> answer) { impl_->reactor->post(std::move(answer)); }

void Lane::resolved(const std::string& id, uint64_t token, std::vector<std::string> addresses, int error) {
  impl_->reactor->post([impl = impl_.get(), id, token, addresses = std::move(addresses), error] {
    impl->with(id, [&](Instance& i) { i.resolved(token, addresses, error); });
  });
}

void Lane::move(const std::shared_ptr<BulkJob>& job) {
  impl_->mover->expect();
  job->set_mover(impl_->mover->bell());
  impl_->reactor->post([impl = impl_.get(), job] { impl->mover->take(job); });
}

Lane::Load Lane::load() const {
  return {impl_->mover->jobs(), impl_->n_tasks.load(std::memory_order_relaxed)};
}

}  // namespace todd::lane
