#include "engine/io/event_stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/io/datagram_base.h"

namespace todd::io {
namespace {
constexpr int kReadsPerWake = 16;  // then the other sockets have their turn
constexpr int kAcceptsPerWake = 64;
constexpr timeval kAcceptPause{0, 50'000};  // after EMFILE and the like, which stay true for a while
}  // namespace

// ---- streams

EventStream::EventStream(EventReactor& reactor, UniqueFd fd, StreamSink& sink, const StreamOptions& options)
    : reactor_(reactor),
      sink_(sink),
      chunk_bytes_(options.receive_chunk),
      chunk_(reactor.chunk_of(options.receive_chunk)),
      fd_(std::move(fd)),
      readable_(reactor.new_event(
          fd_.get(), EV_READ | EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<EventStream*>(self)->on_readable(); }, this)),
      writable_(reactor.new_event(
          fd_.get(), EV_WRITE,
          [](evutil_socket_t, short, void* self) { static_cast<EventStream*>(self)->on_writable(); }, this)) {
  reactor_.stream_came();
}

EventStream::~EventStream() {
  reactor_.stream_went();
  reactor_.forget_flush(*this);
}

void EventStream::queue_flush() {
  if (flush_queued_) return;
  flush_queued_ = true;
  reactor_.queue_flush(*this);
}

void EventStream::connect(const Address& to, uint64_t cookie) {
  TODD_CHECK(connecting_ == Connecting::no);
  connecting_ = Connecting::asked;
  connect_cookie_ = cookie;
  peer_ = to;
  queue_flush();
}

void EventStream::send(const uint8_t* data, uint32_t len, uint64_t cookie) {
  queue_.push(data, len, cookie);
  queue_flush();
}

void EventStream::receive() {
  if (receive_wanted_) return;
  receive_wanted_ = true;
  if (connecting_ == Connecting::no) event_add(readable_.get(), nullptr);
}

void EventStream::stop_receiving() {
  receive_wanted_ = false;
  event_del(readable_.get());
}

void EventStream::shutdown_write() {
  shutdown_wanted_ = true;
  queue_flush();
}

void EventStream::flush() {
  flush_queued_ = false;
  if (connecting_ == Connecting::asked) return start_connect();
  if (connecting_ == Connecting::no && !blocked_) write_pieces();
}

void EventStream::start_connect() {
  const int result = ::connect(fd(), &peer_.sa, address_len(peer_)) == 0 ? 0 : -errno;
  ++reactor_.shared().syscalls;
  if (result != -EINPROGRESS) return finish_connect(result);
  connecting_ = Connecting::waiting;
  event_add(writable_.get(), nullptr);
}

void EventStream::on_writable() {
  blocked_ = false;
  if (connecting_ == Connecting::no) return write_pieces();
  int error = 0;
  socklen_t len = sizeof error;
  getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &len);
  ++reactor_.shared().syscalls;
  finish_connect(-error);
}

void EventStream::finish_connect(int result) {
  connecting_ = Connecting::no;
  if (receive_wanted_ && result == 0) event_add(readable_.get(), nullptr);
  if (!queue_.empty() || shutdown_wanted_) queue_flush();
  ++reactor_.shared().callbacks;
  sink_.on_connected(connect_cookie_, result);
}

void EventStream::write_pieces() {
  Watch watch(*this);
  for (size_t left = queue_.size(); left > 0;) {  // what the sink sends from now on waits for the next turn
    iovec pieces[SendQueue::kVector];
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = std::min(queue_.fill(pieces), left);
    const ssize_t sent = sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    const int error = errno;
    ++reactor_.shared().syscalls;
    if (sent < 0 && error == EINTR) continue;
    if (sent < 0 && error == EAGAIN) {
      blocked_ = true;
      event_add(writable_.get(), nullptr);
      return;
    }
    for (auto bytes = static_cast<uint32_t>(std::max<ssize_t>(sent, 0)); sent < 0 || queue_.advance(bytes);) {
      const SendQueue::Piece piece = queue_.pop();
      --left;
      ++reactor_.shared().callbacks;
      sink_.on_stream_sent(piece.cookie, sent < 0 ? -error : static_cast<int>(piece.len), monotonic_ns());
      if (watch.gone()) return;
      if (sent < 0 || left == 0) break;
    }
  }
  if (shutdown_wanted_ && queue_.empty()) {
    ::shutdown(fd(), SHUT_WR);
    ++reactor_.shared().syscalls;
  }
}

void EventStream::on_readable() {
  Watch watch(*this);
  for (int i = 0; i < kReadsPerWake; ++i) {
    const ssize_t got = recv(fd(), chunk_, chunk_bytes_, MSG_DONTWAIT);
    const int error = errno;
    ++reactor_.shared().syscalls;
    if (got < 0 && (error == EAGAIN || error == EINTR)) return;
    if (got <= 0) event_del(readable_.get());
    ++reactor_.shared().callbacks;
    sink_.on_stream_data(got < 0 ? -error : 0, got > 0 ? chunk_ : nullptr,
                         got > 0 ? static_cast<uint32_t>(got) : 0, monotonic_ns());
    if (watch.gone() || !receive_wanted_ || got < static_cast<ssize_t>(chunk_bytes_)) return;
  }
}

// ---- acceptors

EventAcceptor::EventAcceptor(EventReactor& reactor, UniqueFd fd, AcceptSink& sink)
    : reactor_(reactor),
      sink_(sink),
      fd_(std::move(fd)),
      readable_(reactor.new_event(
          fd_.get(), EV_READ | EV_PERSIST,
          [](evutil_socket_t, short, void* self) { static_cast<EventAcceptor*>(self)->on_readable(); },
          this)),
      resume_(reactor.new_event(
          -1, 0,
          [](evutil_socket_t, short, void* self) {
            event_add(static_cast<EventAcceptor*>(self)->readable_.get(), nullptr);
          },
          this)) {
  event_add(readable_.get(), nullptr);
}

void EventAcceptor::on_readable() {
  Watch watch(*this);
  for (int i = 0; i < kAcceptsPerWake; ++i) {
    Address peer{};
    socklen_t len = sizeof peer;
    UniqueFd accepted(accept4(fd_.get(), &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC));
    ++reactor_.shared().syscalls;
    if (!accepted) {
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        event_del(readable_.get());
        event_add(resume_.get(), &kAcceptPause);
      }
      return;
    }
    ++reactor_.shared().callbacks;
    sink_.on_accepted(std::move(accepted), peer);
    if (watch.gone()) return;
  }
}

}  // namespace todd::io
