#include "engine/io/uring_readiness.h"

#include <poll.h>

#include "engine/io/datagram_base.h"

namespace todd::io {

UringReadiness::UringReadiness(UringReactor& reactor, int fd, ReadyFor what, ReadinessSink& sink)
    : reactor_(reactor), sink_(sink), fd_(fd), events_(what == ReadyFor::reading ? POLLIN : POLLOUT) {
  reactor_.add(*this, nullptr);
}

UringReadiness::~UringReadiness() { reactor_.remove(*this); }

void UringReadiness::await() {
  if (armed_) return;
  armed_ = true;
  io_uring_sqe& sqe = reactor_.next_sqe();
  io_uring_prep_poll_add(&sqe, fd_, events_);
  reactor_.start(*this, UringOp::poll, sqe);
}

// What kept the kernel from waiting is for the caller to meet, at the descriptor itself.
void UringReadiness::complete(UringOp, int, uint32_t, int64_t) {
  armed_ = false;
  ++reactor_.shared().callbacks;
  sink_.on_ready();
}

}  // namespace todd::io
