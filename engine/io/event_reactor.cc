#include "engine/io/event_reactor.h"

#include <unistd.h>

#include <algorithm>
#include <bit>

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/io/event_datagram.h"
#include "engine/io/event_readiness.h"
#include "engine/io/event_stream.h"
#include "engine/io/libevent_log.h"

namespace todd::io {
namespace {

constexpr int kMorePasses = 16;

// PRECISE_TIMER: libevent waits by a timerfd on CLOCK_MONOTONIC instead of epoll_wait's milliseconds.
event_base* make_base() {
  take_libevent_log();
  const std::unique_ptr<event_config, decltype(&event_config_free)> config(event_config_new(),
                                                                           event_config_free);
  TODD_CHECK(config);
  event_config_set_flag(config.get(), EVENT_BASE_FLAG_NOLOCK);
  event_config_set_flag(config.get(), EVENT_BASE_FLAG_PRECISE_TIMER);
  for (const char* method : {"select", "poll"}) event_config_avoid_method(config.get(), method);
  event_base* const base = event_base_new_with_config(config.get());
  TODD_CHECK(base);
  return base;
}

}  // namespace

EventReactor::EventReactor(std::string why)
    : why_(std::move(why)),
      base_(make_base()),
      shared_(std::make_unique<ReactorShared>()),
      outgoing_(kBatch),
      outgoing_headers_(kBatch) {
  wake_ = new_event(
      mailbox_.fd(), EV_READ | EV_PERSIST,
      [](evutil_socket_t fd, short, void* argument) {
        auto& self = *static_cast<EventReactor*>(argument);
        uint64_t count;
        const ssize_t got = read(fd, &count, sizeof count);
        ++self.shared_->syscalls;
        if (got == sizeof count) self.shared_->callbacks += self.mailbox_.run();
      },
      this);
  event_add(wake_.get(), nullptr);
  deadline_ = new_event(
      -1, 0, [](evutil_socket_t, short, void*) {}, nullptr);  // only ends the wait
}

EventReactor::~EventReactor() = default;

uint64_t EventReactor::syscalls() const { return shared_->syscalls; }

std::unique_ptr<DatagramSocket> EventReactor::add_datagram(UniqueFd fd, DatagramSink& sink,
                                                           DatagramOptions options) {
  return std::make_unique<EventDatagram>(*this, std::move(fd), sink, options);
}

std::unique_ptr<Stream> EventReactor::add_stream(UniqueFd fd, StreamSink& sink, StreamOptions options) {
  return std::make_unique<EventStream>(*this, std::move(fd), sink, options);
}

std::unique_ptr<Acceptor> EventReactor::add_acceptor(UniqueFd listening, AcceptSink& sink) {
  return std::make_unique<EventAcceptor>(*this, std::move(listening), sink);
}

std::unique_ptr<Readiness> EventReactor::add_readiness(int fd, ReadyFor what, ReadinessSink& sink) {
  return std::make_unique<EventReadiness>(*this, fd, what, sink);
}

EventPtr EventReactor::new_event(int fd, short what, event_callback_fn callback, void* argument) {
  EventPtr made(event_new(base_.get(), fd, what, callback, argument));
  TODD_CHECK(made);
  return made;
}

void EventReactor::forget_flush(EventFlushable& socket) {
  std::replace(dirty_.begin(), dirty_.end(), &socket, static_cast<EventFlushable*>(nullptr));
  std::replace(flushing_.begin(), flushing_.end(), &socket, static_cast<EventFlushable*>(nullptr));
}

MessageBatch& EventReactor::batch_of(uint32_t wanted) {
  const uint32_t payload_bytes = std::bit_ceil(wanted);  // few sizes: a batch is never given back
  for (auto& batch : batches_) {
    if (batch->payload_bytes() == payload_bytes) return *batch;
  }
  batches_.push_back(std::make_unique<MessageBatch>(kBatch, payload_bytes, kReceiveControl));
  return *batches_.back();
}

uint8_t* EventReactor::chunk_of(uint32_t bytes) {
  for (auto& chunk : chunks_) {
    if (chunk.bytes == bytes) return chunk.data.get();
  }
  chunks_.push_back({bytes, std::make_unique<uint8_t[]>(bytes)});
  return chunks_.back().data.get();
}

void EventReactor::flush() {
  flushing_.clear();
  flushing_.swap(dirty_);
  for (size_t i = 0; i < flushing_.size();
       ++i) {  // by index: a flush may destroy any socket, which nulls its entry
    if (EventFlushable* const socket = flushing_[i]) socket->flush();
  }
}

void EventReactor::run(int64_t deadline_mono_ns) {
  const int64_t left = deadline_mono_ns ? deadline_mono_ns - monotonic_ns() : 0;
  int flags = EVLOOP_ONCE;  // without it, libevent asks the kernel again after each pass that had events
  if (left <= 0) {
    flags |= EVLOOP_NONBLOCK;
  } else if (deadline_mono_ns != INT64_MAX) {
    const int64_t microseconds = left / 1000 + 1;  // libevent's grain; never early
    const timeval wait{microseconds / 1'000'000, microseconds % 1'000'000};
    event_add(deadline_.get(), &wait);
  }
  event_base_loop(base_.get(), flags);
  shared_->syscalls += 2;  // timerfd_settime, if only to disarm it, and epoll_wait
  if (left > 0 && deadline_mono_ns != INT64_MAX) event_del(deadline_.get());
}

bool EventReactor::turn(int64_t deadline_mono_ns) {
  TODD_CHECK(!in_turn_);
  in_turn_ = true;
  const uint64_t before = shared_->callbacks;
  flush();
  for (;;) {
    run(shared_->callbacks == before ? std::max<int64_t>(deadline_mono_ns, 0) : 0);
    if (shared_->callbacks != before || monotonic_ns() >= deadline_mono_ns) break;
  }
  // Bytes of a stream come on while earlier ones are read: to look again costs less than a turn for each
  // look.
  uint64_t seen = before;
  for (int more = 0; streams_ != 0 && shared_->callbacks != seen && more < kMorePasses; ++more) {
    seen = shared_->callbacks;
    run(0);
  }
  in_turn_ = false;
  return shared_->callbacks != before;
}

}  // namespace todd::io
