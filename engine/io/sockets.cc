#include "engine/io/sockets.h"

#include <net/if.h>  // before linux/icmp.h, which then leaves out its own copy

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/in6.h>
#include <netinet/icmp6.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>

namespace todd::io {
namespace {

constexpr int kListenBacklog = 1024;

std::string describe(const SocketRequest& request) {
  const char* const family = request.family == AF_INET6 ? "IPv6" : "IPv4";
  switch (request.kind) {
    case SocketRequest::icmp:
      return std::string(request.raw ? "raw ICMP socket (" : "ping socket (") + family + ")";
    case SocketRequest::udp: return std::string("UDP socket (") + family + ")";
    case SocketRequest::tcp: return std::string("TCP socket (") + family + ")";
  }
  return "socket";
}

bool set_int(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

void ask_for_buffers(int fd, uint32_t bytes) {
  const int value = static_cast<int>(std::min<uint32_t>(bytes, 1u << 30));
  // *FORCE goes beyond net.core.[rw]mem_max and needs CAP_NET_ADMIN. Less than asked for is no error: the
  // caller sizes its window by granted_receive_buffer.
  if (!set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, value)) set_int(fd, SOL_SOCKET, SO_RCVBUF, value);
  if (!set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, value)) set_int(fd, SOL_SOCKET, SO_SNDBUF, value);
}

// A raw socket sees every ICMP message of the host: let through answers and errors only.
bool set_icmp_filter(int fd, int family) {
  if (family == AF_INET) {
    icmp_filter filter{};
    filter.data = ~((1u << ICMP_ECHOREPLY) | (1u << ICMP_DEST_UNREACH) | (1u << ICMP_TIME_EXCEEDED) |
                    (1u << ICMP_PARAMETERPROB));
    return setsockopt(fd, SOL_RAW, ICMP_FILTER, &filter, sizeof filter) == 0;
  }
  icmp6_filter filter;
  ICMP6_FILTER_SETBLOCKALL(&filter);
  for (const int type :
       {ICMP6_ECHO_REPLY, ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG, ICMP6_TIME_EXCEEDED, ICMP6_PARAM_PROB}) {
    ICMP6_FILTER_SETPASS(type, &filter);
  }
  return setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof filter) == 0;
}

