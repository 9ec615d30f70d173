#include "engine/lane/peer_flow.h"

#include <fcntl.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/io/sockets.h"
#include "engine/lane/errors.h"

namespace todd::lane {
namespace {

constexpr uint32_t kSlots = 64;
constexpr uint32_t kLongest = 65'535;  // of a datagram
constexpr uint32_t kAtATime = 8;
constexpr int kRounds = 8;  // of so many, before others have their turn

size_t arena_for(uint32_t longest) { return std::max<size_t>(size_t{longest} * 4, 256 * 1024); }

bool share_port(int fd) {
  const int on = 1;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
}

}  // namespace

PeerFlow::PeerFlow(Instance& owner, uint32_t index, const todd_flow& flow)
    : StreamBase(std::min(flow.slot_cap, kLongest), flow.slots != 0 ? std::min(flow.slots, 4096u) : kSlots,
                 arena_for(flow.slot_cap)),
      owner_(owner),
      index_(index),
      wanted_(flow),
      out_(slots()),
      batch_(kAtATime, slot_cap(), io::kReceiveControl),
      stray_batch_(kAtATime, slot_cap(), io::kReceiveControl) {
  wanted_.congestion = nullptr;
}

PeerFlow::~PeerFlow() = default;

PeerFlow::Conn* PeerFlow::find(uint64_t id) const {
  const auto it = streams_.find(id);
  return it == streams_.end() ? nullptr : it->second.get();
}

int PeerFlow::fd(uint64_t stream) const {
  const Conn* const conn = find(stream);
  return conn == nullptr ? -1 : conn->fd.get();
}

PeerFlow::Pair PeerFlow::pair_of(const io::Address& peer, const io::Address& local) {
  Pair made;
  made.port = io::port_of(peer);
  made.scope = peer.sa.sa_family == AF_INET6 ? peer.v6.sin6_scope_id : 0;
  copy_host(peer, made.peer);
  copy_host(local, made.local);
  return made;
}

todd_done PeerFlow::about(const Conn& conn, uint16_t code, int32_t result) const {
  return {.user = conn.user,
          .result = result,
          .code = code,
          .flow = index_,
          .target = conn.target,
          .slot = TODD_NONE,
          .rx_ns = owner_.now(),
          .rx_src = TODD_TS_USER,
          .arg = conn.id};
}

// ---- opening

Status PeerFlow::set_options(int fd) const {
  const auto buffer = [fd](int forced, int name, uint32_t bytes) {
    const int value = static_cast<int>(std::min<uint32_t>(bytes, 1u << 30));
    return bytes == 0 || setsockopt(fd, SOL_SOCKET, forced, &value, sizeof value) == 0 ||
           setsockopt(fd, SOL_SOCKET, name, &value, sizeof value) == 0;
  };
  if (!buffer(SO_SNDBUFFORCE, SO_SNDBUF, wanted_.send_buffer) ||
      !buffer(SO_RCVBUFFORCE, SO_RCVBUF, wanted_.receive_buffer))
    return fail_errno(errno, "buffers of a UDP socket");
  if (wanted_.pacing != 0 &&
      setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &wanted_.pacing, sizeof wanted_.pacing) != 0)
    return fail_errno(errno, "pacing rate of a UDP socket");
  return {};
}

todd_status PeerFlow::usable(todd_error* error) const {
  auto fd = io::open_socket({.kind = io::SocketRequest::udp, .family = AF_INET});
  if (!fd) return set_error(error, status_of(fd.error()), fd.error().detail);
  if (const Status set = set_options(fd->get()); !set)
    return set_error(error, status_of(set.error()), set.error().detail);
  return 0;
}

Result<UniqueFd> PeerFlow::open_socket(io::SocketRequest request, const io::Address& to) const {
  request.kind = io::SocketRequest::udp;
  request.family = to.sa.sa_family;
  request.share_port = request.bind_to.sa.sa_family != 0;
  request.egress = owner_.setup().egress;
  auto fd = io::open_socket(request);
  if (!fd) return fd;
  if (Status set = set_options(fd->get()); !set) return tl::unexpected(set.error());
  if (::connect(fd->get(), &to.sa, io::address_len(to)) != 0)
    return fail_errno(errno, "connect a UDP socket to " + io::format_endpoint(to));
  return fd;
}

