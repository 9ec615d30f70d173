#include "engine/io/event_datagram.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include "engine/base/check.h"
#include "engine/base/clock.h"

namespace todd::io {

EventDatagram::EventDatagram(EventReactor& reactor, UniqueFd fd, DatagramSink& sink,
                             const DatagramOptions& options)
    : DatagramBase(std::move(fd), sink, options, reactor.shared()),
      reactor_(reactor),
      batch_(reactor.batch_of(options.max_payload)),
      readable_(reactor.new_event(
          this->fd(), EV_READ | EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<EventDatagram*>(self)->on_readable(); },
          this)) {
  TODD_CHECK(event_add(readable_.get(), nullptr) == 0);
}

EventDatagram::~EventDatagram() { reactor_.forget_flush(*this); }

void EventDatagram::flush() {
  take_queue();
  for (size_t next = 0; next < sending_.size();) next = send_some(next);
  settle();
}

size_t EventDatagram::send_some(size_t first) {
  auto& messages = reactor_.outgoing();
  auto& headers = reactor_.outgoing_headers();
  std::array<QueuedDatagram*, kBatch> batch;
  uint32_t count = 0;
  size_t end = first;
  for (; end < sending_.size() && count < kBatch; ++end) {
    if (sending_[end].departed) continue;
    batch[count] = &sending_[end];
    build_message(sending_[end], messages[count]);
    headers[count].msg_hdr = messages[count].header;
    ++count;
  }
  if (count == 0) return end;
  const int64_t before = monotonic_ns();
  const int sent = sendmmsg(fd(), headers.data(), count, MSG_DONTWAIT | MSG_NOSIGNAL);
  const int error = errno;
  const int64_t after = monotonic_ns();
  ++shared_.syscalls;
  if (sent < 0 && error == EINTR) return first;
  // sendmmsg stops before the first that fails and says why only when asked again. A full send buffer is as
  // full for the rest of the batch.
  const uint32_t decided = sent > 0 ? static_cast<uint32_t>(sent) : error == EAGAIN ? count : 1;
  for (uint32_t k = 0; k < decided; ++k) {
    batch[k]->result = sent > 0 ? 0 : -error;
    batch[k]->tx_mono_ns = sent > 0 ? interpolate(before, after, k, decided) : after;
  }
  return decided == count ? end : static_cast<size_t>(batch[decided] - sending_.data());
}

// epoll reports an error queue as an event that libevent shows as readable, and does so until it is drained.
// An ICMP error is the socket's pending one, too, which a receive tells; what else is queued is drained when
// no datagram is left.
void EventDatagram::on_readable() {
  Watch watch(*this);
  ++shared_.collections;
  drain_stamps();
  if (watch.gone()) return;
  const int got = batch_.receive(fd(), 0);
  ++shared_.syscalls;
  for (int i = 0; i < got; ++i) {
    deliver(batch_.header(i), batch_.data(i), batch_.len(i));
    if (watch.gone()) return;
  }
  if (got < 0 && !traits_.raw && !drained()) drain_errors();
}

}  // namespace todd::io