bool set_datagram_options(int fd, const SocketRequest& request) {
  const bool v6 = request.family == AF_INET6;
  ask_for_buffers(fd, request.buffer_bytes);
  const bool icmp = request.kind == SocketRequest::icmp;
  bool ok = set_int(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) && set_int(fd, SOL_SOCKET, SO_RXQ_OVFL, 1);
  // Each costs something with every datagram: nobody asks where an echo reply was sent to, and a raw IPv4
  // socket has the header.
  if (v6) {
    ok = ok && set_int(fd, SOL_IPV6, IPV6_RECVHOPLIMIT, 1) && set_int(fd, SOL_IPV6, IPV6_RECVTCLASS, 1) &&
         (icmp || set_int(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1));
  } else if (!request.raw) {
    ok = ok && set_int(fd, SOL_IP, IP_RECVTTL, 1) && set_int(fd, SOL_IP, IP_RECVTOS, 1) &&
         (icmp || set_int(fd, SOL_IP, IP_PKTINFO, 1));
  }
  if (icmp && request.raw) return ok && set_icmp_filter(fd, request.family);
  return ok && set_int(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
}

tl::unexpected<Error> refuse(const SocketRequest& request, int sys_errno, const char* what) {
  auto error = fail_errno(sys_errno, describe(request) + what);
  if (request.kind == SocketRequest::icmp && (sys_errno == EPERM || sys_errno == EACCES)) {
    error.value().detail += request.raw ? "; grant CAP_NET_RAW, or allow ping sockets: sysctl -w "
                                          "net.ipv4.ping_group_range=\"0 2147483647\""
                                        : "; allow ping sockets: sysctl -w net.ipv4.ping_group_range=\"0 "
                                          "2147483647\", or grant CAP_NET_RAW";
  } else if (sys_errno == EMFILE) {
    error.value().detail += "; raise the limit of open files (ulimit -n, LimitNOFILE)";
  } else if (sys_errno == EAFNOSUPPORT) {
    error.value().detail += "; this host has no such address family";
  }
  return error;
}

tl::unexpected<Error> bad_egress(int sys_errno, std::string detail) {
  return tl::unexpected(Error{Errc::invalid, sys_errno, std::move(detail)});
}

Status set_mark(int fd, const SocketRequest& request) {
  const uint32_t mark = request.egress.mark;
  if (mark == 0 || set_int(fd, SOL_SOCKET, SO_MARK, static_cast<int>(mark))) return {};
  return tl::unexpected(
      Error{errno == EPERM ? Errc::denied : Errc::invalid, errno,
            "mark " + std::to_string(mark) + ": " + describe(request) +
                ": marking packets takes CAP_NET_ADMIN, or from Linux 5.17 on CAP_NET_RAW; grant one of "
                "them, or leave mark out"});
}

Status set_egress(int fd, const SocketRequest& request) {
  const Egress& egress = request.egress;
  const bool v6 = request.family == AF_INET6;
  if (!egress.interface.empty() && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, egress.interface.c_str(),
                                              static_cast<socklen_t>(egress.interface.size())) != 0) {
    if (errno == ENODEV)
      return bad_egress(errno, "interface " + egress.interface + ": this host has no such interface");
    return refuse(request, errno, (": cannot send through interface " + egress.interface).c_str());
  }
  if (auto marked = set_mark(fd, request); !marked) return marked;
  // Of the destination then, as label_flow puts it there: Linux wants a lease of the label only where
  // somebody has leased labels for himself.
  if (egress.flow_label != 0 && v6 && !set_int(fd, SOL_IPV6, IPV6_FLOWINFO_SEND, 1))
    return refuse(request, errno, ": cannot set its flow label");
  if (request.ttl != 0 && !set_int(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_UNICAST_HOPS : IP_TTL, request.ttl))
    return refuse(request, errno, ": cannot set its TTL");
  if (request.tos != 0 && !set_int(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_TCLASS : IP_TOS, request.tos))
    return refuse(request, errno, ": cannot set its traffic class");
  // PROBE rather than DO: it sends whole what is longer than the path MTU the kernel remembers.
  const int how = egress.df == DontFragment::set ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;
  if (egress.df != DontFragment::system &&
      !set_int(fd, v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, how))
    return refuse(request, errno, ": cannot set don't-fragment");
  // The port is chosen with the destination, so that there are as many per destination as without a source.
  if (request.kind == SocketRequest::tcp && !egress.source.empty())
    set_int(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  return {};
}

Result<Address> source_of(const SocketRequest& request) {
  auto source = parse_address(request.egress.source, 0);
  if (!source) return source;
  if (source->sa.sa_family == request.family) return source;
  return bad_egress(EAFNOSUPPORT, "source " + request.egress.source +
                                      " does not reach targets of the other address family");
}

// port: instead of bind_to's.
Status bind_by(int fd, const SocketRequest& request, uint16_t port) {
  Address bind_to = request.bind_to;
  if (port == 0 && bind_to.sa.sa_family != 0) port = port_of(bind_to);
  if (!request.egress.source.empty()) {
    const auto source = source_of(request);
    if (!source) return tl::unexpected(source.error());
    bind_to = *source;
  }
  if (request.kind == SocketRequest::icmp && !request.raw) {
    // Bound in any case, or the kernel gives the ident only with the first send, too late to tell replies by.
    bind_to.sa.sa_family = static_cast<sa_family_t>(request.family);
  }
  if (port != 0) set_port(bind_to, port);
  if (!bind_to.sa.sa_family || bind(fd, &bind_to.sa, address_len(bind_to)) == 0) return {};
  if (errno == EADDRNOTAVAIL && !request.egress.source.empty())
    return bad_egress(errno, "source " + request.egress.source + ": this host has no such address");
  return refuse(request, errno, (": cannot bind to " + format_endpoint(bind_to)).c_str());
}

tl::unexpected<Error> ident_taken(uint16_t ident) {
  return tl::unexpected(Error{Errc::exhausted, EADDRINUSE,
                              "ident " + std::to_string(ident) +
                                  " is in use by another ping of this host; choose another one, or none"});
}

int scope_of(std::string_view zone) {
  uint32_t number = 0;
  const auto [end, ec] = std::from_chars(zone.data(), zone.data() + zone.size(), number);
  if (ec == std::errc{} && end == zone.data() + zone.size()) return static_cast<int>(number);
  return static_cast<int>(if_nametoindex(std::string(zone).c_str()));
}

}  // namespace