PeerFlow::Conn& PeerFlow::add(UniqueFd fd, uint32_t target) {
  const uint64_t id = uint64_t{index_} << 48 | ++last_;
  Conn& conn = *(streams_[id] = std::make_unique<Conn>());
  conn.flow = this;
  conn.id = id;
  conn.target = target;
  conn.fd = std::move(fd);
  conn.reading.conn = conn.sending.conn = &conn;
  conn.sending.writing = true;
  conn.reading.readiness = owner_.reactor().add_readiness(conn.fd.get(), io::ReadyFor::reading, conn.reading);
  conn.sending.readiness = owner_.reactor().add_readiness(conn.fd.get(), io::ReadyFor::writing, conn.sending);
  return conn;
}

void PeerFlow::connect(const todd_op& op) {
  todd_done done{.user = op.user,
                 .result = -EINVAL,
                 .code = TODD_OP_CONNECT,
                 .flags = TODD_DF_LOCAL,
                 .flow = index_,
                 .target = op.target,
                 .slot = TODD_NONE,
                 .rx_ns = owner_.now()};
  const Target* const target = owner_.target_at(op.target);
  const bool probe =
      (op.flags & TODD_OF_PROBE) != 0;  // nothing of a connection that the network would answer
  if (target == nullptr || target->address.sa.sa_family == 0 || probe) return owner_.complete(done);
  io::Address to = target->address;
  if (op.port != 0) io::set_port(to, op.port);
  io::SocketRequest request{.kind = io::SocketRequest::udp, .family = 0, .ttl = op.ttl, .tos = op.tos};
  if (wanted_.local_port != 0)
    request.bind_to = *io::parse_address(to.sa.sa_family == AF_INET6 ? "::" : "0.0.0.0", wanted_.local_port);
  auto fd = open_socket(request, to);
  if (!fd) {
    owner_.note(op.target, "local_error", fd.error().detail);
    done.result = fd.error().sys_errno != 0 ? -fd.error().sys_errno : -EMFILE;
    return owner_.complete(done);
  }
  Conn& conn = add(std::move(*fd), op.target);
  conn.user = op.user;
  owner_.complete(about(conn, TODD_OP_CONNECT, 0));
}

void PeerFlow::listen(const todd_op& op) {
  todd_done done{.user = op.user,
                 .result = op.arg == 0 ? 0 : -EINVAL,  // TLS is of connections
                 .code = TODD_OP_LISTEN,
                 .flow = index_,
                 .target = TODD_NONE,
                 .slot = TODD_NONE,
                 .rx_ns = owner_.now()};
  uint16_t port = op.port != 0 ? op.port : wanted_.local_port;
  for (const int family : {AF_INET, AF_INET6}) {
    if (done.result != 0) break;
    auto fd = bind_listener(owner_.setup(), {.kind = io::SocketRequest::udp, .family = family}, port);
    if (!fd && family == AF_INET6 && port != 0) break;  // a host without IPv6 still answers IPv4
    const Status set = fd ? set_options(fd->get()) : tl::unexpected(fd.error());
    // Only now, so that no other listener has the port; the streams' sockets must have it.
    if (!set || !share_port(fd->get())) {
      done.result = !set && set.error().sys_errno != 0 ? -set.error().sys_errno : -EADDRINUSE;
      if (!set) owner_.note(TODD_NONE, "listen", set.error().detail);
      break;
    }
    auto listening = std::make_unique<Listening>();
    listening->flow = this;
    listening->user = op.user;
    listening->fd = std::move(*fd);
    listening->traits = io::traits_of(listening->fd.get());
    port = ntohs(listening->traits.port);
    listening->readiness =
        owner_.reactor().add_readiness(listening->fd.get(), io::ReadyFor::reading, *listening);
    listening->readiness->await();
    listening_.push_back(std::move(listening));
  }
  if (done.result == 0) done.port = port;
  owner_.complete(done);
}

// ---- peers

PeerFlow::Conn* PeerFlow::accept(const Listening& listening, const io::DatagramIn& in) {
  if (io::is_no_host(in.local) || io::port_of(in.from) == 0) return nullptr;  // nothing to answer from, or to
  if (by_pair_.size() >= kMostAccepted) {
    owner_.note(TODD_NONE, "peers", "more peers at a time than streams for them");
    return nullptr;
  }
  auto fd = open_socket({.kind = io::SocketRequest::udp, .family = 0, .bind_to = in.local}, in.from);
  if (!fd) {
    owner_.note(TODD_NONE, "peers", fd.error().detail);
    return nullptr;
  }
  keep_strays(fd->get(), listening);
  Conn& conn = add(std::move(*fd), TODD_NONE);
  conn.user = listening.user;
  conn.receiving = true;
  conn.reading.readiness->await();
  conn.from = &listening;
  conn.pair = pair_of(in.from, in.local);
  by_pair_[conn.pair] = conn.id;
  todd_done done = about(conn, TODD_OP_ACCEPT, 0);
  done.port = conn.pair.port;
  owner_.complete(done);
  return conn.open ? &conn : nullptr;  // completing may have stepped the testlet
}

