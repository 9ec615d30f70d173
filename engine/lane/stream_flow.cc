#include "engine/lane/stream_flow.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>  // before linux/errqueue.h, which needs its timespec

#include <linux/errqueue.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/io/datagram_message.h"
#include "engine/io/sockets.h"
#include "engine/lane/errors.h"

namespace todd::lane {
namespace {
constexpr uint32_t kSlots = 64;
size_t arena_for(uint32_t chunk) { return std::max<size_t>(size_t{chunk} * 4, 512 * 1024); }

// Whether an ICMP error is what ended a connection that asked for those (IP_RECVERR). Without one the kernel
// refused by itself.
bool told_by_network(int fd) {
  alignas(cmsghdr) char control[256];
  msghdr message{};
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return false;
  io::DatagramError error;
  return io::read_error(message, nullptr, 0, error) && error.origin != SO_EE_ORIGIN_LOCAL;
}

// Whether connect() failed by this host's own doing (no route, no port, a rule), so that no SYN has left.
bool is_local(int result, int fd) {
  switch (-result) {
    case 0:
    case ECANCELED:
    case ECONNREFUSED:
    case ECONNRESET:
    case ETIMEDOUT: return false;
    default: return !told_by_network(fd);
  }
}

const char* outcome_of(int result) {
  switch (-result) {
    case 0: return "ok";
    case ECANCELED: return "cancelled";
    case ECONNREFUSED: return "refused";
    case ECONNRESET: return "reset";
    case ETIMEDOUT: return "timeout";
    default: return "unreachable";
  }
}

// From the SYN to its answer as the kernel has measured it, to the microsecond; 0 if the SYN was sent again,
// for then it has not. The first round trip that a connection measures is that of its handshake.
int64_t handshake_ns(int fd) {
  tcp_info info{};
  socklen_t len = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 || info.tcpi_total_retrans != 0) return 0;
  return int64_t{info.tcpi_rtt} * 1000;
}
}  // namespace

StreamFlow::StreamFlow(Instance& owner, uint32_t index, const todd_flow& flow)
    : Flow(flow.slot_cap, flow.slots != 0 ? std::min(flow.slots, 4096u) : kSlots, arena_for(flow.slot_cap)),
      owner_(owner),
      index_(index),
      wanted_(flow),
      out_(slots()),
      next_id_(uint64_t{index} << 48) {
  if (owner.setup().samples != 0) numbers_.resize(setup_targets(owner.setup()));
}

StreamFlow::~StreamFlow() = default;

int StreamFlow::fd(uint64_t stream) const {
  const auto it = streams_.find(stream);
  return it == streams_.end() ? -1 : it->second->stream->fd();
}

todd_done StreamFlow::about(const Conn& conn, uint16_t code, int32_t result) const {
  return {.user = conn.connecting.user,
          .result = result,
          .code = code,
          .flow = index_,
          .target = conn.target,
          .slot = TODD_NONE,
          .rx_ns = owner_.now(),
          .rx_src = TODD_TS_USER,
          .arg = conn.id};
}

StreamFlow::Conn& StreamFlow::add(UniqueFd fd, uint32_t target) {
  auto conn = std::make_unique<Conn>();
  conn->flow = this;
  conn->id = ++next_id_;
  conn->target = target;
  conn->stream = owner_.reactor().add_stream(std::move(fd), *conn,
                                             {.receive_chunk = std::clamp(slot_cap(), 4096u, 262144u)});
  return *(streams_[conn->id] = std::move(conn));
}

