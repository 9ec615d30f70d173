#include "engine/io/datagram_message.h"

#include <linux/errqueue.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "engine/base/clock.h"
#include "engine/io/sockets.h"

namespace todd::io {
namespace {

int int_option(int fd, int level, int name) {
  int value = 0;
  socklen_t len = sizeof value;
  getsockopt(fd, level, name, &value, &len);
  return value;
}

template <class T>
void add_control(msghdr& header, int level, int type, const T& value) {
  auto* at = reinterpret_cast<cmsghdr*>(static_cast<uint8_t*>(header.msg_control) + header.msg_controllen);
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(sizeof value);
  std::memcpy(CMSG_DATA(at), &value, sizeof value);
  header.msg_controllen += CMSG_SPACE(sizeof value);
}

// Calls each for every control message that lies whole in the header's control data. (CMSG_FIRSTHDR does not
// look at the first one's length.)
template <class Each>
void for_each_control(const msghdr& header, Each&& each) {
  const auto* at = static_cast<const uint8_t*>(header.msg_control);
  for (size_t left = header.msg_controllen; left >= sizeof(cmsghdr);) {
    const auto& control = *reinterpret_cast<const cmsghdr*>(at);
    if (control.cmsg_len < sizeof control || control.cmsg_len > left) return;
    each(control);
    const size_t step = CMSG_ALIGN(control.cmsg_len);
    if (step >= left) return;
    at += step;
    left -= step;
  }
}

// False if the control message is shorter than a T.
template <class T>
bool control_value(const cmsghdr& control, T& value) {
  if (control.cmsg_len < CMSG_LEN(sizeof value)) return false;
  std::memcpy(&value, CMSG_DATA(const_cast<cmsghdr*>(&control)), sizeof value);
  return true;
}

bool is(const cmsghdr& control, int level, int type) {
  return control.cmsg_level == level && control.cmsg_type == type;
}

bool read_stamp(const cmsghdr& control, int64_t& wall) {
  timespec at;
  if (!is(control, SOL_SOCKET, SO_TIMESTAMPNS) || !control_value(control, at)) return false;
  wall = int64_t{at.tv_sec} * 1'000'000'000 + at.tv_nsec;
  return true;
}

bool link_local(const in6_addr& a) { return IN6_IS_ADDR_LINKLOCAL(&a) || IN6_IS_ADDR_MC_LINKLOCAL(&a); }

void read_destination(const cmsghdr& control, const SocketTraits& traits, Address& local) {
  in_pktinfo v4;
  in6_pktinfo v6;
  if (is(control, SOL_IP, IP_PKTINFO) && control_value(control, v4)) {
    local.v4.sin_family = AF_INET;
    local.v4.sin_port = traits.port;
    local.v4.sin_addr = v4.ipi_addr;
  } else if (is(control, SOL_IPV6, IPV6_PKTINFO) && control_value(control, v6)) {
    local.v6.sin6_family = AF_INET6;
    local.v6.sin6_port = traits.port;
    local.v6.sin6_addr = v6.ipi6_addr;
    if (link_local(v6.ipi6_addr)) local.v6.sin6_scope_id = v6.ipi6_ifindex;
  }
}

void copy_name(const msghdr& header, Address& to) {
  to = {};
  if (header.msg_name && header.msg_namelen >= sizeof(sockaddr_in)) {
    std::memcpy(&to, header.msg_name, std::min<size_t>(header.msg_namelen, sizeof to));
  }
}

}  // namespace

SocketTraits traits_of(int fd) {
  SocketTraits traits;
  traits.family = int_option(fd, SOL_SOCKET, SO_DOMAIN);
  const int protocol = int_option(fd, SOL_SOCKET, SO_PROTOCOL);
  traits.icmp = protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
  traits.raw = int_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_RAW;
  if (const auto local = local_address(fd); local && !traits.icmp) traits.port = htons(port_of(*local));
  return traits;
}

uint32_t dropped_so_far(int fd) {
  uint32_t info[SK_MEMINFO_VARS] = {};  // SO_MEMINFO: Linux 4.12
  socklen_t len = sizeof info;
  if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0) return 0;
  return info[SK_MEMINFO_DROPS];
}