// Takes in what an accepted stream's socket has by now: of its peer, or of others, from before it was
// connected. All of it, for this thread may have been off its core in between; it is no more than a receive
// buffer.
void PeerFlow::keep_strays(int fd, const Listening& listening) {
  for (;;) {
    const int got = stray_batch_.receive(fd, 0);
    if (got <= 0) return;
    for (int i = 0; i < got; ++i) {
      io::DatagramIn in;
      uint32_t drops = 0;
      if (io::read_datagram(stray_batch_.header(i), stray_batch_.data(i), stray_batch_.len(i),
                            listening.traits, in, drops))
        strays_.push_back({&listening, in, {in.data, in.data + in.len}});
    }
  }
}

void PeerFlow::tell_strays() {
  while (!strays_.empty()) {
    Stray stray = std::move(strays_.front());
    strays_.pop_front();
    stray.in.data = stray.bytes.data();
    heard(*stray.listening, stray.in);
  }
}

void PeerFlow::heard_something(const Listening& listening) {
  for (int round = 0; round < kRounds; ++round) {
    const int got = batch_.receive(listening.fd.get(), 0);
    for (int i = 0; i < got && listening.open; ++i) {
      io::DatagramIn in;
      uint32_t drops = 0;
      if (io::read_datagram(batch_.header(i), batch_.data(i), batch_.len(i), listening.traits, in, drops))
        heard(listening, in);
    }
    tell_strays();
    if (!listening.open) return;
    if (got < static_cast<int>(batch_.capacity())) break;
  }
  listening.readiness->await();
}

void PeerFlow::heard(const Listening& listening, const io::DatagramIn& in) {
  const auto known = by_pair_.find(pair_of(in.from, in.local));
  Conn* const conn = known != by_pair_.end() ? find(known->second) : accept(listening, in);
  if (conn != nullptr && (conn->receiving || conn->lent)) receive(*conn, in);
}

// ---- what goes on

