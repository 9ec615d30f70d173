#pragma once
#include "engine/io/mortal.h"
#include "engine/io/send_queue.h"
#include "engine/io/uring_reactor.h"

namespace todd::io {

class UringStream final : public Stream, public UringSocket, public Mortal {
 public:
  UringStream(UringReactor& reactor, UniqueFd fd, StreamSink& sink, const StreamOptions& options);
  ~UringStream() override;

  void connect(const Address& to, uint64_t cookie) override;
  void send(const uint8_t* data, uint32_t len, uint64_t cookie) override;
  void receive() override;
  void stop_receiving() override;
  void shutdown_write() override;
  int fd() const override { return fd_.get(); }

  void complete(UringOp op, int result, uint32_t flags, int64_t mono_ns) override;

 private:
  struct Vector {  // of a send of several pieces, while it is in the kernel
    msghdr message;
    iovec pieces[SendQueue::kVector];
  };
  void on_sent(int result, int64_t mono_ns);
  void on_received(int result, uint32_t flags, int64_t mono_ns);
  void arm_receive();
  void pump();  // starts the next send, or the shutdown after the last

  UringReactor& reactor_;
  StreamSink& sink_;
  UringBuffers& buffers_;
  const UniqueFd fd_;
  Address peer_{};
  uint64_t connect_cookie_ = 0;
  SendQueue queue_;
  std::unique_ptr<Vector> vector_;
  bool connecting_ = false, sending_ = false, receive_wanted_ = false, shutdown_wanted_ = false;
};

class UringAcceptor final : public Acceptor, public UringSocket {
 public:
  UringAcceptor(UringReactor& reactor, UniqueFd fd, AcceptSink& sink);
  ~UringAcceptor() override;

  void complete(UringOp op, int result, uint32_t flags, int64_t mono_ns) override;

 private:
  void arm();
  void arm_later();

  UringReactor& reactor_;
  AcceptSink& sink_;
  const UniqueFd fd_;
  __kernel_timespec pause_{};
};

}  // namespace todd::io