void build_message(QueuedDatagram& datagram, OutgoingMessage& out) {
  out.payload = {const_cast<uint8_t*>(datagram.data), datagram.len};
  out.header = {};
  out.header.msg_name = &datagram.to;
  out.header.msg_namelen = address_len(datagram.to);
  out.header.msg_iov = &out.payload;
  out.header.msg_iovlen = 1;
  if (!datagram.needs_control()) return;
  out.header.msg_control = out.control;
  const bool v6 = datagram.to.sa.sa_family == AF_INET6;
  const int level = v6 ? SOL_IPV6 : SOL_IP;
  if (datagram.ttl) add_control(out.header, level, v6 ? IPV6_HOPLIMIT : IP_TTL, int{datagram.ttl});
  if (datagram.tos) add_control(out.header, level, v6 ? IPV6_TCLASS : IP_TOS, int{datagram.tos});
  if (datagram.stamp)
    add_control(out.header, SOL_SOCKET, SO_TIMESTAMPING, uint32_t{SOF_TIMESTAMPING_TX_SOFTWARE});
  if (datagram.from.sa.sa_family == AF_INET) {
    in_pktinfo info{};
    info.ipi_spec_dst = datagram.from.v4.sin_addr;
    add_control(out.header, SOL_IP, IP_PKTINFO, info);
  } else if (datagram.from.sa.sa_family == AF_INET6) {
    in6_pktinfo info{};
    info.ipi6_addr = datagram.from.v6.sin6_addr;
    if (link_local(info.ipi6_addr)) info.ipi6_ifindex = datagram.from.v6.sin6_scope_id;
    add_control(out.header, SOL_IPV6, IPV6_PKTINFO, info);
  }
}

int64_t interpolate(int64_t before_ns, int64_t after_ns, uint32_t k, uint32_t n) {
  return before_ns + (after_ns - before_ns) * int64_t{k} / int64_t{n};
}

bool is_network_error(int result) {
  switch (-result) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EPROTO:
    case EACCES:    // ICMPv6 "administratively prohibited"
    case EMSGSIZE:  // fragmentation needed, packet too big
      return true;
    default: return false;
  }
}

bool read_datagram(const msghdr& header, const uint8_t* data, uint32_t len, const SocketTraits& traits,
                   DatagramIn& in, uint32_t& drop_count) {
  in = {};
  in.data = data;
  in.len = len;
  in.truncated = header.msg_flags & MSG_TRUNC;
  copy_name(header, in.from);
  for_each_control(header, [&](const cmsghdr& c) {
    int number;
    if (read_stamp(c, in.rx_wall_ns)) {
      in.rx_source = Stamp::kernel;
    } else if (is(c, SOL_SOCKET, SO_RXQ_OVFL)) {
      control_value(c, drop_count);
    } else if (is(c, SOL_IP, IP_TTL) || is(c, SOL_IPV6, IPV6_HOPLIMIT)) {
      if (control_value(c, number)) in.ttl = static_cast<uint8_t>(number);
    } else if (is(c, SOL_IP, IP_TOS)) {
      control_value(c, in.tos);  // one byte on IPv4, an int on IPv6
    } else if (is(c, SOL_IPV6, IPV6_TCLASS)) {
      if (control_value(c, number)) in.tos = static_cast<uint8_t>(number);
    } else {
      read_destination(c, traits, in.local);
    }
  });
  if (in.rx_source == Stamp::none) {
    in.rx_wall_ns = wall_ns();
    in.rx_source = Stamp::user;
  }
  if (!traits.raw || traits.family != AF_INET) return true;
  const uint32_t ip_header = len ? (data[0] & 0x0fu) * 4 : 0;
  if (ip_header < 20 || ip_header > len) return false;
  in.tos = data[1];
  in.ttl = data[8];
  in.data += ip_header;
  in.len -= ip_header;
  return true;
}

bool enable_tx_stamps(int fd, TxStamps which) {
  // Linux 6.12: without it every received datagram brings its stamp a second time, in the longer form.
  constexpr uint32_t kOnlyWanted = 1u << 17;  // SOF_TIMESTAMPING_OPT_RX_FILTER
  uint32_t flags = SOF_TIMESTAMPING_SOFTWARE;
  if (which == TxStamps::all) flags |= SOF_TIMESTAMPING_TX_SOFTWARE;
  for (const uint32_t more : {kOnlyWanted, 0u}) {
    const uint32_t value = flags | more;
    if (setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &value, sizeof value) == 0) return true;
  }
  return false;
}

