#include "engine/lane/stream_flow.h"

#include <algorithm>
#include <cerrno>

#include "engine/io/sockets.h"
#include "engine/lane/errors.h"

namespace todd::lane {
namespace {
constexpr uint32_t kSlots = 64;
size_t arena_for(uint32_t chunk) { return std::max<size_t>(size_t{chunk} * 4, 512 * 1024); }
}  // namespace

StreamFlow::StreamFlow(Instance& owner, uint32_t index, const todd_flow& flow)
    : Flow(flow.slot_cap, flow.slots != 0 ? std::min(flow.slots, 4096u) : kSlots, arena_for(flow.slot_cap)),
      owner_(owner), index_(index), wanted_(flow), out_(slots()), next_id_(uint64_t{index} << 48) {}

StreamFlow::~StreamFlow() = default;

int StreamFlow::fd(uint64_t stream) const {
  const auto it = streams_.find(stream);
  return it == streams_.end() ? -1 : it->second->stream->fd();
}

todd_done StreamFlow::about(const Conn& conn, uint16_t code, int32_t result) const {
  return {.user = conn.connecting.user, .result = result, .code = code, .flow = index_, .target = conn.target,
          .slot = TODD_NONE, .rx_ns = owner_.now(), .rx_src = TODD_TS_USER, .arg = conn.id};
}

StreamFlow::Conn& StreamFlow::add(UniqueFd fd, uint32_t target) {
  auto conn = std::make_unique<Conn>();
  conn->flow = this;
  conn->id = ++next_id_;
  conn->target = target;
  conn->stream = owner_.reactor().add_stream(std::move(fd), *conn, {.receive_chunk = std::clamp(slot_cap(), 4096u, 262144u)});
  return *(streams_[conn->id] = std::move(conn));
}

void StreamFlow::connect(const todd_op& op) {
  todd_done refused{.user = op.user, .result = -EINVAL, .code = TODD_OP_CONNECT, .flags = TODD_DF_LOCAL, .flow = index_, .target = op.target, .slot = TODD_NONE, .rx_ns = owner_.now()};
  if (op.target >= owner_.setup().targets.size() || owner_.setup().targets[op.target].address.sa.sa_family == 0) return owner_.complete(refused);
  io::Address to = owner_.setup().targets[op.target].address;
  if (op.port != 0) io::set_port(to, op.port);
  auto fd = io::open_socket({.kind = io::SocketRequest::tcp, .family = to.sa.sa_family, .buffer_bytes = 0, .egress = owner_.setup().egress});
  if (!fd) {
    owner_.note(op.target, "socket", fd.error().detail);
    refused.result = fd.error().sys_errno != 0 ? -fd.error().sys_errno : -EMFILE;
    return owner_.complete(refused);
  }
  Conn& conn = add(std::move(*fd), op.target);
  conn.connecting = op;
  const int64_t timeout = op.timeout_ns != 0 ? op.timeout_ns : owner_.setup().timeout_ns;
  if (timeout > 0) {
    owner_.add_timer(owner_.now() + timeout, [this, id = conn.id] {
      const auto it = streams_.find(id);
      if (it != streams_.end() && !it->second->connected) connected(*it->second, -ETIMEDOUT);
    });
  }
  conn.stream->connect(to, 0);
}

void StreamFlow::connected(Conn& conn, int result) {
  if (result == 0) {
    conn.connected = true;
    return owner_.complete(about(conn, TODD_OP_CONNECT, 0));
  }
  todd_done done = about(conn, TODD_OP_CONNECT, result);
  done.arg = 0;
  forget(conn.id);
  owner_.complete(done);
}

void StreamFlow::listen(const todd_op& op) {
  todd_done done{.user = op.user, .result = 0, .code = TODD_OP_LISTEN, .flow = index_, .target = TODD_NONE, .slot = TODD_NONE, .rx_ns = owner_.now()};
  uint16_t port = op.port != 0 ? op.port : wanted_.local_port;
  for (const int family : {AF_INET, AF_INET6}) {
    auto fd = bind_listener(owner_.setup(), {.kind = io::SocketRequest::tcp, .family = family, .buffer_bytes = 0}, port);
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
    case TODD_OP_SHUTDOWN:
      conn.stream->shutdown_write();
      return true;
    case TODD_OP_CLOSE:
      close(op.key);
      return true;
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
  if (!conn.connected) pending.push_back(about(conn, TODD_OP_CONNECT, -ECANCELED)), pending.back().arg = 0;
  if (conn.receiving) pending.push_back(about(conn, TODD_OP_RECV, -ECANCELED));
  forget(id);
  for (const todd_done& done : pending) owner_.complete(done);
}

void StreamFlow::forget(uint64_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  // We may be inside this stream's own sink: the objects die when the sinks are left. Its buffers are free only then too.
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
