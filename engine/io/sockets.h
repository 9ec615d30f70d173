#pragma once
// Sockets configured for the reactor: non-blocking, close-on-exec, kernel receive stamps, error queue, drop
// counter.
//
// An ICMP error is reported in one form only. UDP and ping sockets have the error queue (IP_RECVERR, so
// DatagramSink::on_error). Raw ICMP sockets do not: the error arrives there as a datagram of its own anyway,
// and with the queue it would be seen twice. Their filter lets pass echo replies, unreachable, time exceeded,
// parameter problem and packet too big. TCP keeps the kernel's own buffer sizes (setting them ends its
// tuning) and sets TCP_NODELAY. IPv6 sockets carry IPv6 only.

#include <string>

#include "engine/base/egress.h"
#include "engine/io/reactor.h"

namespace todd::io {

struct SocketRequest {
  enum Kind { icmp, udp, tcp } kind;
  int family;         // AF_INET or AF_INET6
  bool raw = false;   // icmp only: SOCK_RAW instead of the unprivileged ping socket
  Address bind_to{};  // family 0 = unbound, but for a ping socket, which has an ident in any case
  bool bind = true;   // false: neither to bind_to nor to the egress's source
  uint32_t buffer_bytes = 4u << 20;  // asked for with *FORCE when allowed; see granted_receive_buffer
  bool listen = false;               // tcp: SO_REUSEADDR + listen(1024)
  bool share_port = false;           // udp: SO_REUSEPORT
  uint8_t ttl = 0, tos = 0;          // of everything sent; 0: the system's
  Egress egress{};                   // its source stands in for an unbound bind_to
};
// Errors: invalid where the host has no such source or interface, or the source is of the other family. They
// name the socket and the remedy: EPERM/EACCES for ICMP name CAP_NET_RAW and net.ipv4.ping_group_range.
Result<UniqueFd> open_socket(const SocketRequest& request);
// The ICMP socket this process may have: ping socket first, then raw. is_raw tells which. A ping socket is
// not bound yet, so that whoever uses it can choose its ident: bind_ping does that.
struct IcmpSocket {
  UniqueFd fd;
  bool is_raw = false;
};
Result<IcmpSocket> open_icmp(int family, const Egress& egress = {});
// A raw ICMP socket sees the replies to everybody's echoes: lets through those to this ident, and errors.
Status pass_only_replies_to(int fd, int family, uint16_t ident);
// Gives a ping socket its ident (0 = any that is free; then it is the port of local_address) and the egress's
// source. sibling: a ping socket of the other family that has the ident and may share it; -1 = none. Errors:
// as open_socket's; exhausted, where another socket of this host has the ident.
Status bind_ping(int fd, int family, const Egress& egress, uint16_t ident, int sibling = -1);
// The ident of a raw socket, which the kernel does not keep apart, for as long as the descriptor is open: no
// other program that claims it so in this network namespace can have it. Errors: exhausted, if one has.
Result<UniqueFd> claim_ident(int family, uint16_t ident);
// For a socket whose packets no path is too narrow for: they leave with don't-fragment, as they would anyway,
// and the kernel is spared numbering them for reassembly, a tenth of what sending costs. No effect on IPv6.
void never_fragment(int fd, int family);
uint32_t granted_receive_buffer(int fd);
Result<Address> local_address(int fd);
// The address that packets to there leave from, by the routes of now and the egress; port 0. Errors: as
// open_socket's, system (no route).
Result<Address> source_address(const Address& to, const Egress& egress);
// What has become of a connect(), whoever was told of it: 0 if the connection stands, else -errno of the
// socket (which is forgotten with that), of soft errors too (RFC 5461), else -otherwise.
int connect_result(int fd, int otherwise);

// "192.0.2.1", "2001:db8::1", "fe80::1%eth0" -> address with that port. Errc::invalid otherwise.
Result<Address> parse_address(const std::string& text, uint16_t port);
std::string format_address(const Address& address);   // without port
std::string format_endpoint(const Address& address);  // with port, brackets around v6
uint16_t port_of(const Address& address);
void set_port(Address& address, uint16_t port);
bool same_host(const Address& a, const Address& b);  // ignoring ports
// Whether no single host has it: 0.0.0.0, ::, multicast, broadcast. Probes to it would reach this host, or
// many at once. As targets that are written engine/schedule refuses them; this is for what names turn out to
// be.
bool is_no_host(const Address& address);
// Gives an address of IPv6 the egress's flow label, with which sockets send to it.
void label_flow(Address& to, const Egress& egress);

// Passing descriptors over a unix socket (SCM_RIGHTS).
Status send_fd(int socket, int fd);
Result<UniqueFd> receive_fd(int socket);

}  // namespace todd::io
