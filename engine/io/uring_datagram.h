#pragma once
#include <span>

#include "engine/io/datagram_base.h"
#include "engine/io/uring_reactor.h"

namespace todd::io {

class UringDatagram final : public DatagramBase, public UringSocket {
 public:
  UringDatagram(UringReactor& reactor, UniqueFd fd, DatagramSink& sink, const DatagramOptions& options);
  ~UringDatagram() override;

  // A flush: the reactor submits what start_sending() gives and stores results and stamps in it.
  std::span<QueuedDatagram> start_sending();
  void finish_sending() { settle(); }  // may destroy *this

  void complete(UringOp op, int result, uint32_t flags, int64_t mono_ns) override;

 private:
  void first_queued() override { reactor_.queue_flush(*this); }
  void arm_receive();
  void arm_poll();
  void receive(uint8_t* buffer, uint32_t len);

  UringReactor& reactor_;
  UringBuffers& buffers_;
  msghdr layout_{};  // of a received message within its buffer
};

}  // namespace todd::io