Result<UniqueFd> open_socket(const SocketRequest& request) {
  const bool v6 = request.family == AF_INET6;
  int type = SOCK_DGRAM, protocol = 0;
  if (request.kind == SocketRequest::tcp) type = SOCK_STREAM;
  if (request.kind == SocketRequest::icmp) {
    protocol = v6 ? int{IPPROTO_ICMPV6} : int{IPPROTO_ICMP};
    if (request.raw) type = SOCK_RAW;
  }
  UniqueFd fd(socket(request.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
  if (!fd) return refuse(request, errno, "");
  bool ok = !v6 || request.kind == SocketRequest::icmp || set_int(fd.get(), SOL_IPV6, IPV6_V6ONLY, 1);
  if (request.kind == SocketRequest::tcp) {
    ok = ok && set_int(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    // One port for many connections, each to another place or after the one before.
    const bool chosen = request.bind_to.sa.sa_family != 0 && port_of(request.bind_to) != 0;
    if (request.listen || chosen) ok = ok && set_int(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
  } else {
    ok = ok && set_datagram_options(fd.get(), request) &&
         (!request.share_port || set_int(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1));
  }
  if (!ok) return refuse(request, errno, ": cannot set its options");
  if (auto prepared = set_egress(fd.get(), request); !prepared) return tl::unexpected(prepared.error());
  if (auto bound = request.bind ? bind_by(fd.get(), request, 0) : Status{}; !bound)
    return tl::unexpected(bound.error());
  if (request.listen && listen(fd.get(), kListenBacklog) != 0)
    return refuse(request, errno, ": cannot listen");
  return fd;
}

Result<IcmpSocket> open_icmp(int family, const Egress& egress) {
  SocketRequest request{.kind = SocketRequest::icmp, .family = family, .bind = false, .egress = egress};
  // The mark comes after: where it is all that a ping socket lacks, that is what to say.
  request.egress.mark = 0;
  auto ping = open_socket(request);
  request.egress.mark = egress.mark;
  if (ping) {
    if (auto marked = set_mark(ping->get(), request); !marked) return tl::unexpected<Error>(marked.error());
    return IcmpSocket{std::move(*ping), false};
  }
  if (ping.error().code == Errc::invalid) return tl::unexpected<Error>(ping.error());  // for a raw one too
  request.raw = request.bind = true;
  auto raw = open_socket(request);
  if (raw) return IcmpSocket{std::move(*raw), true};
  return tl::unexpected<Error>(raw.error());
}

Status pass_only_replies_to(int fd, int family, uint16_t ident) {
  // IPv4 comes with its header, whose length goes to X; IPv6 does not.
  const bool v4 = family == AF_INET;
  const sock_filter find_v4 = BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
                    find_v6 = BPF_STMT(BPF_LDX | BPF_IMM, 0);
  const uint32_t reply = v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY;
  sock_filter code[] = {
      v4 ? find_v4 : find_v6,
      BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, reply, 0, 2),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ident, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog program{.len = std::size(code), .filter = code};
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0) return {};
  return fail_errno(errno, "filter of an ICMP socket");
}

Status bind_ping(int fd, int family, const Egress& egress, uint16_t ident, int sibling) {
  // By default the kernel lets several sockets have one ident, and gives one of them all the replies.
  // Families share its idents, although no reply is of both.
  const bool shared = ident != 0 && sibling >= 0;
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, shared);
  if (shared) set_int(sibling, SOL_SOCKET, SO_REUSEADDR, 1);
  auto bound = bind_by(fd, {.kind = SocketRequest::icmp, .family = family, .egress = egress}, ident);
  set_int(fd, SOL_SOCKET, SO_REUSEADDR, 0);
  if (shared) set_int(sibling, SOL_SOCKET, SO_REUSEADDR, 0);
  if (!bound && bound.error().sys_errno == EADDRINUSE) return ident_taken(ident);
  return bound;
}

Result<UniqueFd> claim_ident(int family, uint16_t ident) {
  // The name of an abstract socket belongs to one socket of the network namespace and goes with it.
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string text =
      (family == AF_INET6 ? "todd-icmp6-ident-" : "todd-icmp4-ident-") + std::to_string(ident);
  std::copy(text.begin(), text.end(), name.sun_path + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  if (fd && bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), length) == 0) return fd;
  if (errno == EADDRINUSE) return ident_taken(ident);
  return tl::unexpected(Error{Errc::system, errno, "cannot claim ident " + std::to_string(ident)});
}

void never_fragment(int fd, int family) {
  if (family == AF_INET) (void)set_int(fd, SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

uint32_t granted_receive_buffer(int fd) {
  int bytes = 0;
  socklen_t len = sizeof bytes;
  getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len);
  return static_cast<uint32_t>(bytes);
}

Result<Address> local_address(int fd) {
  Address address{};
  socklen_t len = sizeof address;
  if (getsockname(fd, &address.sa, &len) != 0) return fail_errno(errno, "local address of a socket");
  return address;
}

Result<Address> source_address(const Address& to, const Egress& egress) {
  const SocketRequest request{
      .kind = SocketRequest::udp, .family = to.sa.sa_family, .buffer_bytes = 0, .egress = egress};
  auto fd = open_socket(request);
  if (!fd) return tl::unexpected(fd.error());
  Address there = to;
  if (port_of(there) == 0) set_port(there, 9);  // connecting a datagram socket sends nothing
  if (connect(fd->get(), &there.sa, address_len(there)) != 0) return refuse(request, errno, ": no route");
  auto local = local_address(fd->get());
  if (local) set_port(*local, 0);
  return local;
}

int connect_result(int fd, int otherwise) {
  Address peer;
  socklen_t len = sizeof peer;
  if (getpeername(fd, &peer.sa, &len) == 0) return 0;
  int error = 0;
  len = sizeof error;
  const bool told = getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0;
  return told ? -error : -otherwise;
}

Result<Address> parse_address(const std::string& text, uint16_t port) {
  Address address{};
  if (inet_pton(AF_INET, text.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return address;
  }
  address = {};
  const size_t percent = text.find('%');
  if (inet_pton(AF_INET6, text.substr(0, percent).c_str(), &address.v6.sin6_addr) != 1) {
    return fail(Errc::invalid, "\"" + text + "\" is not an IPv4 or IPv6 address");
  }
  address.v6.sin6_family = AF_INET6;
  address.v6.sin6_port = htons(port);
  if (percent != std::string::npos) {
    const int scope = scope_of(std::string_view(text).substr(percent + 1));
    if (scope <= 0) return fail(Errc::invalid, "\"" + text + "\": this host has no interface of that name");
    address.v6.sin6_scope_id = static_cast<uint32_t>(scope);
  }
  return address;
}

std::string format_address(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.sa.sa_family == AF_INET) return inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof text);
  if (address.sa.sa_family != AF_INET6) return "unknown";
  std::string out = inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof text);
  if (const uint32_t scope = address.v6.sin6_scope_id) {
    char name[IF_NAMESIZE];
    out += '%';
    out += if_indextoname(scope, name) ? std::string(name) : std::to_string(scope);
  }
  return out;
}