int64_t read_tx_stamp(const msghdr& header) {
  int64_t wall = 0;
  bool ours = false;
  for_each_control(header, [&](const cmsghdr& c) {
    scm_timestamping stamps;
    sock_extended_err extended;
    if (is(c, SOL_SOCKET, SCM_TIMESTAMPING) && control_value(c, stamps)) {
      wall = int64_t{stamps.ts[0].tv_sec} * 1'000'000'000 + stamps.ts[0].tv_nsec;
    } else if ((is(c, SOL_IP, IP_RECVERR) || is(c, SOL_IPV6, IPV6_RECVERR) ||
                is(c, SOL_PACKET, PACKET_TX_TIMESTAMP)) &&
               control_value(c, extended)) {
      ours = extended.ee_origin == SO_EE_ORIGIN_TIMESTAMPING && extended.ee_info == SCM_TSTAMP_SND;
    }
  });
  return ours ? wall : 0;
}

bool read_error(const msghdr& header, const uint8_t* data, uint32_t len, DatagramError& error) {
  error = {};
  error.quoted = data;
  error.quoted_len = len;
  copy_name(header, error.to);
  bool found = false, no_error = false;
  for_each_control(header, [&](const cmsghdr& c) {
    sock_extended_err extended;
    if (read_stamp(c, error.rx_wall_ns)) return;
    if (!is(c, SOL_IP, IP_RECVERR) && !is(c, SOL_IPV6, IPV6_RECVERR)) return;
    if (!control_value(c, extended)) return;
    no_error |=
        extended.ee_origin == SO_EE_ORIGIN_TIMESTAMPING || extended.ee_origin == SO_EE_ORIGIN_ZEROCOPY;
    error.sys_errno = static_cast<int>(extended.ee_errno);
    error.origin = extended.ee_origin;
    error.type = extended.ee_type;
    error.code = extended.ee_code;
    error.info = extended.ee_info;
    const size_t rest = c.cmsg_len - CMSG_LEN(sizeof extended);  // SO_EE_OFFENDER
    if (rest >= sizeof(sockaddr_in)) {
      std::memcpy(&error.offender, CMSG_DATA(const_cast<cmsghdr*>(&c)) + sizeof extended,
                  std::min(rest, sizeof error.offender));
    }
    found = true;
  });
  if (no_error) return false;
  if (found && !error.rx_wall_ns) error.rx_wall_ns = wall_ns();
  return found;
}

bool take_refusal(int fd) {
  bool refused = false;
  for (;;) {
    alignas(cmsghdr) uint8_t control[kReceiveControl];
    msghdr message{};
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return refused;
    DatagramError error;
    refused |= read_error(message, nullptr, 0, error) && error.sys_errno == ECONNREFUSED;
  }
}

MessageBatch::MessageBatch(uint32_t count, uint32_t payload_bytes, uint32_t control_bytes)
    : payload_bytes_(payload_bytes),
      control_bytes_((control_bytes + 7) & ~7u),
      messages_(count),
      vectors_(count),
      names_(count),
      bytes_(new uint8_t[size_t{count} * (control_bytes_ + payload_bytes)]) {
  uint8_t* const payloads = bytes_.get() + size_t{count} * control_bytes_;
  for (uint32_t i = 0; i < count; ++i) {
    vectors_[i] = {payloads + size_t{i} * payload_bytes, payload_bytes};
    msghdr& header = messages_[i].msg_hdr;
    header = {};
    header.msg_name = &names_[i];
    header.msg_iov = &vectors_[i];
    header.msg_iovlen = 1;
    header.msg_control = bytes_.get() + size_t{i} * control_bytes_;
  }
}

int MessageBatch::receive(int fd, int flags) {
  for (mmsghdr& message : messages_) {  // the kernel overwrites both lengths
    message.msg_hdr.msg_namelen = sizeof(Address);
    message.msg_hdr.msg_controllen = control_bytes_;
  }
  const int got = recvmmsg(fd, messages_.data(), capacity(), flags | MSG_DONTWAIT, nullptr);
  return got < 0 ? -errno : got;
}

}  // namespace todd::io
