#pragma once
// The half of a datagram socket that both back ends share: the send queue, the outcome of sends, the error queue, delivery.

#include <vector>

#include "engine/io/datagram_message.h"
#include "engine/io/mortal.h"

namespace todd::io {

// One per reactor, used by all its sockets.
struct ReactorShared {
  uint64_t syscalls = 0;
  uint64_t callbacks = 0;  // sink calls and tasks: tells turn() that something happened
  MessageBatch errors{16, 1536, 512};  // for MSG_ERRQUEUE: an error quotes at most a packet
};

class DatagramBase : public DatagramSocket, public Mortal {
 public:
  DatagramBase(UniqueFd fd, DatagramSink& sink, const DatagramOptions& options, ReactorShared& shared);

  bool send(const DatagramOut& out) final;
  int fd() const final { return fd_.get(); }
  void check_drops() final;

 protected:
  virtual void first_queued() = 0;  // the queue was empty before this send()
  // Moves the queue to sending_; what sinks send from now on waits for the next turn.
  void take_queue();
  // Reports the outcome of everything in sending_. A network errno may belong to another datagram: for those, after all the
  // others were reported, drain the error queue, repeat once and report what comes of it. May destroy *this.
  void settle();
  void drain_errors();  // may destroy *this
  void deliver(const msghdr& header, const uint8_t* data, uint32_t len);  // may destroy *this

  const UniqueFd fd_;
  const SocketTraits traits_;
  const DatagramOptions options_;
  ReactorShared& shared_;
  std::vector<QueuedDatagram> sending_;

 private:
  void repeat(QueuedDatagram& datagram);
  bool report(const QueuedDatagram& datagram, const Watch& watch);
  void dropped(uint32_t so_far);  // may destroy *this

  DatagramSink& sink_;
  std::vector<QueuedDatagram> queue_;
  uint32_t drops_seen_;
};

}  // namespace todd::io
