#include "plugins/http/responder.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace todd::http {

namespace {
constexpr size_t kMaxConnections = 4096;
constexpr size_t kMaxBuffered = 64 * 1024;   // requests that wait for the answer before them
constexpr uint32_t kMaxSends = 4;            // per connection
constexpr int64_t kIdleNs = 30'000'000'000;  // from one request's end to the next one's
constexpr int64_t kSweepNs = 1'000'000'000;
}  // namespace

void Responder::open(uint32_t flow, uint32_t tls) {
  flow_ = flow;
  todd_op op = make_op(TODD_OP_LISTEN, flow, 0);
  op.arg = tls;
  outbox_.put(op);
}

void Responder::step(todd_batch& b) {
  for (uint32_t i = 0; i < b.n_done; ++i) take(b, b.done[i]);
  sweep(b);
  end_delays(b);
  send_all(b);
  if (!delays_.empty()) wake_by(b, delays_.begin()->first);
  outbox_.flush(b);
}

void Responder::take(todd_batch& b, const todd_done& d) {
  if (d.code == TODD_OP_LISTEN) {
    if (d.result < 0) throw error(d.result, std::string("cannot listen: ") + std::strerror(-d.result));
    port_ = d.port;
    return;
  }
  if (d.code == TODD_OP_ACCEPT) {
    if (connections_.size() >= kMaxConnections) {
      outbox_.put(stream_op(TODD_OP_CLOSE, flow_, d.arg, 0));
    } else {
      connections_[d.arg].active_ns = b.now_ns;
    }
    return;
  }
  const uint64_t id = d.code == TODD_OP_SEND ? d.user : d.arg;
  const auto it = connections_.find(id);
  if (it == connections_.end()) return;  // dropped meanwhile
  Connection& c = it->second;
  if (d.code == TODD_OP_RECV) return received(b, d, c);
  if (d.code != TODD_OP_SEND) return;
  --c.in_flight;
  c.active_ns = b.now_ns;
  if (d.result < 0 || (c.closing && c.left == 0 && c.in_flight == 0)) return drop(id);
  if (c.left != 0) queue(id, c);
}

void Responder::received(todd_batch& b, const todd_done& d, Connection& c) {
  const uint64_t id = d.arg;
  if (d.result <= 0) return drop(id);
  if (c.closing) return;
  const Read read = c.reader.put(payload(b, d));
  if (c.reader.buffered() > kMaxBuffered) return drop(id);
  if (!c.answering) {
    go_on(id, c, read, b.now_ns);
    if (c.answering) c.active_ns = b.now_ns;
  }
}

void Responder::go_on(uint64_t id, Connection& c, Read read, int64_t now_ns) {
  if (read == Read::kDone) answer(id, c, now_ns);
  if (read == Read::kFailed) send(id, c, {.status = c.reader.status(), .keep_alive = false}, Content());
}

// What a complete request asks for.
void Responder::answer(uint64_t id, Connection& c, int64_t now_ns) {
  std::string bad;
  const Wish wish = parse_wish(c.reader.target(), bad);
  const bool keep_alive = c.reader.keep_alive() && !wish.close;
  if (bad.empty() && wish.gzip && wish.size.value_or(response_bytes_) > kMaxGzipSize)
    bad = "gzip=1 (of more than 4M)";
  if (!bad.empty())
    return send(id, c, {.status = 400, .keep_alive = keep_alive},
                Content("this responder does not know " + bad + "\n"));
  if (wish.delay_ns != 0) c.delay = delays_.emplace(now_ns + wish.delay_ns, id);
  if (!wish.location.empty())
    return send(id, c, {.status = 302, .keep_alive = keep_alive, .location = wish.location}, Content());
  send(id, c, {.status = wish.status, .keep_alive = keep_alive, .gzip = wish.gzip}, content_of(c, wish));
}

