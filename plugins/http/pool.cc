// The connections of the http testlet: given requests, kept, lost, closed; opening.cc opens them.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugins/http/probe.h"

namespace todd::http {
namespace {

using Phase = Connection::Phase;
}  // namespace

const Endpoint& Http::endpoint_of(const Connection& c) const {
  return c.elsewhere != nullptr ? *c.elsewhere : targets_[c.target].endpoint;
}

uint64_t Http::user_of(uint32_t index) const {
  return static_cast<uint64_t>(connections_[index].generation) << 32 | index;
}

// elsewhere: for one hop of a redirect, beside the target's own connections; may be the target's own
// endpoint.
uint32_t Http::new_connection(uint32_t target, std::unique_ptr<Endpoint> elsewhere) {
  if (free_connections_.empty()) {
    free_connections_.push_back(static_cast<uint32_t>(connections_.size()));
    connections_.emplace_back();
  }
  const uint32_t index = free_connections_.back();
  free_connections_.pop_back();
  Connection& c = connections_[index];
  c.target = target;
  c.pooled = elsewhere == nullptr;
  c.elsewhere = std::move(elsewhere);
  c.used = c.served = c.last = false;
  c.heard_ns = 0;
  if (c.pooled) ++targets_[target].open;
  return index;
}

// How many requests it takes at the same time.
uint32_t Http::capacity(const Connection& c) const {
  if (c.last || !c.pooled) return 0;
  if (c.h2 != nullptr) return std::min(settings_->streams, c.h2->open_streams() + c.h2->room());
  return c.phase != Phase::ready && settings_->version == Version::k2 ? settings_->streams : 1;
}

// The call waits for the connection, or begins on it.
void Http::assign(uint32_t call, uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  calls_[call].connection = index;
  c.calls.push_back(call);
  settle(index, now_ns);
  if (c.phase == Phase::free) return open_stream(index, now_ns);
  if (c.phase == Phase::ready) start_call(index, call, now_ns);
}

void Http::unassign(uint32_t call, int64_t now_ns) {
  const uint32_t index = std::exchange(calls_[call].connection, TODD_NONE);
  if (index == TODD_NONE) return;
  Connection& c = connections_[index];
  std::erase(c.calls, call);
  // Nobody waits for it any more, or will, or what still comes for the call must not be taken for another's
  // answer.
  if (c.calls.empty() && (!c.pooled || c.phase != Phase::ready || c.reading)) c.last = true;
  if (c.h2 != nullptr) {
    // Not a byte since the request left: the next ones go by another connection.
    if (calls_[call].sent_ns != 0 && calls_[call].first_ns == 0 && c.heard_ns <= calls_[call].sent_ns)
      c.last = true;
    if (std::exchange(calls_[call].on_stream, false)) {
      c.h2->cancel(call);
      want_to_write(index);
    }
  }
  settle(index, now_ns);
}

// After anything that may change it: whether it takes requests, or is to be closed.
void Http::settle(uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  Target& t = targets_[c.target];
  if (c.h2 != nullptr && c.h2->closing()) c.last = true;
  const bool room = c.calls.size() < capacity(c);
  if (room && !c.spare) t.spare.push_back(index);
  if (!room && c.spare) t.spare.erase(std::find(t.spare.rbegin(), t.spare.rend(), index).base() - 1);
  c.spare = room;
  if (!c.last || !c.calls.empty() || c.in_session) return;  // in_session: it is settled when that returns
  disconnect(index);
  if (c.elsewhere != nullptr && c.elsewhere->target >= targets_.size() &&
      c.elsewhere->target != proxy_target_ && c.elsewhere->target != token_target_)
    forsaken_.push_back(c.elsewhere->target);
  if (c.pooled) --t.open;
  free_connections_.push_back(index);
  begin_waiting(c.target, now_ns);
}

// Whatever is still under way on this connection becomes stale.
void Http::disconnect(uint32_t index) {
  Connection& c = connections_[index];
  if (c.stream != 0) {
    todd_stream_info kernel{};
    kernel.size = sizeof kernel;
    if (!endpoint_of(c).for_token && net().stream_info(&lane(), c.stream, &kernel) == 0) {
      count(retransmits, c.target, kernel.retransmits);
      if (kernel.rtt_us != 0) set(tcp_rtt, c.target, kernel.rtt_us * 1000.0);
    }
    outbox_.put(stream_op(TODD_OP_CLOSE, flow_, c.stream, 0));
  }
  c.stream = 0;
  targets_[c.target].sends -= std::exchange(c.sends, 0);
  c.puts = 0;
  c.leaving.clear();
  c.h2.reset();
  c.reading = c.greets = false;
  c.phase = Phase::free;
  ++c.generation;
}

// The connection is gone. A request on it that may be sent again is, once, on a new one: a server closes a
// kept connection when it likes.
void Http::lost(uint32_t index, const char* reason, const std::string& text, int64_t now_ns) {
  Connection& c = connections_[index];
  const bool was_ready = c.phase == Phase::ready, elsewhere = c.elsewhere != nullptr;
  const bool served = c.served;
  const uint32_t target = c.target;
  const std::vector<uint32_t> calls = std::exchange(c.calls, {});
  for (const uint32_t call : calls) {
    calls_[call].connection = TODD_NONE;
    calls_[call].on_stream = false;
  }
  c.last = true;
  settle(index, now_ns);
  for (const uint32_t i : calls) {
    Call& call = calls_[i];
    const bool again = call.sent_ns == 0 || (served && call.first_ns == 0 && settings_->idempotent);
    if (was_ready && again && !call.retried && !elsewhere)
      retry(i, target, now_ns);
    else
      fail(i, reason, text, now_ns);
  }
}

void Http::retry(uint32_t index, uint32_t target, int64_t now_ns) {
  Call& call = calls_[index];
  call.retried = true;
  call.begin_again();
  rehome(index, target, now_ns);
}

// The call, which is on no connection, waits for one.
void Http::rehome(uint32_t index, uint32_t target, int64_t now_ns) {
  targets_[target].homeless.emplace_back(index, calls_[index].serial);
  begin_waiting(target, now_ns);
}

void Http::take(todd_batch& b, const todd_done& d) {
  const auto index = static_cast<uint32_t>(d.user);
  if (index >= connections_.size() || connections_[index].generation != d.user >> 32) {
    if (d.code == TODD_OP_CONNECT && d.result == 0) outbox_.put(stream_op(TODD_OP_CLOSE, flow_, d.arg, 0));
    return;
  }
  switch (d.code) {
    case TODD_OP_RESOLVE: return resolved(index, d, b.now_ns);
    case TODD_OP_CONNECT: return connected(index, d);
    case TODD_OP_TLS: return shaken(index, d);
    case TODD_OP_SEND:
      sent(index, d);
      if (d.result < 0)
        lost(index, reason_of(-d.result), std::string("sending: ") + strerror(-d.result), b.now_ns);
      else if (connections_[index].greets)
        want_to_write(index);  // once all of the words to the proxy have left
      return;
    case TODD_OP_RECV: return received(b, index, d);
    default: return;
  }
}

// The call's request goes to the connection, now or when that has room for it.
void Http::start_call(uint32_t index, uint32_t i, int64_t now_ns) {
  Connection& c = connections_[index];
  Call& call = calls_[i];
  if (c.h2 == nullptr) {
    c.reader.reset(want_of(call));
  } else {
    if (!c.h2->open(request_of(call), call.serial, want_of(call), i)) return;
    call.on_stream = true;
    call.sent_ns = now_ns;
    if (c.used) count(reused, c.target);
    c.used = true;
  }
  want_to_write(index);
}

// ---- sending

void Http::want_to_write(uint32_t index) {
  if (std::exchange(connections_[index].writing, true)) return;
  writing_.push_back(index);
}

// Half of the slots are everybody's. Of the others each target has its share, which nobody else can hold:
// one that takes nothing keeps none from what it is to send.
bool Http::may_send(const todd_batch& b, uint32_t target) const {
  const auto n = static_cast<uint32_t>(targets_.size());
  const todd_slots& slots = *b.slots[flow_];
  return n == 1 || targets_[target].sends < std::max(slots_ / 2 / n, 1u) ||
         slots.n_free - slots.taken > slots_ / 2;
}

// The call's last byte is in the SEND that is put next.
void Http::leaves(uint32_t index, uint32_t call) {
  Connection& c = connections_[index];
  c.leaving.push_back({c.puts + 1, call, calls_[call].serial});
}

// SENDs of a connection complete in order.
void Http::sent(uint32_t index, const todd_done& d) {
  Connection& c = connections_[index];
  --c.sends;
  --targets_[c.target].sends;
  auto gone = c.leaving.begin();
  for (; gone != c.leaving.end() && gone->send <= c.puts - c.sends; ++gone)
    if (calls_[gone->call].serial == gone->serial) calls_[gone->call].left_ns = d.rx_ns;
  c.leaving.erase(c.leaving.begin(), gone);
}

void Http::put_send(todd_batch& b, uint32_t index, uint32_t slot, size_t size) {
  Connection& c = connections_[index];
  ++c.puts;
  ++c.sends;
  ++targets_[c.target].sends;
  put(b, stream_send_op(flow_, c.stream, slot, static_cast<uint32_t>(size), user_of(index)));
}

void Http::write(todd_batch& b) {
  rx_ns_ = b.now_ns;
  slots_ = std::max(slots_, b.slots[flow_]->n_free);
  for (const uint32_t index : std::exchange(held_back_, {})) want_to_write(index);
  while (!writing_.empty() && write_some(b, writing_.front())) {
    connections_[writing_.front()].writing = false;
    writing_.pop_front();
  }
  if (!writing_.empty() && b.n_op >= b.cap_op) wake_by(b, b.now_ns);
}

// False: the batch has no room for all of it.
bool Http::write_some(todd_batch& b, uint32_t index) {
  Connection& c = connections_[index];
  if (c.stream == 0) return true;  // closed meanwhile
  if (c.phase == Phase::asking) return c.reading || ask_way(b, index);
  if (c.phase == Phase::shaking) return !c.greets || c.sends != 0 || greet(b, index);
  if (c.h2 == nullptr) return write_http1(b, index);
  while (c.h2->wants_to_send()) {
    if (!can_send(b, flow_)) return false;
    if (!may_send(b, c.target)) {
      held_back_.push_back(index);
      break;
    }
    const uint32_t slot = take_slot(b, flow_);
    c.in_session = true;  // streams may end in there
    const size_t n = c.h2->take(slot_data(b, flow_, slot), kPiece);
    c.in_session = false;
    if (n == 0) break;
    put_send(b, index, slot, n);
  }
  if (c.h2->closing())
    read_http2(index, {}, false);  // the session may have said its last word
  else
    settle(index, rx_ns_);
  return true;
}

bool Http::write_http1(todd_batch& b, uint32_t index) {
  Connection& c = connections_[index];
  if (c.reading || c.calls.empty()) return true;
  if (!can_send(b, flow_)) return false;
  if (!may_send(b, c.target)) {
    held_back_.push_back(index);
    return true;
  }
  Call& call = calls_[c.calls.front()];
  const Request& request = request_of(call);
  const std::string& text = request.wire();
  const uint32_t slot = take_slot(b, flow_);
  char* const place = reinterpret_cast<char*>(slot_data(b, flow_, slot));
  memcpy(place, text.data(), text.size());
  request.stamp(place, call.serial);
  leaves(index, c.calls.front());
  put_send(b, index, slot, text.size());
  call.sent_ns = b.now_ns;
  c.reading = true;
  if (c.used) count(reused, c.target);
  return true;
}

// ---- receiving

void Http::received(const todd_batch& b, uint32_t index, const todd_done& d) {
  Connection& c = connections_[index];
  rx_ns_ = c.heard_ns = d.rx_ns;
  if (c.phase == Phase::asking && d.result < 0)
    return lost(index, "proxy", whose(endpoint_of(c)) + strerror(-d.result), rx_ns_);
  if (c.phase == Phase::asking) return read_way(index, payload(b, d));
  if (c.phase == Phase::shaking) return spoil_way(b, index, d);
  if (d.result < 0)
    return lost(index, d.result == -EPROTO ? "protocol" : reason_of(-d.result),
                std::string("receiving: ") + strerror(-d.result), d.rx_ns);
  const std::string_view piece = payload(b, d);
  if (c.h2 != nullptr) return read_http2(index, piece, piece.empty());
  read_http1(index, piece);
}

void Http::read_http1(uint32_t index, std::string_view piece) {
  Connection& c = connections_[index];
  if (!c.reading) return lost(index, "closed", "the server closed the connection", rx_ns_);
  const uint32_t i = c.calls.front();
  Call& call = calls_[i];
  if (!piece.empty() && call.first_ns == 0) call.first_ns = rx_ns_;
  const Read read = piece.empty() ? c.reader.end() : c.reader.put(piece);
  if (read == Read::kMore) return;
  if (read == Read::kFailed) return lost(index, c.reader.why(), c.reader.detail(), rx_ns_);
  c.reading = false;
  c.used = c.served = true;
  if (piece.empty() || !settings_->keep_alive || !c.reader.reusable()) c.last = true;
  answered(i,
           {.status = c.reader.status(),
            .version = c.reader.version(),
            .head_bytes = c.reader.head_bytes(),
            .body_bytes = c.reader.body_bytes()},
           rx_ns_);
}

void Http::read_http2(uint32_t index, std::string_view piece, bool end) {
  Connection& c = connections_[index];
  const uint32_t target = c.target;
  c.in_session = true;
  const bool goes_on = c.h2->put(piece) && !end;
  if (end) c.h2->end();
  c.in_session = false;
  if (c.h2->wants_to_send()) want_to_write(index);
  if (!goes_on) {
    const std::string why = c.h2->why(), detail = c.h2->detail();
    return lost(index, why.empty() ? "closed" : "protocol",
                detail.empty() ? "the server closed the connection" : detail, rx_ns_);
  }
  c.in_session = true;  // it is settled when each has its place
  for (const uint32_t call : std::vector(c.calls)) {
    if (calls_[call].sent_ns != 0) continue;
    if (!c.h2->closing()) {
      start_call(index, call, rx_ns_);
    } else if (c.elsewhere == nullptr) {  // this connection takes no further request
      unassign(call, rx_ns_);
      rehome(call, target, rx_ns_);
    }
  }
  c.in_session = false;
  settle(index, rx_ns_);
  begin_waiting(target, rx_ns_);
}

void Http::left(uint64_t number) {
  const auto i = static_cast<uint32_t>(number);
  leaves(calls_[i].connection, i);
}

void Http::began(uint64_t number) { calls_[number].first_ns = rx_ns_; }

void Http::ended(uint64_t number, const H2Answer& answer) {
  const auto i = static_cast<uint32_t>(number);
  Call& call = calls_[i];
  Connection& c = connections_[call.connection];
  call.on_stream = false;
  c.served |= answer.why == nullptr;
  if (answer.why == nullptr)
    return answered(i,
                    {.status = answer.status,
                     .version = 20,
                     .head_bytes = answer.head_bytes,
                     .body_bytes = answer.body_bytes},
                    rx_ns_);
  const bool again = !call.retried && c.elsewhere == nullptr &&
                     (answer.unprocessed || (c.served && settings_->idempotent && call.first_ns == 0 &&
                                             strcmp(answer.why, "closed") == 0));
  if (!again) return fail(i, answer.why, std::string(answer.detail), rx_ns_);
  const uint32_t target = call.target;
  unassign(i, rx_ns_);
  retry(i, target, rx_ns_);
}

// ---- redirects

// The call's next request goes on this connection, or on one of its own.
void Http::hop(uint32_t i, bool same, int64_t now_ns) {
  Call& call = calls_[i];
  const uint32_t index = call.connection;
  Connection& c = connections_[index];
  if (same && !c.last && (c.h2 == nullptr || !c.h2->closing())) return start_call(index, i, now_ns);
  auto to = std::make_unique<Endpoint>(endpoint_of(c));
  const Url& url = call.inquiry->redirects->spec().url;
  if (!same || (to->target >= targets_.size() && !settings_->proxy)) {
    to->https = url.https;
    to->resolves = true;
    to->named = !is_literal(url.host);
    to->server_name = url.host;
    to->port = 0;
    to->foreign = !same_origin(url, targets_[call.target].url);
    if (settings_->proxy)
      go_by_proxy(*to, url);
    else if (stream().add_target(&lane(), call.target, url.host.c_str(), url.effective_port(), &to->target) <
             0)
      return fail(i, "local", "too many redirects to other hosts at the same time", now_ns);
    if (to->way.size() > slot_cap_)
      return fail(i, "redirect", "redirected to a name that is too long", now_ns);
  }
  unassign(i, now_ns);
  assign(i, new_connection(call.target, std::move(to)), now_ns);
  begin_waiting(call.target, now_ns);
}

// Targets of connections that are closed by now.
void Http::drop_forsaken() {
  for (const uint32_t target : forsaken_) stream().drop_target(&lane(), target);
  forsaken_.clear();
}

}  // namespace todd::http
