#pragma once
// Datagrams as the kernel's message headers carry them: what both back ends build, read and batch.

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/io/reactor.h"

namespace todd::io {

inline constexpr uint32_t kBatch = 64;  // datagrams per system call; more would blur the transmit stamps
inline constexpr uint32_t kReceiveControl =
    256;  // stamps 32 and 64, ttl 24, tos 24, packet info 40, drops 24, and room

struct SocketTraits {
  int family = AF_INET;
  bool icmp = false;
  bool raw = false;   // no ICMP errors on its error queue; datagrams arrive with their IPv4 header
  uint16_t port = 0;  // local port, network order
};
SocketTraits traits_of(int fd);
// Datagrams the kernel has dropped on this socket so far, the count that SO_RXQ_OVFL continues.
uint32_t dropped_so_far(int fd);

// A datagram waiting to be sent, then its outcome.
struct QueuedDatagram {
  const uint8_t* data;
  uint32_t len;
  uint8_t ttl, tos;
  Address to;
  Address from;  // family 0 = the kernel's choice
  uint64_t cookie;
  bool stamp = false;     // by a control message of its own
  bool departed = false;  // as a frame: its outcome is known
  int result = 0;
  int64_t tx_mono_ns = 0;

  bool needs_control() const { return ttl || tos || stamp || from.sa.sa_family; }
};

// Message header of one queued datagram. It points into the datagram, which must outlive it.
struct OutgoingMessage {
  msghdr header;
  iovec payload;
  alignas(cmsghdr) uint8_t control[120];  // ttl 24, tos 24, packet info 40, stamp 24
};
void build_message(QueuedDatagram& datagram, OutgoingMessage& out);

// When the k-th of n datagrams left that one system call sent between two readings of the clock.
int64_t interpolate(int64_t before_ns, int64_t after_ns, uint32_t k, uint32_t n);

// Errno values that may be the pending ICMP error of an earlier datagram on the same socket. The lists are
// the kernel's: icmp_err_convert (IPv4) and icmpv6_err_convert (IPv6).
bool is_network_error(int result);

// Reads a received message. `header` has the control data and the address; data and len are the payload.
// drop_count gets the kernel's running count where the message carries one. False for a raw datagram too
// short to be what it claims.
bool read_datagram(const msghdr& header, const uint8_t* data, uint32_t len, const SocketTraits& traits,
                   DatagramIn& in, uint32_t& drop_count);
// Turns on transmit stamps; false if this socket or kernel has none.
bool enable_tx_stamps(int fd, TxStamps which);
// The wall time of a transmit stamp on the error queue, 0 if the message is none.
int64_t read_tx_stamp(const msghdr& header);
// Reads an entry of the error queue; false if it is something else (a transmit stamp).
bool read_error(const msghdr& header, const uint8_t* data, uint32_t len, DatagramError& error);
// Empties the error queue of a connected socket. Whether somebody said that nobody is there (ECONNREFUSED).
bool take_refusal(int fd);

// Room for `count` messages, received by one recvmmsg.
class MessageBatch {
 public:
  MessageBatch(uint32_t count, uint32_t payload_bytes, uint32_t control_bytes);
  int receive(int fd, int flags);  // as recvmmsg with MSG_DONTWAIT; how many, or -errno
  uint32_t capacity() const { return static_cast<uint32_t>(messages_.size()); }
  uint32_t payload_bytes() const { return payload_bytes_; }
  const msghdr& header(int i) const { return messages_[static_cast<size_t>(i)].msg_hdr; }
  uint32_t len(int i) const { return messages_[static_cast<size_t>(i)].msg_len; }
  const uint8_t* data(int i) const { return static_cast<const uint8_t*>(header(i).msg_iov->iov_base); }

 private:
  const uint32_t payload_bytes_, control_bytes_;
  std::vector<mmsghdr> messages_;
  std::vector<iovec> vectors_;
  std::vector<Address> names_;
  std::unique_ptr<uint8_t[]> bytes_;
};

}  // namespace todd::io