Content Responder::content_of(const Connection& c, const Wish& wish) {
  if (wish.status == 204 || wish.status == 304) return Content();
  const uint64_t size = wish.size.value_or(response_bytes_);
  Content content(size);
  if (c.reader.echo()) {
    content = Content(wish.gzip ? gzipped(c.reader.body()) : c.reader.body());
  } else if (wish.gzip) {
    if (gzip_.second.empty() || gzip_.first != size) gzip_ = {size, gzipped(std::string(size, 'x'))};
    content = Content(gzip_.second);
  }
  if (wish.chunked && c.reader.http11()) content.in_chunks();
  return content;
}

// Begins the response, when its delay is over if it has one.
void Responder::send(uint64_t id, Connection& c, ResponseSpec spec, Content content) {
  spec.body_bytes = content.size();
  spec.chunked = content.chunked();
  c.head = response_head(spec);
  c.content = std::move(content);
  c.offset = 0;
  c.left = c.head.size() + (c.reader.head() ? 0 : c.content.wire_size());
  c.answering = true;
  c.closing = !spec.keep_alive;
  queue(id, c);
}

void Responder::end_delays(todd_batch& b) {
  while (!delays_.empty() && delays_.begin()->first <= b.now_ns) {
    const uint64_t id = delays_.begin()->second;
    Connection& c = connections_.at(id);
    delays_.erase(delays_.begin());
    c.delay.reset();
    c.active_ns = b.now_ns;
    queue(id, c);
  }
}

void Responder::queue(uint64_t id, Connection& c) {
  if (c.queued || c.delay) return;
  c.queued = true;
  sending_.push_back(id);
}

// Round robin over the connections, until the batch or the slots are full.
void Responder::send_all(todd_batch& b) {
  while (!sending_.empty() && can_send(b, flow_)) {
    const uint64_t id = sending_.front();
    sending_.pop_front();
    const auto it = connections_.find(id);
    if (it == connections_.end()) continue;
    it->second.queued = false;
    if (send_piece(b, id, it->second)) queue(id, it->second);
  }
  if (!sending_.empty() && b.n_op == b.cap_op) wake_by(b, b.now_ns);
}

// True: there is more to hand over now.
bool Responder::send_piece(todd_batch& b, uint64_t id, Connection& c) {
  if (c.left == 0 || c.delay || c.in_flight >= kMaxSends) return false;
  const uint32_t slot = take_slot(b, flow_);
  uint8_t* out = slot_data(b, flow_, slot);
  const auto len = static_cast<uint32_t>(std::min<uint64_t>(c.left, b.slots[flow_]->cap));
  uint32_t filled = 0;
  if (c.offset < c.head.size()) {
    filled = static_cast<uint32_t>(std::min<uint64_t>(len, c.head.size() - c.offset));
    std::memcpy(out, c.head.data() + c.offset, filled);
  }
  if (filled != len)
    c.content.copy(c.offset + filled - c.head.size(), reinterpret_cast<char*>(out) + filled, len - filled);
  put(b, stream_send_op(flow_, id, slot, len, id));
  ++c.in_flight;
  c.offset += len;
  c.left -= len;
  if (c.left == 0 && !c.closing) {
    c.answering = false;
    go_on(id, c, c.reader.next(), b.now_ns);  // a pipelined request
    return c.left != 0;
  }
  return c.left != 0;
}

void Responder::drop(uint64_t id) {
  outbox_.put(stream_op(TODD_OP_CLOSE, flow_, id, 0));
  const auto it = connections_.find(id);
  if (it->second.delay) delays_.erase(*it->second.delay);
  connections_.erase(it);
}

// Ends connections that have not completed a request, or taken an answer, for too long: slow senders too.
void Responder::sweep(todd_batch& b) {
  if (connections_.empty()) return;
  if (b.now_ns >= next_sweep_ns_) {
    next_sweep_ns_ = b.now_ns + kSweepNs;
    std::vector<uint64_t> stale;
    for (const auto& [id, c] : connections_) {
      if (b.now_ns - c.active_ns > kIdleNs) stale.push_back(id);
    }
    for (const uint64_t id : stale) drop(id);
  }
  wake_by(b, next_sweep_ns_);
}

}  // namespace todd::http
