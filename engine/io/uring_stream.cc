#include "engine/io/uring_stream.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "engine/base/check.h"
#include "engine/io/datagram_base.h"
#include "engine/io/sockets.h"

namespace todd::io {
namespace {

constexpr int64_t kAcceptPauseNs = 50'000'000;  // after EMFILE and the like, which stay true for a while

// On a non-blocking file some kernels end an operation with EAGAIN instead of waiting.
void make_blocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK); }

}  // namespace

// ---- streams

UringStream::UringStream(UringReactor& reactor, UniqueFd fd, StreamSink& sink, const StreamOptions& options)
    : reactor_(reactor),
      sink_(sink),
      buffers_(reactor.buffers_of(options.receive_chunk)),
      fd_(std::move(fd)) {
  make_blocking(fd_.get());
  reactor_.add(*this, &buffers_);
}

UringStream::~UringStream() { reactor_.remove(*this); }

void UringStream::connect(const Address& to, uint64_t cookie) {
  TODD_CHECK(!connecting_);
  connecting_ = true;
  connect_cookie_ = cookie;
  peer_ = to;
  io_uring_sqe& sqe = reactor_.next_sqe();
  io_uring_prep_connect(&sqe, fd(), &peer_.sa, address_len(peer_));
  reactor_.start(*this, UringOp::connect, sqe);
}

void UringStream::send(const uint8_t* data, uint32_t len, uint64_t cookie) {
  queue_.push(data, len, cookie);
  pump();
}

void UringStream::receive() {
  if (receive_wanted_) return;
  receive_wanted_ = true;
  if (!connecting_) arm_receive();
}

void UringStream::stop_receiving() {
  receive_wanted_ = false;
  reactor_.cancel(*this, UringOp::receive);
}

void UringStream::shutdown_write() {
  shutdown_wanted_ = true;
  pump();
}

void UringStream::pump() {
  if (connecting_ || sending_) return;
  if (queue_.empty()) {
    // A plain call: the ring's SHUTDOWN always goes to a kernel worker thread, and this never blocks.
    if (shutdown_wanted_) ::shutdown(fd(), SHUT_WR);
    return;
  }
  sending_ = true;
  iovec pieces[SendQueue::kVector];
  const size_t n = queue_.fill(pieces);
  io_uring_sqe& sqe = reactor_.next_sqe();
  // MSG_WAITALL on a send (Linux 5.19) spares completions of short sends; where it is ignored, on_sent() goes
  // on.
  constexpr int kFlags = MSG_NOSIGNAL | MSG_WAITALL;
  if (n == 1) {
    io_uring_prep_send(&sqe, fd(), pieces[0].iov_base, pieces[0].iov_len, kFlags);
  } else {
    if (vector_ == nullptr) vector_ = std::make_unique<Vector>();
    std::copy_n(pieces, n, vector_->pieces);
    vector_->message = {};
    vector_->message.msg_iov = vector_->pieces;
    vector_->message.msg_iovlen = n;
    io_uring_prep_sendmsg(&sqe, fd(), &vector_->message, kFlags);
  }
  reactor_.start(*this, UringOp::send, sqe);
}

void UringStream::arm_receive() {
  io_uring_sqe& sqe = reactor_.next_sqe();
  io_uring_prep_recv_multishot(&sqe, fd(), nullptr, 0, 0);
  sqe.flags |= IOSQE_BUFFER_SELECT;
  sqe.buf_group = buffers_.group();
  reactor_.start(*this, UringOp::receive, sqe);
}

void UringStream::complete(UringOp op, int result, uint32_t flags, int64_t mono_ns) {
  if (op == UringOp::send) return on_sent(result, mono_ns);
  if (op == UringOp::receive) return on_received(result, flags, mono_ns);
  TODD_DCHECK(op == UringOp::connect);
  connecting_ = false;
  // With an ICMP error that came while connect() held the socket the ring tells of success all the same
  // (Linux 6.18), though the handshake is not done.
  if (result == 0) result = connect_result(fd(), ECONNABORTED);
  if (receive_wanted_ && result == 0) arm_receive();
  pump();
  ++reactor_.shared().callbacks;
  sink_.on_connected(connect_cookie_, result);
}

void UringStream::on_sent(int result, int64_t mono_ns) {
  sending_ = false;
  if (result == -EINTR || result == -EAGAIN) return pump();
  // Told when the next send is on its way, as the sink may destroy this.
  std::array<SendQueue::Piece, SendQueue::kVector> gone;
  size_t n = 0;
  if (result < 0) gone[n++] = queue_.pop();
  for (auto left = static_cast<uint32_t>(std::max(result, 0)); n < gone.size() && queue_.advance(left);)
    gone[n++] = queue_.pop();
  pump();
  const Watch watch(*this);
  for (size_t i = 0; i < n && !watch.gone(); ++i) {
    ++reactor_.shared().callbacks;
    sink_.on_stream_sent(gone[i].cookie, result < 0 ? result : static_cast<int>(gone[i].len), mono_ns);
  }
}

void UringStream::on_received(int result, uint32_t flags, int64_t mono_ns) {
  const bool ended = !(flags & IORING_CQE_F_MORE);
  if (result == -ECANCELED) return;  // stop_receiving()
  const bool again = result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN;
  if (ended && again && receive_wanted_) arm_receive();
  if (result < 0 && again) return;
  const uint8_t* const data = flags & IORING_CQE_F_BUFFER
                                  ? buffers_.at(static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT))
                                  : nullptr;
  ++reactor_.shared().callbacks;
  sink_.on_stream_data(result < 0 ? result : 0, data, result > 0 ? static_cast<uint32_t>(result) : 0,
                       mono_ns);
}

// ---- acceptors

UringAcceptor::UringAcceptor(UringReactor& reactor, UniqueFd fd, AcceptSink& sink)
    : reactor_(reactor), sink_(sink), fd_(std::move(fd)) {
  make_blocking(fd_.get());
  reactor_.add(*this, nullptr);
  arm();
}

UringAcceptor::~UringAcceptor() { reactor_.remove(*this); }

void UringAcceptor::arm() {
  io_uring_sqe& sqe = reactor_.next_sqe();
  // Multishot accept (Linux 5.19) has one address for all connections, so the peer is asked for afterwards.
  io_uring_prep_multishot_accept(&sqe, fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  reactor_.start(*this, UringOp::accept, sqe);
}

void UringAcceptor::arm_later() {
  pause_.tv_nsec = kAcceptPauseNs;
  io_uring_sqe& sqe = reactor_.next_sqe();
  io_uring_prep_timeout(&sqe, &pause_, 0, 0);
  reactor_.start(*this, UringOp::retry, sqe);
}

void UringAcceptor::complete(UringOp op, int result, uint32_t flags, int64_t) {
  const bool ended = !(flags & IORING_CQE_F_MORE);
  if (op == UringOp::retry) return arm();
  if (ended) {
    if (result == -EMFILE || result == -ENFILE || result == -ENOBUFS || result == -ENOMEM) {
      arm_later();
    } else {
      arm();
    }
  }
  if (result < 0) return;
  UniqueFd accepted(result);
  Address peer{};
  socklen_t len = sizeof peer;
  if (getpeername(accepted.get(), &peer.sa, &len) != 0) peer = {};  // already gone
  ++reactor_.shared().syscalls;
  ++reactor_.shared().callbacks;
  sink_.on_accepted(std::move(accepted), peer);
}

}  // namespace todd::io
