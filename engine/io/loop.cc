#include "engine/io/loop.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "engine/base/fd.h"
#include "engine/io/libevent_log.h"

namespace todd::io {
namespace {

using Task = std::function<void()>;

// Rounded up, so that a callback is never early; bounded, so that "for ever" does not overflow libevent's
// arithmetic.
timeval to_timeval(int64_t ns) {
  constexpr int64_t kTenYears = int64_t{10} * 365 * 86400 * 1'000'000'000;
  const int64_t us = (std::clamp<int64_t>(ns, 0, kTenYears) + 999) / 1000;
  timeval out;
  out.tv_sec = us / 1'000'000;
  out.tv_usec = us % 1'000'000;
  return out;
}

// One libevent registration. The task is held apart from the handle while it runs, because it may destroy the
// handle.
class EventHandle final : public Handle {
 public:
  EventHandle(event_base* base, int fd, short what, Task task)
      : task_(std::make_shared<Task>(std::move(task))),
        event_(event_new(base, fd, what, &EventHandle::fire, this)) {
    TODD_CHECK(event_ != nullptr);
  }
  ~EventHandle() override { event_free(event_); }
  EventHandle(const EventHandle&) = delete;
  EventHandle& operator=(const EventHandle&) = delete;

  void add(const timeval* timeout) { TODD_CHECK(event_add(event_, timeout) == 0); }

 private:
  static void fire(evutil_socket_t, short, void* self) {
    const std::shared_ptr<Task> task = static_cast<EventHandle*>(self)->task_;
    (*task)();
  }

  std::shared_ptr<Task> task_;
  event* event_;
};

event_base* make_base() {
  take_libevent_log();
  event_config* config = event_config_new();
  TODD_CHECK(config != nullptr);
  // Foreign threads only touch the queue and the eventfd below, so the base needs no lock.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
  event_base* base = event_base_new_with_config(config);
  event_config_free(config);
  TODD_CHECK(base != nullptr);
  return base;
}

// libevent and OpenSSL write with plain writev() and write(): a peer that went away must be an error, not the
// process's end.
void ignore_sigpipe() {
  struct sigaction current;
  if (sigaction(SIGPIPE, nullptr, &current) != 0 || current.sa_handler != SIG_DFL) return;
  current.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &current, nullptr);
}

}  // namespace

struct Loop::Impl {
  event_base* base = nullptr;
  UniqueFd wake;
  std::unique_ptr<EventHandle> on_wake;
  std::unique_ptr<EventHandle> turn_end;
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::vector<Task> posted;  // guarded by mutex

  void ring() {
    const uint64_t one = 1;
    // EAGAIN means that the counter is at its maximum: the loop is woken already.
    [[maybe_unused]] const ssize_t n = ::write(wake.get(), &one, sizeof one);
  }

  std::vector<Task> take_posted() {
    const std::lock_guard lock(mutex);
    return std::exchange(posted, {});
  }

  void woken() {
    uint64_t count;
    [[maybe_unused]] const ssize_t n = ::read(wake.get(), &count, sizeof count);
    for (Task& task : take_posted()) {
      task();
      task = nullptr;  // what it captured goes now, not after its successors
    }
    if (stopping) event_base_loopbreak(base);
  }
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {
  ignore_sigpipe();
  Impl& impl = *impl_;
  impl.base = make_base();
  impl.wake = UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  TODD_CHECK(impl.wake);
  impl.on_wake = std::make_unique<EventHandle>(impl.base, impl.wake.get(), EV_READ | EV_PERSIST,
                                               [&impl] { impl.woken(); });
  impl.on_wake->add(nullptr);
  impl.turn_end = std::make_unique<EventHandle>(impl.base, -1, 0, [] {});
}

Loop::~Loop() {
  impl_->on_wake.reset();
  impl_->turn_end.reset();
  // Let libevent finish what was freed or cancelled in the last turn (buffers, name look-ups), then drop the
  // tasks that never ran: what they own may still need the base.
  impl_->take_posted().clear();
  event_base_loop(impl_->base, EVLOOP_NONBLOCK);
  impl_->take_posted().clear();
  event_base_free(impl_->base);
}

void Loop::run() {
  while (!impl_->stopping) event_base_loop(impl_->base, 0);
  impl_->stopping = false;
}

void Loop::stop() {
  impl_->stopping = true;
  impl_->ring();
}

void Loop::post(Task task) {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->posted.push_back(std::move(task));
    if (impl_->posted.size() > 1) return;  // the first one has rung
  }
  impl_->ring();
}

void Loop::turn(int64_t wait_ns) {
  if (wait_ns <= 0) {
    event_base_loop(impl_->base, EVLOOP_NONBLOCK);
    return;
  }
  const timeval wait = to_timeval(wait_ns);
  impl_->turn_end->add(&wait);
  event_base_loop(impl_->base, EVLOOP_ONCE);
}

HandlePtr Loop::after(int64_t delay_ns, Task task) {
  auto handle = std::make_unique<EventHandle>(impl_->base, -1, 0, std::move(task));
  const timeval delay = to_timeval(delay_ns);
  handle->add(&delay);
  return handle;
}

HandlePtr Loop::on_readable(int fd, Task task) {
  auto handle = std::make_unique<EventHandle>(impl_->base, fd, EV_READ | EV_PERSIST, std::move(task));
  handle->add(nullptr);
  return handle;
}

HandlePtr Loop::on_writable(int fd, Task task) {
  auto handle = std::make_unique<EventHandle>(impl_->base, fd, EV_WRITE | EV_PERSIST, std::move(task));
  handle->add(nullptr);
  return handle;
}

HandlePtr Loop::on_signal(int signo, Task task) {
  auto handle = std::make_unique<EventHandle>(impl_->base, signo, EV_SIGNAL | EV_PERSIST, std::move(task));
  handle->add(nullptr);
  return handle;
}

event_base* Loop::base() const { return impl_->base; }

}  // namespace todd::io
