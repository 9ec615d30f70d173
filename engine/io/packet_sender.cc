#include "engine/io/packet_sender.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "engine/base/clock.h"
#include "engine/base/files.h"

namespace todd::io {
namespace {

constexpr int64_t kReadAgainNs = 1'000'000'000, kReadAgainSoonNs = 20'000'000;
constexpr int kSendBuffer = 4 << 20;
constexpr size_t kIpHeader = 20;

uint8_t system_ttl() {
  const auto text = read_file("/proc/sys/net/ipv4/ip_default_ttl");
  const int ttl = text ? atoi(text->c_str()) : 0;
  return ttl > 0 && ttl < 256 ? static_cast<uint8_t>(ttl) : 64;
}

void put16(uint8_t* at, uint32_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

// RFC 1071.
uint16_t ip_checksum(const uint8_t* header) {
  uint32_t sum = 0;
  for (size_t i = 0; i < kIpHeader; i += 2) sum += static_cast<uint32_t>(header[i] << 8 | header[i + 1]);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~(sum + (sum >> 16)));
}

// Don't-fragment and no identification: RFC 6864 section 4.1 gives such datagrams none.
void write_ip(uint8_t* at, const QueuedDatagram& datagram, uint8_t ttl, in_addr from) {
  memset(at, 0, kIpHeader);
  at[0] = 0x45;
  at[1] = datagram.tos;
  put16(at + 2, static_cast<uint32_t>(kIpHeader) + datagram.len);
  put16(at + 6, 0x4000);
  at[8] = datagram.ttl != 0 ? datagram.ttl : ttl;
  at[9] = IPPROTO_ICMP;
  memcpy(at + 12, &from, 4);
  memcpy(at + 16, &datagram.to.v4.sin_addr, 4);
  put16(at + 10, ip_checksum(at));
}

}  // namespace

Result<UniqueFd> open_packet_socket() {
  // Of protocol 0: it receives nothing.
  UniqueFd fd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "packet socket (it takes CAP_NET_RAW)");
  const int on = 1;
  if (setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0)
    return fail_errno(errno, "packet socket: PACKET_QDISC_BYPASS");
  // Stamps of what was sent wait in the receive buffer.
  for (const int option : {SO_SNDBUFFORCE, SO_RCVBUFFORCE})
    (void)setsockopt(fd.get(), SOL_SOCKET, option, &kSendBuffer, sizeof kSendBuffer);
  return fd;
}

PacketSender::PacketSender(UniqueFd fd, TxStamps stamps)
    : fd_(std::move(fd)),
      stamps_(stamps != TxStamps::none && enable_tx_stamps(fd_.get(), stamps)),
      ttl_(system_ttl()),
      frames_(kBatch),
      messages_(kBatch),
      to_(kBatch) {}

void PacketSender::refresh(uint64_t& syscalls) {
  const int64_t now = monotonic_ns();
  if (now < read_again_ns_) return;
  auto hops = NextHops::read(syscalls);
  hops_ = hops ? std::move(*hops) : NextHops();
  read_again_ns_ = now + (hops_.only_unresolved() ? kReadAgainSoonNs : kReadAgainNs);
}

// False: the kernel has to send it.
bool PacketSender::add(QueuedDatagram& datagram, const NextHop& hop) {
  if (kIpHeader + datagram.len > kLongest) return false;
  Frame& frame = frames_[count_];
  frame.datagram = &datagram;
  uint8_t* const bytes = frame.bytes.data();
  memcpy(bytes, hop.peer.data(), hop.peer.size());
  memcpy(bytes + 6, hop.own.data(), hop.own.size());
  put16(bytes + 12, ETH_P_IP);
  write_ip(bytes + kEthernet, datagram, ttl_, hop.source);
  memcpy(bytes + kEthernet + kIpHeader, datagram.data, datagram.len);
  frame.whole = {bytes, kEthernet + kIpHeader + datagram.len};
  auto& to = reinterpret_cast<sockaddr_ll&>(to_[count_]);
  to = {};
  to.sll_family = AF_PACKET;
  to.sll_protocol = htons(ETH_P_IP);
  to.sll_ifindex = static_cast<int>(hop.interface);
  msghdr& header = messages_[count_].msg_hdr;
  header = {};
  header.msg_name = &to;
  header.msg_namelen = sizeof to;
  header.msg_iov = &frame.whole;
  header.msg_iovlen = 1;
  if (datagram.stamp) {
    header.msg_control = frame.control.data();
    header.msg_controllen = CMSG_SPACE(sizeof(uint32_t));
    cmsghdr& wanted = *CMSG_FIRSTHDR(&header);
    wanted.cmsg_level = SOL_SOCKET;
    wanted.cmsg_type = SO_TIMESTAMPING;
    wanted.cmsg_len = CMSG_LEN(sizeof(uint32_t));
    const uint32_t stamp = SOF_TIMESTAMPING_TX_SOFTWARE;
    memcpy(CMSG_DATA(&wanted), &stamp, sizeof stamp);
  }
  ++count_;
  return true;
}

// Sends the frames there are. False: this way is closed (the interface went), and what has not departed is
// the kernel's.
bool PacketSender::flush(uint64_t& syscalls) {
  for (uint32_t next = 0; next < count_;) {
    const uint32_t left = count_ - next;
    const int64_t before = monotonic_ns();
    const int sent = sendmmsg(fd_.get(), &messages_[next], left, MSG_DONTWAIT | MSG_NOSIGNAL);
    const int error = errno;
    const int64_t after = monotonic_ns();
    ++syscalls;
    if (sent < 0 && error == EINTR) continue;
    const bool full = sent < 0 && (error == EAGAIN || error == ENOBUFS);
    if (sent < 0 && !full) {
      count_ = 0;
      hops_ = NextHops();
      return false;
    }
    // A full buffer is as full for the rest; a device's queue may take the next.
    const uint32_t decided = sent > 0 ? static_cast<uint32_t>(sent) : error == EAGAIN ? left : 1;
    for (uint32_t k = 0; k < decided; ++k) {
      QueuedDatagram& datagram = *frames_[next + k].datagram;
      datagram.departed = true;
      datagram.result = full ? -error : 0;
      datagram.tx_mono_ns = full ? after : interpolate(before, after, k, decided);
    }
    next += decided;
  }
  count_ = 0;
  return true;
}

void PacketSender::send(std::vector<QueuedDatagram>& queue, uint64_t& syscalls) {
  refresh(syscalls);
  for (QueuedDatagram& datagram : queue) {
    if (datagram.to.sa.sa_family != AF_INET || datagram.from.sa.sa_family != 0) continue;
    const NextHop* const hop = hops_.find(datagram.to.v4.sin_addr);
    if (hop == nullptr) continue;
    if (hop->doubtful) {
      hops_.trust(*hop);
      continue;
    }
    if (!add(datagram, *hop)) continue;
    if (count_ == kBatch && !flush(syscalls)) return;
  }
  flush(syscalls);
}

}  // namespace todd::io
