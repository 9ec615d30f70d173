#include "engine/lane/stream_flow.h"

#include <fcntl.h>
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
constexpr uint32_t kMaxHandshakes = 1024;               // of those who connect, at the same time
constexpr int64_t kAcceptHandshakeNs = 10'000'000'000;  // for who connects to do his part of TLS
// Of a stream's number, below the flow's 16 bits.
constexpr uint32_t kIndexBits = 24, kIndexMask = (1u << kIndexBits) - 1;
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
    : StreamBase(flow.slot_cap, flow.slots != 0 ? std::min(flow.slots, 4096u) : kSlots, arena_for(flow.slot_cap)),
      owner_(owner),
      index_(index),
      wanted_(flow),
      congestion_(flow.congestion != nullptr ? flow.congestion : ""),
      out_(slots()) {
  wanted_.congestion = nullptr;
  if (owner.setup().samples != 0) numbers_.resize(setup_targets(owner.setup()));
}

StreamFlow::~StreamFlow() = default;

StreamFlow::Conn* StreamFlow::find(uint64_t id) const {
  const auto index = static_cast<size_t>(id & kIndexMask);
  if (index >= streams_.size()) return nullptr;
  Conn* const conn = streams_[index].conn.get();
  return conn != nullptr && conn->id == id ? conn : nullptr;
}

int StreamFlow::fd(uint64_t stream) const {
  const Conn* const conn = find(stream);
  return conn == nullptr ? -1 : conn->stream->fd();
}