void StreamFlow::connect(const todd_op& op) {
  todd_done refused{.user = op.user,
                    .result = -EINVAL,
                    .code = TODD_OP_CONNECT,
                    .flags = TODD_DF_LOCAL,
                    .flow = index_,
                    .target = op.target,
                    .slot = TODD_NONE,
                    .rx_ns = owner_.now()};
  const bool probe = (op.flags & TODD_OF_PROBE) != 0;
  if (op.target >= owner_.setup().targets.size() ||
      owner_.setup().targets[op.target].address.sa.sa_family == 0) {
    if (probe) owner_.host_count(kUnsent, op.target);
    return owner_.complete(refused);
  }
  io::Address to = owner_.setup().targets[op.target].address;
  if (op.port != 0) io::set_port(to, op.port);
  io::SocketRequest request{.kind = io::SocketRequest::tcp,
                            .family = to.sa.sa_family,
                            .buffer_bytes = 0,
                            .ttl = op.ttl,
                            .tos = op.tos,
                            .egress = owner_.setup().egress};
  if (wanted_.local_port != 0)
    request.bind_to = *io::parse_address(request.family == AF_INET6 ? "::" : "0.0.0.0", wanted_.local_port);
  auto fd = io::open_socket(request);
  if (fd && wanted_.local_port != 0) {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd->get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  if (!fd) {
    if (probe) owner_.host_count(kUnsent, op.target);
    owner_.note(op.target, "local_error", fd.error().detail);
    refused.result = fd.error().sys_errno != 0 ? -fd.error().sys_errno : -EMFILE;
    return owner_.complete(refused);
  }
  if (probe) {
    const int on = 1;
    const bool v6 = to.sa.sa_family == AF_INET6;
    setsockopt(fd->get(), v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof on);
  }
  Conn& conn = add(std::move(*fd), op.target);
  conn.connecting = op;
  conn.began_ns = owner_.now();
  if (probe && op.target < numbers_.size()) conn.number = numbers_[op.target]++;
  const int64_t timeout = op.timeout_ns != 0 ? op.timeout_ns : owner_.setup().timeout_ns;
  if (timeout > 0) {
    owner_.add_timer(owner_.now() + timeout, [this, id = conn.id] {
      const auto it = streams_.find(id);
      // The connection may stand, and this program be late.
      if (it != streams_.end() && !it->second->connected)
        connected(*it->second, io::connect_result(it->second->stream->fd(), ETIMEDOUT));
    });
  }
  conn.stream->connect(to, 0);
}

void StreamFlow::connected(Conn& conn, int result) {
  if (conn.stream == nullptr || conn.connected)
    return;  // its timeout came first, or it was closed: that was told
  todd_done done = about(conn, TODD_OP_CONNECT, result);
  if ((conn.connecting.flags & TODD_OF_PROBE) != 0) end_probe(conn, done);
  if (result == 0) {
    conn.connected = true;
    return owner_.complete(done);
  }
  done.arg = 0;
  forget(conn.id);
  owner_.complete(done);
}

void StreamFlow::end_probe(const Conn& conn, todd_done& done) {
  const uint32_t target = conn.connecting.target;
  if (is_local(done.result, conn.stream->fd())) {
    done.flags |= TODD_DF_LOCAL;
    owner_.note(target, "local_error", strerror(-done.result));
    return owner_.host_count(kUnsent, target);
  }
  owner_.host_count(kSent, target);
  if (conn.connecting.at_ns != 0) owner_.sent_late(conn.began_ns - conn.connecting.at_ns);
  done.tx_ns = conn.began_ns;
  done.tx_src = done.rx_src = TODD_TS_USER;
  const bool answered = done.result == 0;
  if (const int64_t rtt_ns = answered ? handshake_ns(conn.stream->fd()) : 0; rtt_ns != 0) {
    done.rx_ns = done.tx_ns + rtt_ns;
    done.tx_src = done.rx_src = TODD_TS_KERNEL;
  }
  if (answered) owner_.stamps(done.tx_src, done.rx_src);
  owner_.host_count(answered ? kReceived : done.result == -ECANCELED ? kUndetermined : kLost, target);
  owner_.sample(owner_.setup().targets[target], conn.number, done.tx_ns,
                answered ? done.rx_ns - done.tx_ns : -1, outcome_of(done.result), 0, done.tx_src,
                done.rx_src);
}

void StreamFlow::listen(const todd_op& op) {
  todd_done done{.user = op.user,
                 .result = 0,
                 .code = TODD_OP_LISTEN,
                 .flow = index_,
                 .target = TODD_NONE,
                 .slot = TODD_NONE,
                 .rx_ns = owner_.now()};
  uint16_t port = op.port != 0 ? op.port : wanted_.local_port;
  for (const int family : {AF_INET, AF_INET6}) {
    auto fd = bind_listener(owner_.setup(),
                            {.kind = io::SocketRequest::tcp, .family = family, .buffer_bytes = 0}, port);
    if (!fd && family == AF_INET6 && port != 0) break;  // a host without IPv6 still answers IPv4
    if (!fd) {
      done.result = fd.error().sys_errno != 0 ? -fd.error().sys_errno : -EADDRINUSE;
      owner_.note(TODD_NONE, "listen", fd.error().detail);
      return owner_.complete(done);
    }
    port = io::port_of(*io::local_address(fd->get()));
    auto listening = std::make_unique<Listening>();
    listening->flow = this;
    listening->user = op.user;
    listening->acceptor = owner_.reactor().add_acceptor(std::move(*fd), *listening);
    listening_.push_back(std::move(listening));
  }
  done.port = port;
  owner_.complete(done);
}

void StreamFlow::accepted(Listening& listening, UniqueFd fd, const io::Address& peer) {
  Conn& conn = add(std::move(fd), TODD_NONE);
  conn.connected = true;
  conn.connecting.user = listening.user;
  conn.receiving = true;
  conn.stream->receive();
  todd_done done = about(conn, TODD_OP_ACCEPT, 0);
  done.port = io::port_of(peer);
  owner_.complete(done);
}

bool StreamFlow::run(const todd_op& op) {
  const auto it = streams_.find(op.key);
  if (it == streams_.end()) return false;
  Conn& conn = *it->second;
  switch (op.code) {
    case TODD_OP_SEND:
      out_[op.slot] = {op.user, conn.id, op.len, true};
      conn.stream->send(slot(op.slot), op.len, op.slot);
      return true;
    case TODD_OP_RECV:
      conn.connecting.user = op.user;
      conn.receiving = true;
      conn.stream->receive();
      return true;
    case TODD_OP_SHUTDOWN: conn.stream->shutdown_write(); return true;
    case TODD_OP_CLOSE: close(op.key); return true;
    default: return false;
  }
}

void StreamFlow::sent(Conn& conn, uint32_t index, int result, int64_t mono_ns) {
  Out& out = out_[index];
  if (!out.busy || out.stream != conn.id) return;
  out.busy = false;
  release(index);
  todd_done done = about(conn, TODD_OP_SEND, result);
  done.user = out.user;
  done.tx_ns = done.rx_ns = mono_ns;
  done.tx_src = TODD_TS_USER;
  owner_.complete(done);
}

void StreamFlow::data(Conn& conn, int result, const uint8_t* bytes, uint32_t len, int64_t mono_ns) {
  owner_.make_room(*this, len);
  if (conn.stream == nullptr) return;  // the testlet closed it while making room
  if (len == 0) conn.receiving = false;
  todd_done done = about(conn, TODD_OP_RECV, result < 0 ? result : static_cast<int32_t>(len));
  done.slot = result < 0 ? TODD_NONE : store(bytes, len);
  done.len = result < 0 ? 0 : len;
  done.rx_ns = mono_ns;
  owner_.complete(done);
}

void StreamFlow::close(uint64_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  const Conn& conn = *it->second;
  std::vector<todd_done> pending;  // told when the stream is gone: a full batch steps the testlet
  for (const Out& out : out_) {
    if (!out.busy || out.stream != id) continue;
    pending.push_back(about(conn, TODD_OP_SEND, -ECANCELED));
    pending.back().user = out.user;
  }
  if (!conn.connected) {
    pending.push_back(about(conn, TODD_OP_CONNECT, -ECANCELED));
    pending.back().arg = 0;
    if ((conn.connecting.flags & TODD_OF_PROBE) != 0) end_probe(conn, pending.back());
  }
  if (conn.receiving) pending.push_back(about(conn, TODD_OP_RECV, -ECANCELED));
  forget(id);
  for (const todd_done& done : pending) owner_.complete(done);
}

void StreamFlow::forget(uint64_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  // We may be inside this stream's own sink: the objects die when the sinks are left. Its buffers are free
  // only then too.
  auto conn = std::move(it->second);
  streams_.erase(it);
  owner_.bury(std::move(conn->stream));
  closed_.push_back(std::move(conn));
  for (uint32_t i = 0; i < out_.size(); ++i) {
    if (!out_[i].busy || out_[i].stream != id) continue;
    out_[i].busy = false;
    owner_.add_timer(owner_.now(), [this, i] { release(i); });
  }
}

void StreamFlow::cancel_all() {
  listening_.clear();
  while (!streams_.empty()) close(streams_.begin()->first);
}

}  // namespace todd::lane
