#pragma once
// Sends ICMP echoes of IPv4 as whole Ethernet frames (AF_PACKET, past the queueing discipline). That saves
// the kernel's way through routing, IP and netfilter, a quarter to a third of what a probe costs; what comes
// back is read from the ICMP socket as ever. Frames go only where NextHops knows the way; the rest is the
// socket's.

#include <array>
#include <memory>
#include <vector>

#include "engine/base/fd.h"
#include "engine/io/datagram_message.h"
#include "engine/io/next_hops.h"

namespace todd::io {

// A packet socket, for PacketSender. Errors: denied (CAP_NET_RAW).
Result<UniqueFd> open_packet_socket();

// [one thread]
class PacketSender {
 public:
  PacketSender(UniqueFd fd, TxStamps stamps);

  // Sends what it can of the queue, in order, at most kBatch frames per system call, and marks it `departed`,
  // with result and time; the rest (longer than 576 bytes with its header, no way known, or the interface has
  // gone) is as it was. So is one datagram a second to a gateway that the kernel is not sure of, for the
  // kernel to ask whether it is still there. Routes and neighbours are read again once a second; 50 times
  // while no gateway is known.
  void send(std::vector<QueuedDatagram>& queue, uint64_t& syscalls);
  int fd() const { return fd_.get(); }
  bool stamps() const { return stamps_; }

 private:
  static constexpr size_t kEthernet = 14;
  // Of an IPv4 packet. Every host takes and every link of today carries that much whole (RFC 791
  // section 3.1): of longer ones the kernel may know a path that does not.
  static constexpr size_t kLongest = 576;
  struct Frame {
    QueuedDatagram* datagram = nullptr;
    iovec whole;
    alignas(cmsghdr) std::array<uint8_t, 32> control;
    std::array<uint8_t, kEthernet + kLongest> bytes;
  };
  void refresh(uint64_t& syscalls);
  bool add(QueuedDatagram& datagram, const NextHop& hop);
  bool flush(uint64_t& syscalls);

  const UniqueFd fd_;
  const bool stamps_;
  const uint8_t ttl_;  // the system's
  NextHops hops_;
  int64_t read_again_ns_ = INT64_MIN;
  std::vector<Frame> frames_;
  std::vector<mmsghdr> messages_;
  std::vector<sockaddr_storage> to_;
  uint32_t count_ = 0;
};

}  // namespace todd::io
