#pragma once
// The half of a datagram socket that both back ends share: the send queue, the outcome of sends, the error
// queue, delivery.

#include <memory>
#include <utility>
#include <vector>

#include "engine/io/datagram_message.h"
#include "engine/io/mortal.h"
#include "engine/io/packet_sender.h"

namespace todd::io {

// One per reactor, used by all its sockets.
struct ReactorShared {
  uint64_t syscalls = 0;
  uint64_t callbacks = 0;    // sink calls and tasks: tells turn() that something happened
  uint64_t collections = 0;  // how often what the kernel had was taken: what is delivered between two counts
                             // came before the first
  // For MSG_ERRQUEUE: an error quotes at most a packet. One more than the stamps of a batch, which then never
  // look like the beginning of more.
  MessageBatch errors{kBatch + 1, 1536, 512};
};

class DatagramBase : public DatagramSocket, public Mortal {
 public:
  DatagramBase(UniqueFd fd, DatagramSink& sink, const DatagramOptions& options, ReactorShared& shared);

  bool send(const DatagramOut& out) final;
  int fd() const final { return fd_.get(); }
  void check_drops() final;

 protected:
  virtual void first_queued() = 0;  // the queue was empty before this send()
  // Moves the queue to sending_; what sinks send from now on waits for the next turn. What can leave as a
  // frame has departed then.
  void take_queue();
  // Reports the outcome of everything in sending_. A network errno may belong to another datagram: for those,
  // after all the others were reported, drain the error queue, repeat and report what comes of it. May
  // destroy *this.
  void settle();
  size_t drain_errors();  // how many errors of the network it told; may destroy *this
  // With stamps: the error queue was drained after what is being delivered now had been taken from the
  // kernel.
  bool drained() const { return stamps_ && drained_at_ == shared_.collections; }
  // Whether a report of the error queue, true once, may be no more than the kernel's own echo of a drain: it
  // reports the queue again for each entry taken that leaves another. What is hidden so is told otherwise: an
  // ICMP error is the socket's pending one as well, stamps come with replies.
  bool reported_by_drain() { return stamps_ && std::exchange(echoed_, false); }
  // Stamps of what was sent, before what came in reply. Only where some are due and not yet looked for. May
  // destroy *this.
  void drain_stamps();
  void deliver(const msghdr& header, const uint8_t* data, uint32_t len);  // may destroy *this

  const UniqueFd fd_;
  const SocketTraits traits_;
  const DatagramOptions options_;
  ReactorShared& shared_;
  std::vector<QueuedDatagram> sending_;

 private:
  // Takes all of one error queue; how many errors of the network it told. May destroy *this.
  size_t drain_queue(int fd, uint64_t& stamps_due, const Watch& watch);
  void repeat_until_own(QueuedDatagram& datagram, const Watch& watch);
  void repeat(QueuedDatagram& datagram);
  bool report(const QueuedDatagram& datagram, const Watch& watch);
  void dropped(uint32_t so_far);  // may destroy *this

  DatagramSink& sink_;
  std::vector<QueuedDatagram> queue_;
  uint32_t drops_seen_;
  const bool stamps_;  // some or all
  std::unique_ptr<PacketSender> packet_;
  uint64_t stamps_due_ = 0;           // sent with a stamp asked for that has not come yet
  uint64_t packet_stamps_due_ = 0;    // the same of frames
  bool echoed_ = false;               // the last drain took several entries
  uint64_t drained_at_ = UINT64_MAX;  // shared_.collections of the last drain
  uint64_t packet_drained_at_ = UINT64_MAX;
};

}  // namespace todd::io
