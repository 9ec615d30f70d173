#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include "tests/support/testlet_host_parts.h"

// The network of a TestletHost: exchanges, datagrams and streams.

namespace todd::test {

int64_t TestletHost::departure(size_t bytes) {
  free_at_ns_ = std::max(free_at_ns_, world_.now_ns) +
                static_cast<int64_t>(static_cast<double>(bytes) * 8e9 / options_.bits_per_s);
  return free_at_ns_;
}

// The first flow of this host that others can reach.
const TestletHost::Flow* TestletHost::listener(uint16_t proto, uint32_t& flow) const {
  for (flow = 0; flow < flows_.size(); ++flow) {
    const Flow& f = *flows_[flow];
    const bool reachable = proto != TODD_UDP ? f.listening : (f.is.flags & TODD_FF_LISTEN) != 0;
    if (f.is.proto == proto && reachable) return &f;
  }
  return nullptr;
}

// ---- datagrams

void TestletHost::exchange(const todd_op& op, std::string payload) {
  const Flow& f = *flows_[op.flow];
  const uint64_t id = add_pending(op);
  const size_t key_at = f.is.proto == TODD_UDP ? f.is.stamp_off : 8;
  if (payload.size() >= key_at + 8) std::memcpy(payload.data() + key_at, &id, 8);
  TestletHost* peer = options_.targets.at(op.target).peer;
  const int64_t timeout = op.timeout_ns != 0 ? op.timeout_ns : options_.timeout_ns;
  if (peer != nullptr) {
    uint32_t to = 0;
    if (peer->listener(TODD_UDP, to) != nullptr) depart(op, peer, to, payload);
    return complete_at(world_.now_ns + timeout, id, -ETIMEDOUT);
  }
  const Answer a = options_.answer(op.target, static_cast<uint32_t>(op.user), payload);
  uint16_t flags = a.local ? TODD_DF_LOCAL : 0;
  if (a.result == -ETIMEDOUT)
    return world_.at(world_.now_ns + timeout, [this, id, flags] { complete(id, -ETIMEDOUT, flags); });
  if (a.icmp) {
    flags |= TODD_DF_ICMP_ERROR;
    payload.assign(reinterpret_cast<const char*>(&*a.icmp), sizeof *a.icmp);
  }
  if (a.edit) a.edit(payload);
  const auto result = a.result != 0 ? a.result : static_cast<int32_t>(payload.size());
  world_.at(world_.now_ns + a.delay_ns, [=, this, ttl = a.ttl, tos = a.tos, until = world_.now_ns + timeout] {
    const auto it = pending_.find(id);
    if (it == pending_.end()) return;
    if (result >= 0 && !is_reply(it->second.op, payload)) return complete_at(until, id, -ETIMEDOUT);
    complete(id, result, flags, payload, 0, 0, ttl, tos);
  });
}

// Sends bytes over this host's link; returns how many datagrams went before.
uint64_t TestletHost::depart(const todd_op& op, TestletHost* to, uint32_t to_flow,
                             const std::string& payload) {
  const int64_t extra = options_.datagram(datagrams_, payload);
  const int64_t left = departure(payload.size());
  const uint32_t from_flow = op.flow;
  if (extra >= 0) {
    world_.at(left + options_.latency_ns + extra, [this, to, to_flow, from_flow, payload] {
      to->deliver_datagram(to_flow, this, from_flow, payload);
    });
  }
  return datagrams_++;
}

void TestletHost::send_datagram(const todd_op& op, std::string payload) {
  const uint64_t id = add_pending(op);
  if (const int error = options_.refuse(payload); error != 0)
    return complete_at(std::max(free_at_ns_, world_.now_ns), id, -error);
  TestletHost* to = nullptr;
  uint32_t flow = 0;
  if ((op.flags & TODD_OF_REPLY) != 0) {
    if (op.key == 0 || op.key > senders_.size()) return complete_at(world_.now_ns, id, -EINVAL);
    to = senders_[op.key - 1].first;
    flow = senders_[op.key - 1].second;
  } else {
    to = options_.targets.at(op.target).peer;
    if (to != nullptr && to->listener(TODD_UDP, flow) == nullptr) to = nullptr;
  }
  if (to != nullptr) depart(op, to, flow, payload);
  complete_at(std::max(free_at_ns_, world_.now_ns), id, static_cast<int32_t>(payload.size()));
}

void TestletHost::datagram(std::string bytes) {
  uint32_t flow = 0;
  if (listener(TODD_UDP, flow) != nullptr) return deliver_datagram(flow, nullptr, 0, std::move(bytes));
  deliver_peers(nullptr, 0, 0, std::move(bytes));
}

bool TestletHost::is_reply(const todd_op& op, const std::string& bytes) {
  if ((flows_[op.flow]->is.flags & TODD_FF_JUDGE) == 0) return true;
  return testlet_.judge(self_, op.user, op.target, reinterpret_cast<const uint8_t*>(bytes.data()),
                        bytes.size()) == 1;
}

bool TestletHost::answers_exchange(uint32_t flow, const std::string& bytes) {
  const size_t key_at = flows_[flow]->is.stamp_off;
  if (bytes.size() < key_at + 8) return false;
  uint64_t id;
  std::memcpy(&id, bytes.data() + key_at, 8);
  const auto it = pending_.find(id);
  if (it == pending_.end() || it->second.op.code != TODD_OP_EXCHANGE) return false;
  if (!is_reply(it->second.op, bytes)) return true;
  complete(id, static_cast<int32_t>(bytes.size()), 0, bytes);
  return true;
}

void TestletHost::deliver_datagram(uint32_t flow, TestletHost* from, uint32_t from_flow, std::string bytes) {
  const Flow& f = *flows_[flow];
  if (answers_exchange(flow, bytes) || (f.is.flags & TODD_FF_RECV) == 0) return;
  const std::pair<TestletHost*, uint32_t> sender{from, from_flow};
  auto it = std::find(senders_.begin(), senders_.end(), sender);
  if (it == senders_.end()) it = senders_.insert(it, sender);
  todd_done d{};
  d.code = TODD_OP_RECV;
  d.flow = flow;
  d.target = TODD_NONE;
  d.slot = TODD_NONE;
  if (bytes.size() > f.is.slot_cap) {
    bytes.resize(f.is.slot_cap);
    d.flags = TODD_DF_TRUNCATED;
  }
  d.result = static_cast<int32_t>(bytes.size());
  d.rx_ns = world_.now_ns;
  d.arg = static_cast<uint64_t>(it - senders_.begin()) + 1;
  ready_done_.emplace_back(d, std::move(bytes));
}

// ---- streams

void TestletHost::connect(const todd_op& op) {
  const uint64_t id = add_pending(op);
  if (flows_[op.flow]->is.proto == TODD_PEERS) return connect_peers(id, op);
  TestletHost* peer = options_.targets.at(op.target).peer;
  Script* script = peer == nullptr ? options_.connect(op.target) : nullptr;
  uint32_t flow = 0;
  if (peer != nullptr ? peer->listener(TODD_TCP, flow) == nullptr : script == nullptr) {
    return complete_at(world_.now_ns + options_.latency_ns, id, -ECONNREFUSED);
  }
  if (script != nullptr && script->connect_result != 0) {
    return complete_at(world_.now_ns + script->connect_ns, id, script->connect_result);
  }
  const int64_t took = script != nullptr ? script->connect_ns : 2 * options_.latency_ns;
  world_.at(world_.now_ns + took, [this, id, flow, peer, script] { connected(id, flow, peer, script); });
}

void TestletHost::connected(uint64_t pending, uint32_t peer_flow, TestletHost* peer, Script* script) {
  const auto it = pending_.find(pending);
  if (it == pending_.end()) return;
  const uint64_t mine = next_id_++;
  Stream& s = streams_[mine];
  s.flow = it->second.op.flow;
  s.peer = peer;
  s.script = script;
  complete(pending, 0, 0, {}, mine);
  if (peer == nullptr) {
    Wire wire = wire_of(mine);
    return script->accepted(wire);
  }
  const uint64_t theirs = peer->accept_stream(peer_flow);
  s.peer_stream = theirs;
  peer->streams_[theirs].peer = this;
  peer->streams_[theirs].peer_stream = mine;
}

uint64_t TestletHost::accept_stream(uint32_t flow) {
  todd_op recv{};
  recv.code = TODD_OP_RECV;
  recv.flow = flow;
  recv.slot = TODD_NONE;
  recv.user = flows_[flow]->listen_user;
  recv.key = next_id_++;
  Stream& s = streams_[recv.key];
  s.flow = flow;
  s.receiving = true;
  s.recv_user = recv.user;
  s.recv_pending = add_pending(recv);
  todd_done d{};
  d.user = recv.user;
  d.code = TODD_OP_ACCEPT;
  d.flow = flow;
  d.target = TODD_NONE;
  d.slot = TODD_NONE;
  d.rx_ns = world_.now_ns;
  d.arg = recv.key;
  ready_done_.emplace_back(d, std::string());
  return recv.key;
}

Wire TestletHost::dial(Script& client) {
  uint32_t flow = 0;
  if (listener(TODD_TCP, flow) == nullptr) throw std::logic_error("nobody listens");
  const uint64_t stream = accept_stream(flow);
  streams_[stream].script = &client;
  return wire_of(stream);
}

Wire TestletHost::wire_of(uint64_t stream) {
  Wire w;
  w.send = [this, stream](std::string_view bytes, int64_t delay) {
    world_.at(world_.now_ns + delay, [this, stream, b = std::string(bytes)] { stream_in(stream, b); });
  };
  w.end = [this, stream](int64_t delay) {
    world_.at(world_.now_ns + delay, [this, stream] { stream_end(stream, 0); });
  };
  w.reset = [this, stream](int error, int64_t delay) {
    world_.at(world_.now_ns + delay, [this, stream, error] { stream_end(stream, -error); });
  };
  return w;
}

void TestletHost::send_stream(const todd_op& op, std::string payload) {
  const uint64_t id = add_pending(op);
  const auto it = streams_.find(op.key);
  if (it == streams_.end() || !it->second.open) return complete_at(world_.now_ns, id, -ENOTCONN);
  if (it->second.shut || it->second.end.value_or(0) < 0) return complete_at(world_.now_ns, id, -EPIPE);
  if (it->second.script != nullptr && it->second.script->takes_nothing) return;
  const auto n = static_cast<int32_t>(payload.size());
  const int64_t left = depart_stream(op.key, std::move(payload));
  complete_at(std::max(left - buffer_ns(), world_.now_ns), id, n);
}

// How long this host's link takes for what its system holds of streams.
int64_t TestletHost::buffer_ns() const {
  return static_cast<int64_t>(static_cast<double>(options_.socket_buffer) * 8e9 / options_.bits_per_s);
}

// Bytes of a stream, or a datagram of one, leave over this host's link; returns when they have left.
int64_t TestletHost::depart_stream(uint64_t stream, std::string payload) {
  const int64_t left = departure(payload.size());
  const Stream& s = streams_.at(stream);
  const int64_t there = left + options_.latency_ns;
  if (is_peers(stream)) {
    const int64_t extra = options_.datagram(datagrams_++, payload);
    if (extra >= 0 && s.peer != nullptr) {
      world_.at(there + extra, [this, stream, payload = std::move(payload)] {
        const Stream& now = streams_.at(stream);
        now.peer->deliver_peers(this, stream, now.peer_stream, payload);
      });
    }
    return left;
  }
  world_.at(left + 2 * options_.latency_ns,
            [this, stream, n = payload.size()] { streams_.at(stream).acked += n; });
  if (s.script != nullptr) {
    world_.at(there, [this, stream, script = s.script, payload = std::move(payload)] {
      Wire wire = wire_of(stream);
      script->data(wire, payload);
    });
  } else {
    world_.at(there, [this, stream, peer = s.peer, theirs = s.peer_stream, payload = std::move(payload)] {
      if (peer->streams_.at(theirs).open) return peer->stream_in(theirs, payload);
      world_.at(world_.now_ns + options_.latency_ns,
                [this, stream] { end_bulks(stream, -ECONNRESET, false); });
    });
  }
  return left;
}

// The other side reads the end behind all that was sent.
void TestletHost::send_end(uint64_t stream, const Stream& s) {
  if (is_peers(stream)) return;
  const int64_t left = std::max(free_at_ns_, world_.now_ns);
  world_.at(left + options_.latency_ns,
            [this, stream, script = s.script, peer = s.peer, theirs = s.peer_stream] {
              Wire wire = wire_of(stream);
              if (script != nullptr) return script->ended(wire);
              peer->stream_end(theirs, 0);
            });
}

void TestletHost::shutdown(const todd_op& op) {
  const auto it = streams_.find(op.key);
  if (it == streams_.end() || !it->second.open) return complete_at(world_.now_ns, add_pending(op), -ENOTCONN);
  Stream& s = it->second;
  s.shut = true;
  send_end(op.key, s);
}

void TestletHost::handshake(const todd_op& op, std::string name) {
  const uint64_t id = add_pending(op);
  const auto it = streams_.find(op.key);
  if (it == streams_.end() || !it->second.open) return complete_at(world_.now_ns, id, -EINVAL);
  server_names.push_back(std::move(name));
  const Script* const script = it->second.script;
  world_.at(world_.now_ns + (script != nullptr ? script->tls_ns : 0), [this, id, op, script] {
    if (pending_.count(id) == 0) return;
    const int result = script != nullptr ? script->tls_result : 0;
    complete(id, result, 0, {}, op.key);
    if (result < 0 || streams_.at(op.key).receiving) return;
    todd_op recv = op;
    recv.code = TODD_OP_RECV;
    recv.slot = TODD_NONE;
    perform(recv, "");
  });
}

void TestletHost::close(const todd_op& op) {
  const auto it = streams_.find(op.key);
  if (it == streams_.end() || !it->second.open) return;
  Stream& s = it->second;
  end_bulks(op.key, 0, true);
  s.open = false;
  std::vector<uint64_t> mine;
  for (const auto& [pending, p] : pending_) {
    if (p.op.key == op.key && p.op.code != TODD_OP_CONNECT) mine.push_back(pending);
  }
  for (const uint64_t pending : mine) complete(pending, -ECANCELED);
  send_end(op.key, s);
}

void TestletHost::stream_in(uint64_t stream, std::string bytes) {
  const auto it = streams_.find(stream);
  if (it == streams_.end() || !it->second.open || it->second.end) return;
  uint64_t job = 0;
  if (running_bulk(stream, false, &job) != nullptr) return take_bulk(job, bytes);
  it->second.backlog += bytes;
  pump(stream);
}

void TestletHost::stream_end(uint64_t stream, int result) {
  const auto it = streams_.find(stream);
  if (it == streams_.end() || !it->second.open || it->second.end) return;
  it->second.end = result;
  uint64_t job = 0;
  if (result < 0) {
    end_bulks(stream, result, false);
  } else if (running_bulk(stream, false, &job) != nullptr) {
    end_bulk(job, 0);
  }
  pump(stream);
}

// Hands what has arrived to the testlet, in pieces of odd sizes.
void TestletHost::pump(uint64_t stream) {
  Stream& s = streams_.at(stream);
  if (!s.receiving || !s.open) return;
  size_t at = 0;
  while (at < s.backlog.size()) {
    lcg_ = lcg_ * 6364136223846793005u + 1442695040888963407u;
    const size_t piece = std::min<size_t>(1 + (lcg_ >> 33) % options_.max_piece, s.backlog.size() - at);
    todd_done d{};
    d.user = s.recv_user;
    d.code = TODD_OP_RECV;
    d.flow = s.flow;
    d.target = TODD_NONE;
    d.slot = TODD_NONE;
    d.result = static_cast<int32_t>(piece);
    d.rx_ns = world_.now_ns;
    d.arg = stream;
    ready_done_.emplace_back(d, s.backlog.substr(at, piece));
    at += piece;
  }
  s.backlog.clear();
  if (s.end) {
    s.receiving = false;
    complete(s.recv_pending, *s.end, 0, {}, stream);
  }
}

}  // namespace todd::test