std::string format_endpoint(const Address& address) {
  const std::string host = format_address(address);
  const std::string port = std::to_string(port_of(address));
  return address.sa.sa_family == AF_INET6 ? "[" + host + "]:" + port : host + ":" + port;
}

uint16_t port_of(const Address& address) {
  return ntohs(address.sa.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

void set_port(Address& address, uint16_t port) {
  (address.sa.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port) = htons(port);
}

void label_flow(Address& to, const Egress& egress) {
  if (to.sa.sa_family == AF_INET6) to.v6.sin6_flowinfo = htonl(egress.flow_label);
}

bool same_host(const Address& a, const Address& b) {
  if (a.sa.sa_family != b.sa.sa_family) return false;
  if (a.sa.sa_family == AF_INET) return a.v4.sin_addr.s_addr == b.v4.sin_addr.s_addr;
  if (a.sa.sa_family != AF_INET6) return false;
  return IN6_ARE_ADDR_EQUAL(&a.v6.sin6_addr, &b.v6.sin6_addr) && a.v6.sin6_scope_id == b.v6.sin6_scope_id;
}

bool is_no_host(const Address& address) {
  if (address.sa.sa_family == AF_INET) {
    const uint32_t host = ntohl(address.v4.sin_addr.s_addr);
    return host == INADDR_ANY || host == INADDR_BROADCAST || IN_MULTICAST(host);
  }
  const in6_addr& host = address.v6.sin6_addr;
  if (address.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&host)) {
    Address inner{};
    inner.sa.sa_family = AF_INET;
    memcpy(&inner.v4.sin_addr, host.s6_addr + 12, sizeof inner.v4.sin_addr);
    return is_no_host(inner);
  }
  return address.sa.sa_family == AF_INET6 && (IN6_IS_ADDR_UNSPECIFIED(&host) || IN6_IS_ADDR_MULTICAST(&host));
}

Status send_fd(int socket, int fd) {
  char byte = 'f';  // at least one byte must travel with a descriptor
  iovec payload{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return fail_errno(errno, "pass a descriptor");
  return {};
}

Result<UniqueFd> receive_fd(int socket) {
  char byte;
  iovec payload{&byte, 1};
  int fd = -1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)];
  msghdr message{};
  message.msg_iov = &payload;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0) return fail_errno(errno, "receive a descriptor");
  if (got == 0) return fail(Errc::unavailable, "receive a descriptor: the other side has closed the socket");
  const cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  if (!rights || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS ||
      rights->cmsg_len != CMSG_LEN(sizeof fd)) {
    return fail(Errc::corrupt, "receive a descriptor: the message carries none");
  }
  std::memcpy(&fd, CMSG_DATA(rights), sizeof fd);
  return UniqueFd(fd);
}

}  // namespace todd::io
