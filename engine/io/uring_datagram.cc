#include "engine/io/uring_datagram.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/check.h"

namespace todd::io {
namespace {
constexpr uint32_t kNameBytes = 32;  // an address, rounded so that the control data behind it is aligned
uint32_t buffer_bytes(const DatagramOptions& options) {
  return static_cast<uint32_t>(sizeof(io_uring_recvmsg_out)) + kNameBytes + kReceiveControl +
         options.max_payload;
}
}  // namespace

UringDatagram::UringDatagram(UringReactor& reactor, UniqueFd fd, DatagramSink& sink,
                             const DatagramOptions& options)
    : DatagramBase(std::move(fd), sink, options, reactor.shared()),
      reactor_(reactor),
      buffers_(reactor.buffers_of(buffer_bytes(options))) {
  // On a non-blocking file some kernels end an operation with EAGAIN instead of waiting for data.
  fcntl(this->fd(), F_SETFL, fcntl(this->fd(), F_GETFL) & ~O_NONBLOCK);
  layout_.msg_namelen = kNameBytes;
  layout_.msg_controllen = kReceiveControl;
  reactor_.add(*this, &buffers_);
  arm_receive();
  if (!traits_.raw) arm_poll();  // the error queue of a raw socket holds stamps alone
}

UringDatagram::~UringDatagram() {
  reactor_.forget_flush(*this);
  reactor_.remove(*this);
}

std::span<QueuedDatagram> UringDatagram::start_sending() {
  take_queue();
  return sending_;
}

void UringDatagram::arm_receive() {
  io_uring_sqe& sqe = reactor_.next_sqe();
  io_uring_prep_recvmsg_multishot(&sqe, fd(), &layout_, 0);
  sqe.flags |= IOSQE_BUFFER_SELECT;
  sqe.buf_group = buffers_.group();
  reactor_.start(*this, UringOp::receive, sqe);
}

// Multishot poll (Linux 5.13) is edge-triggered: each completion is followed by draining the queue to its
// end.
void UringDatagram::arm_poll() {
  io_uring_sqe& sqe = reactor_.next_sqe();
  io_uring_prep_poll_multishot(&sqe, fd(), POLLERR);
  reactor_.start(*this, UringOp::poll_error, sqe);
}

void UringDatagram::complete(UringOp op, int result, uint32_t flags, int64_t) {
  const bool ended = !(flags & IORING_CQE_F_MORE);
  if (op == UringOp::poll_error) {
    if (ended) arm_poll();
    if (!drained() && !reported_by_drain()) drain_errors();
    return;
  }
  // A multishot receive ends when the buffers run out (ENOBUFS; they are back by the next submission) and
  // with the pending error of an earlier send. Neither is the end of the socket.
  if (ended) arm_receive();
  if (result < 0) {
    TODD_CHECK(result != -EBADF && result != -EFAULT && result != -EINVAL && result != -ENOTSOCK);
    if (is_network_error(result)) drain_errors();
    return;
  }
  TODD_DCHECK(flags & IORING_CQE_F_BUFFER);
  receive(buffers_.at(static_cast<uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT)),
          static_cast<uint32_t>(result));
}

void UringDatagram::receive(uint8_t* buffer, uint32_t len) {
  io_uring_recvmsg_out* const out = io_uring_recvmsg_validate(buffer, static_cast<int>(len), &layout_);
  TODD_CHECK(out);
  msghdr header{};
  header.msg_name = io_uring_recvmsg_name(out);
  header.msg_namelen = std::min(out->namelen, kNameBytes);
  header.msg_control = buffer + sizeof *out + kNameBytes;
  header.msg_controllen = std::min(out->controllen, kReceiveControl);
  header.msg_flags = static_cast<int>(out->flags);
  deliver(header, static_cast<uint8_t*>(io_uring_recvmsg_payload(out, &layout_)),
          io_uring_recvmsg_payload_length(out, static_cast<int>(len), &layout_));
}

}  // namespace todd::io