int PeerFlow::lend(uint64_t stream, bool sending, UniqueFd& fd, uint32_t& flow, uint32_t& target) {
  Conn* const conn = find(stream);
  if (conn == nullptr) return -ENOTCONN;
  if (sending && !conn->waiting.empty()) return -EBUSY;
  fd = UniqueFd(fcntl(conn->fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd) return -errno;
  flow = index_;
  target = conn->target;
  if (sending) return 0;
  conn->receiving = false;
  conn->lent = true;
  if (conn->from == nullptr) return 0;
  // The job looks at no sender. This is the testlet's step: what there is is told after it.
  keep_strays(conn->fd.get(), *conn->from);
  if (!strays_.empty()) owner_.add_timer(owner_.now(), [this] { tell_strays(); });
  return 0;
}

void PeerFlow::Side::on_ready() {
  if (!conn->open) return;
  if (writing)
    conn->flow->flush(*conn);
  else
    conn->flow->readable(*conn);
}

void PeerFlow::readable(Conn& conn) {
  if (!conn.receiving) return;
  const bool refused = io::take_refusal(conn.fd.get());
  const io::SocketTraits traits = conn.from != nullptr ? conn.from->traits : io::SocketTraits{};
  for (int round = 0; round < kRounds && conn.receiving; ++round) {
    const int got = batch_.receive(conn.fd.get(), 0);
    for (int i = 0; i < got && conn.receiving; ++i) {
      io::DatagramIn in;
      uint32_t drops = 0;
      if (!io::read_datagram(batch_.header(i), batch_.data(i), batch_.len(i), traits, in, drops)) continue;
      // A stray that was on its way while the socket was connected, and came behind.
      if (conn.from != nullptr && pair_of(in.from, in.local) != conn.pair)
        strays_.push_back({conn.from, in, {in.data, in.data + in.len}});
      else
        receive(conn, in);
    }
    if (got < static_cast<int>(batch_.capacity())) break;
  }
  tell_strays();
  if (!conn.open) return;
  if (refused) end_receiving(conn, -ECONNREFUSED);
  if (conn.receiving) conn.reading.readiness->await();
}

void PeerFlow::receive(Conn& conn, const io::DatagramIn& in) {
  if (in.len == 0) return;  // it would read as the end
  owner_.make_room(*this, in.len);
  if (!conn.open) return;  // the testlet closed it while making room
  todd_done done = about(conn, TODD_OP_RECV, static_cast<int32_t>(in.len));
  done.slot = store(in.data, in.len);
  done.len = in.len;
  if (in.truncated) done.flags |= TODD_DF_TRUNCATED;
  owner_.complete(done);
}

// Without a RECV it is told with the next one.
void PeerFlow::end_receiving(Conn& conn, int result) {
  conn.end = conn.receiving ? 0 : result;
  if (!conn.receiving) return;
  conn.receiving = false;
  owner_.complete(about(conn, TODD_OP_RECV, result));
}

bool PeerFlow::run(const todd_op& op) {
  Conn* const conn = find(op.key);
  if (conn == nullptr) return false;
  switch (op.code) {
    case TODD_OP_SEND: send(*conn, op); return true;
    case TODD_OP_RECV:
      if (owner_.bulk().running(conn->id, false)) return false;
      conn->user = op.user;
      conn->receiving = true;
      conn->lent = false;
      if (conn->end != 0)
        end_receiving(*conn, conn->end);
      else
        conn->reading.readiness->await();
      return true;
    case TODD_OP_CLOSE: close(*conn); return true;
    default: return false;
  }
}

void PeerFlow::send(Conn& conn, const todd_op& op) {
  out_[op.slot] = {op.user, op.len};
  conn.waiting.push_back(op.slot);
  if (conn.waiting.size() == 1) flush(conn);
}

void PeerFlow::flush(Conn& conn) {
  while (conn.open && !conn.waiting.empty()) {
    const uint32_t slot = conn.waiting.front();
    const int result = transmit(conn, slot);
    if (result == -EAGAIN) return conn.sending.readiness->await();
    conn.waiting.pop_front();
    sent(conn, slot, result);
  }
}

// What comes back may be the refusal of an earlier datagram.
int PeerFlow::transmit(Conn& conn, uint32_t index) {
  constexpr int kTries = 3;
  int result = 0;
  for (int tries = 0; tries < kTries; ++tries) {
    const ssize_t left = ::send(conn.fd.get(), slot(index), out_[index].len, MSG_DONTWAIT | MSG_NOSIGNAL);
    result = left < 0 ? -errno : static_cast<int>(left);
    if (!io::is_network_error(result)) return result;
    if (io::take_refusal(conn.fd.get()) || result == -ECONNREFUSED) end_receiving(conn, -ECONNREFUSED);
    if (!conn.open) return -ECANCELED;
  }
  return result;
}

void PeerFlow::sent(Conn& conn, uint32_t index, int result) {
  release(index);
  todd_done done = about(conn, TODD_OP_SEND, result);
  done.user = out_[index].user;
  done.tx_ns = done.rx_ns;
  done.tx_src = TODD_TS_USER;
  if (result < 0) done.flags |= TODD_DF_LOCAL;
  owner_.complete(done);
}

void PeerFlow::close(Conn& conn) {
  conn.open = false;
  if (conn.from != nullptr) by_pair_.erase(conn.pair);
  std::vector<todd_done> pending;  // told when the stream is gone: a full batch steps the testlet
  owner_.bulk().close(conn.id, pending);
  for (const uint32_t slot : conn.waiting) {
    release(slot);
    pending.push_back(about(conn, TODD_OP_SEND, -ECANCELED));
    pending.back().user = out_[slot].user;
  }
  if (std::exchange(conn.receiving, false)) pending.push_back(about(conn, TODD_OP_RECV, -ECANCELED));
  // We may be inside this stream's own sink.
  closed_.push_back(std::move(streams_.at(conn.id)));
  streams_.erase(conn.id);
  for (const todd_done& done : pending) owner_.complete(done);
}

void PeerFlow::cancel_all() {
  for (auto& listening : listening_) {
    listening->open = false;
    closed_listening_.push_back(std::move(listening));  // we may be inside its sink
  }
  listening_.clear();
  strays_.clear();
  while (!streams_.empty()) close(*streams_.begin()->second);
}

}  // namespace todd::lane