int StreamFlow::lend(uint64_t stream, bool sending, UniqueFd& fd, uint32_t& flow, uint32_t& target) {
  Conn* const conn = find(stream);
  if (conn == nullptr || conn->phase != Phase::open) return -ENOTCONN;
  if (conn->tls != nullptr) return -EOPNOTSUPP;
  if (sending && conn->sends != 0) return -EBUSY;
  fd = UniqueFd(fcntl(conn->stream->fd(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return -errno;
  flow = index_;
  target = conn->target;
  if (sending) return 0;
  conn->receiving = false;
  conn->stream->stop_receiving();
  return 0;
}

const io::StreamTls* StreamFlow::tls(uint64_t stream) const {
  const Conn* const conn = find(stream);
  return conn == nullptr ? nullptr : conn->tls.get();
}

todd_done StreamFlow::about(const Conn& conn, uint16_t code, int32_t result) const {
  return about(conn, code, result, owner_.now());
}

todd_done StreamFlow::about(const Conn& conn, uint16_t code, int32_t result, int64_t at_ns) const {
  return {.user = conn.user,
          .result = result,
          .code = code,
          .flow = index_,
          .target = conn.target,
          .slot = TODD_NONE,
          .rx_ns = at_ns,
          .rx_src = TODD_TS_USER,
          .arg = conn.id};
}

StreamFlow::Conn& StreamFlow::add(UniqueFd fd, uint32_t target) {
  if (free_.empty()) {
    free_.push_back(static_cast<uint32_t>(streams_.size()));
    streams_.emplace_back();
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  Entry& entry = streams_[index];
  entry.generation = std::max((entry.generation + 1) & kIndexMask, 1u);  // no number is 0
  entry.conn = std::make_unique<Conn>();
  Conn& conn = *entry.conn;
  conn.flow = this;
  conn.id = uint64_t{index_} << 48 | uint64_t{entry.generation} << kIndexBits | index;
  conn.target = target;
  conn.stream = owner_.reactor().add_stream(std::move(fd), conn,
                                            {.receive_chunk = std::clamp(slot_cap(), 4096u, 262144u)});
  return conn;
}

// ---- opening

Status StreamFlow::set_options(int fd) const {
  const auto set = [fd](int level, int name, auto value) {
    return value == 0 || setsockopt(fd, level, name, &value, sizeof value) == 0;
  };
  if (!set(IPPROTO_TCP, TCP_MAXSEG, wanted_.mss))
    return fail_errno(errno, "MSS " + std::to_string(wanted_.mss) + ": this host does not take it");
  if (!set(SOL_SOCKET, SO_SNDBUF, wanted_.send_buffer) ||
      !set(SOL_SOCKET, SO_RCVBUF, wanted_.receive_buffer) ||
      !set(SOL_SOCKET, SO_MAX_PACING_RATE, wanted_.pacing))
    return fail_errno(errno, "buffers or pacing rate of a TCP socket");
  if (!congestion_.empty() && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion_.data(),
                                         static_cast<socklen_t>(congestion_.size())) != 0)
    return fail_errno(errno,
                      "congestion control " + congestion_ +
                          ": not had or not allowed here, see net.ipv4.tcp_available_congestion_control "
                          "and tcp_allowed_congestion_control");
  return {};
}

todd_status StreamFlow::usable(todd_error* error) const {
  auto fd = io::open_socket({.kind = io::SocketRequest::tcp, .family = AF_INET, .buffer_bytes = 0});
  if (!fd) return set_error(error, status_of(fd.error()), fd.error().detail);
  if (const Status set = set_options(fd->get()); !set)
    return set_error(error, status_of(set.error()), set.error().detail);
  return 0;
}

Result<UniqueFd> StreamFlow::open_socket(const todd_op& op, const io::Address& to) const {
  io::SocketRequest request{.kind = io::SocketRequest::tcp,
                            .family = to.sa.sa_family,
                            .buffer_bytes = 0,
                            .ttl = op.ttl,
                            .tos = op.tos,
                            .egress = owner_.setup().egress};
  if (wanted_.local_port != 0)
    request.bind_to = *io::parse_address(request.family == AF_INET6 ? "::" : "0.0.0.0", wanted_.local_port);
  auto fd = io::open_socket(request);
  if (!fd) return fd;
  if (Status set = set_options(fd->get()); !set) return tl::unexpected(set.error());
  if (wanted_.local_port != 0) {
    const linger reset{.l_onoff = 1, .l_linger = 0};
    setsockopt(fd->get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  if ((op.flags & TODD_OF_PROBE) != 0) {
    const int on = 1;
    const bool v6 = to.sa.sa_family == AF_INET6;
    setsockopt(fd->get(), v6 ? SOL_IPV6 : SOL_IP, v6 ? IPV6_RECVERR : IP_RECVERR, &on, sizeof on);
  }
  return fd;
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
  const Target* const target = owner_.target_at(op.target);
  if (target == nullptr || target->address.sa.sa_family == 0) {
    if (probe) owner_.host_count(kUnsent, op.target);
    return owner_.complete(refused);
  }
  io::Address to = target->address;
  if (op.port != 0) io::set_port(to, op.port);
  auto fd = open_socket(op, to);
  if (!fd) {
    if (probe) owner_.host_count(kUnsent, op.target);
    owner_.note(op.target, "local_error", fd.error().detail);
    refused.result = fd.error().sys_errno != 0 ? -fd.error().sys_errno : -EMFILE;
    return owner_.complete(refused);
  }
  Conn& conn = add(std::move(*fd), op.target);
  conn.user = op.user;
  conn.probe = probe;
  conn.at_ns = op.at_ns;
  conn.began_ns = owner_.now();
  if (probe && op.target < numbers_.size()) conn.number = numbers_[op.target]++;
  give_up_at(conn, op.timeout_ns);
  conn.stream->connect(to, 0);
}

// timeout_ns 0: the run's; the run's 0: never.
void StreamFlow::give_up_at(Conn& conn, int64_t timeout_ns) {
  if (timeout_ns == 0) timeout_ns = owner_.setup().timeout_ns;
  conn.deadline_ns = timeout_ns > 0 ? owner_.now() + timeout_ns : INT64_MAX;
  if (timeout_ns > 0) deadlines_.push({conn.deadline_ns, conn.id});
}

void StreamFlow::expire(int64_t now_ns) {
  while (next_deadline() <= now_ns) {
    const Deadline due = deadlines_.top();
    deadlines_.pop();
    Conn* const conn = find(due.stream);
    if (conn == nullptr || conn->deadline_ns != due.at_ns || conn->phase == Phase::open) continue;
    // The connection may stand, and this program be late.
    if (conn->phase == Phase::connecting)
      connected(*conn, io::connect_result(conn->stream->fd(), ETIMEDOUT));
    else
      conn->tls->give_up(-ETIMEDOUT, "the handshake took too long");
  }
}

void StreamFlow::connected(Conn& conn, int result) {
  if (conn.stream == nullptr || conn.phase != Phase::connecting)
    return;  // its timeout came first, or it was closed: that was told
  todd_done done = about(conn, TODD_OP_CONNECT, result);
  if (conn.probe) end_probe(conn, done);
  if (result == 0) {
    conn.phase = Phase::open;
    return owner_.complete(done);
  }
  done.arg = 0;
  forget(conn);
  owner_.complete(done);
}

void StreamFlow::end_probe(const Conn& conn, todd_done& done) {
  const uint32_t target = conn.target;
  if (is_local(done.result, conn.stream->fd())) {
    done.flags |= TODD_DF_LOCAL;
    owner_.note(target, "local_error", strerror(-done.result));
    return owner_.host_count(kUnsent, target);
  }
  owner_.host_count(kSent, target);
  if (conn.at_ns != 0) owner_.sent_late(conn.began_ns - conn.at_ns);
  done.tx_ns = conn.began_ns;
  done.tx_src = done.rx_src = TODD_TS_USER;
  const bool answered = done.result == 0;
  if (const int64_t rtt_ns = answered ? handshake_ns(conn.stream->fd()) : 0; rtt_ns != 0) {
    done.rx_ns = done.tx_ns + rtt_ns;
    done.tx_src = done.rx_src = TODD_TS_KERNEL;
  }
  if (answered) owner_.stamps(done.tx_src, done.rx_src);
  owner_.host_count(answered ? kReceived : done.result == -ECANCELED ? kUndetermined : kLost, target);
  const Target* const probed = owner_.target_at(target);
  if (probed == nullptr) return;  // dropped meanwhile
  owner_.sample(*probed, conn.number, done.tx_ns, answered ? done.rx_ns - done.tx_ns : -1,
                outcome_of(done.result), 0, done.tx_src, done.rx_src);
}

void StreamFlow::listen(const todd_op& op) {
  todd_done done{.user = op.user,
                 .result = 0,
                 .code = TODD_OP_LISTEN,
                 .flow = index_,
                 .target = TODD_NONE,
                 .slot = TODD_NONE,
                 .rx_ns = owner_.now()};
  const auto tls = owner_.tls_context(op.arg, true);
  if (op.arg != 0 && tls == nullptr) done.result = -EINVAL;
  uint16_t port = op.port != 0 ? op.port : wanted_.local_port;
  for (const int family : {AF_INET, AF_INET6}) {
    if (done.result != 0) break;
    auto fd = bind_listener(owner_.setup(),
                            {.kind = io::SocketRequest::tcp, .family = family, .buffer_bytes = 0}, port);
    if (!fd && family == AF_INET6 && port != 0) break;  // a host without IPv6 still answers IPv4
    const Status set = fd ? set_options(fd->get()) : tl::unexpected(fd.error());  // connections inherit them
    if (!set) {
      done.result = set.error().sys_errno != 0 ? -set.error().sys_errno : -EADDRINUSE;
      owner_.note(TODD_NONE, "listen", set.error().detail);
      break;
    }
    port = io::port_of(*io::local_address(fd->get()));
    auto listening = std::make_unique<Listening>();
    listening->flow = this;
    listening->user = op.user;
    listening->tls = tls;
    listening->acceptor = owner_.reactor().add_acceptor(std::move(*fd), *listening);
    listening_.push_back(std::move(listening));
  }
  if (done.result == 0) done.port = port;
  owner_.complete(done);
}

void StreamFlow::accepted(Listening& listening, UniqueFd fd, const io::Address& peer) {
  if (listening.tls != nullptr && shaking_ >= kMaxHandshakes) return;  // closed: they are too many at a time
  Conn& conn = add(std::move(fd), TODD_NONE);
  conn.accepted = true;
  conn.user = listening.user;
  conn.peer_port = io::port_of(peer);
  conn.stream->receive();
  if (listening.tls == nullptr) return tell_accepted(conn);
  conn.phase = Phase::handshake;
  ++shaking_;
  conn.tls = std::make_unique<io::StreamTls>(listening.tls, *conn.stream, conn);
  give_up_at(conn, kAcceptHandshakeNs);
}

void StreamFlow::tell_accepted(Conn& conn) {
  conn.phase = Phase::open;
  conn.receiving = true;
  todd_done done = about(conn, TODD_OP_ACCEPT, 0);
  done.port = conn.peer_port;
  owner_.complete(done);
}

// ---- TLS

bool StreamFlow::begin_tls(Conn& conn, const todd_op& op) {
  const bool named = op.slot != TODD_NONE;
  const std::string name = named ? std::string(reinterpret_cast<const char*>(slot(op.slot)), op.len) : "";
  if (named) release(op.slot);
  auto context = owner_.tls_context(op.arg, false);
  if (context == nullptr || conn.tls != nullptr || conn.phase != Phase::open || conn.sends != 0) return false;
  conn.user = op.user;
  conn.phase = Phase::handshake;
  conn.tls = std::make_unique<io::StreamTls>(std::move(context), *conn.stream, conn);
  give_up_at(conn, op.timeout_ns);
  if (!conn.receiving) conn.stream->receive();
  conn.receiving = false;  // until there is plain text again
  const Target* const target = owner_.target_at(conn.target);
  conn.tls->begin(name, target != nullptr ? io::format_endpoint(target->address) : "");
  return true;
}

void StreamFlow::shaken(Conn& conn, int result) {
  if (conn.stream == nullptr || conn.phase != Phase::handshake) return;
  if (conn.accepted) {
    if (result == 0) {
      --shaking_;
      return tell_accepted(conn);
    }
    owner_.note(TODD_NONE, "tls", conn.tls->facts(false).error);
    return forget(conn);
  }
  conn.phase = Phase::open;  // for what it is worth: tls_info() is to be had until CLOSE
  conn.receiving = result == 0;
  owner_.complete(about(conn, TODD_OP_TLS, result));
}

// ---- what goes on

bool StreamFlow::run(const todd_op& op) {
  Conn* const conn = find(op.key);
  if (conn == nullptr) return false;
  switch (op.code) {
    case TODD_OP_SEND: send(*conn, op); return true;
    case TODD_OP_RECV:
      if (owner_.bulk().running(conn->id, false)) return false;
      conn->user = op.user;
      conn->receiving = true;
      conn->stream->receive();
      return true;
    case TODD_OP_SHUTDOWN:
      if (conn->tls != nullptr)
        conn->tls->shutdown_write();
      else
        conn->stream->shutdown_write();
      return true;
    case TODD_OP_TLS: return begin_tls(*conn, op);
    case TODD_OP_CLOSE: close(*conn); return true;
    default: return false;
  }
}

void StreamFlow::send(Conn& conn, const todd_op& op) {
  out_[op.slot] = {op.user, conn.id, op.len, true};
  ++conn.sends;
  if (conn.tls == nullptr) return conn.stream->send(slot(op.slot), op.len, op.slot);
  if (!conn.tls->send(slot(op.slot), op.len, op.slot))
    sent(conn, op.slot, -EPIPE, owner_.now());
  else if (op.len == 0)
    sent(conn, op.slot, 0, owner_.now());  // nothing became of it that could leave
}

void StreamFlow::sent(Conn& conn, uint32_t index, int result, int64_t mono_ns) {
  Out& out = out_[index];
  if (!out.busy || out.stream != conn.id) return;
  out.busy = false;
  --conn.sends;
  release(index);
  todd_done done = about(conn, TODD_OP_SEND, result < 0 ? result : static_cast<int32_t>(out.len), mono_ns);
  done.user = out.user;
  done.tx_ns = mono_ns;
  done.tx_src = TODD_TS_USER;
  owner_.complete(done);
}

void StreamFlow::data(Conn& conn, int result, const uint8_t* bytes, uint32_t len, int64_t mono_ns) {
  owner_.make_room(*this, len);
  if (conn.stream == nullptr) return;  // the testlet closed it while making room
  if (len == 0) conn.receiving = false;
  todd_done done = about(conn, TODD_OP_RECV, result < 0 ? result : static_cast<int32_t>(len), mono_ns);
  done.slot = result < 0 ? TODD_NONE : store(bytes, len);
  done.len = result < 0 ? 0 : len;
  owner_.complete(done);
}

void StreamFlow::close(Conn& conn) {
  std::vector<todd_done> pending;  // told when the stream is gone: a full batch steps the testlet
  owner_.bulk().close(conn.id, pending);
  for (size_t i = 0; conn.sends != 0 && i < out_.size(); ++i) {
    if (!out_[i].busy || out_[i].stream != conn.id) continue;
    pending.push_back(about(conn, TODD_OP_SEND, -ECANCELED));
    pending.back().user = out_[i].user;
  }
  if (conn.phase == Phase::connecting) {
    pending.push_back(about(conn, TODD_OP_CONNECT, -ECANCELED));
    pending.back().arg = 0;
    if (conn.probe) end_probe(conn, pending.back());
  }
  if (conn.phase == Phase::handshake && !conn.accepted)
    pending.push_back(about(conn, TODD_OP_TLS, -ECANCELED));
  if (conn.receiving) pending.push_back(about(conn, TODD_OP_RECV, -ECANCELED));
  if (conn.tls != nullptr) conn.tls->say_goodbye();
  forget(conn);
  for (const todd_done& done : pending) owner_.complete(done);
}

void StreamFlow::forget(Conn& conn) {
  if (conn.accepted && conn.phase == Phase::handshake) --shaking_;
  for (uint32_t i = 0; conn.sends != 0 && i < out_.size(); ++i) {
    if (!out_[i].busy || out_[i].stream != conn.id) continue;
    out_[i].busy = false;
    --conn.sends;
    owner_.add_timer(owner_.now(), [this, i] { release(i); });
  }
  // We may be inside this stream's own sink: the objects die when the sinks are left. Its buffers are free
  // only then too.
  const auto index = static_cast<uint32_t>(conn.id & kIndexMask);
  owner_.bury(std::move(conn.stream));
  closed_.push_back(std::move(streams_[index].conn));
  free_.push_back(index);
}

void StreamFlow::cancel_all() {
  listening_.clear();
  for (size_t i = 0; i < streams_.size(); ++i)
    if (streams_[i].conn != nullptr) close(*streams_[i].conn);
}

}  // namespace todd::lane
