#include "plugins/http/probe.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "plugins/http/request.h"
#include "plugins/http/url.h"

namespace todd::http {

namespace {

constexpr uint32_t kPiece = 16 * 1024;

bool is_literal(const std::string& host) {
  uint8_t address[16];
  const std::string bare = host.substr(0, host.find('%'));
  return inet_pton(AF_INET, bare.c_str(), address) == 1 || inet_pton(AF_INET6, bare.c_str(), address) == 1;
}

// The closed word for an errno of CONNECT, SEND or RECV.
const char* reason_of(int positive_errno) {
  switch (positive_errno) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED: return "reset";
    case ETIMEDOUT: return "timeout";
    case EHOSTUNREACH:
    case ENETUNREACH: return "unreachable";
    case EACCES:
    case EPERM: return "denied";
    default: return "local";
  }
}

}  // namespace

void Http::check(const todd_run& run) {
  const std::string_view p = get(run, path);
  if (p.empty() || p[0] != '/' || !is_clean(p, false)) {
    throw error(TODD_E_PARAM, "path: must begin with / and have no spaces or control characters");
  }
  if (!is_clean(get(run, host_header), false))
    throw error(TODD_E_PARAM, "host_header: must be plain text without spaces");
  if (!is_clean(get(run, user_agent), true))
    throw error(TODD_E_PARAM, "user_agent: must be plain text on one line");
}

void Http::start() {
  if (run().role == TODD_SOURCE) return start_source();
  todd_flow flow{};
  flow.proto = TODD_TCP;
  flow.flags = TODD_FF_LISTEN;
  flow.slot_cap = kPiece;
  flow_ = open(flow);
  responder_ = std::make_unique<Responder>(static_cast<uint64_t>((*this)[response_size]));
  responder_->open(flow_);
}

void Http::start_source() {
  keep_alive_ = (*this)[keep_alive];
  targets_.resize(run().n_target);
  std::size_t longest = kPiece;
  for (uint32_t i = 0; i < run().n_target; ++i) {
    targets_[i].request = request_for(target(i), targets_[i]);
    longest = std::max(longest, targets_[i].request.size());
  }
  todd_flow flow{};
  flow.proto = TODD_TCP;
  flow.slot_cap = static_cast<uint32_t>(longest);
  flow_ = open(flow);
  net().ready(&lane());
}

std::string Http::request_for(const todd_target& facts, Target& t) {
  const std::string host_name = facts.host != nullptr ? facts.host : "";
  const std::string given = facts.url != nullptr ? facts.url : "";
  std::string host((*this)[host_header]);
  std::string what((*this)[path]);
  if (given.find("://") != std::string::npos) {
    const Url url = parse_url(given);
    if (url.https) {
      throw error(TODD_E_UNSUPPORTED,
                  given.substr(0, 160) + ": needs TLS streams, which this version does not have");
    }
    what = url.path;
    if (host.empty()) host = url.authority;
  }
  if (host.empty()) {
    host = authority_of(!host_name.empty()              ? host_name
                        : facts.address_text != nullptr ? facts.address_text
                                                        : "",
                        facts.port);
  }
  t.name = "GET http://" + host + what;
  t.resolves = facts.family == 0 || (!given.empty() && !host_name.empty() && !is_literal(host_name));
  t.default_port = facts.port == 0;
  RequestSpec spec;
  spec.url.path = what;
  spec.host = host;
  spec.user_agent = (*this)[user_agent];
  spec.keep_alive = keep_alive_;
  return todd::http::Request(spec).wire();
}

bool Http::step(todd_batch& b) {
  if (run().role == TODD_SOURCE) {
    if (b.state == TODD_CANCELLED) return cancelled(b);
    step_source(b);
    const bool over = b.state == TODD_DRAINING && wind_up();
    outbox_.flush(b);
    return over && outbox_.empty();
  }
  const bool listening = responder_->port() != 0;
  responder_->step(b);
  if (!listening && responder_->port() != 0) {
    net().publish(&lane(), responder_->port());
    net().ready(&lane());
  }
  return b.state == TODD_DRAINING || b.state == TODD_CANCELLED;
}

void Http::step_source(todd_batch& b) {
  for (uint32_t i = 0; i < b.n_done; ++i) take(b, b.done[i]);
  expire(b);
  const bool unpaced = std::isinf(run().rate);  // as fast as served: without a connection the host keeps it
  while (b.served < b.n_ticket && (!unpaced || has_room(b.ticket[b.served].target)))
    due(b, b.ticket[b.served++]);
  send_requests(b);
  if (!deadlines_.empty()) wake_by(b, deadlines_.front().at_ns);
}

// What ended before the cancellation is recorded as ever; the rest is not forgotten.
bool Http::cancelled(todd_batch& b) {
  for (uint32_t t = 0; t < targets_.size(); ++t) {
    count(dropped, t, targets_[t].n_waiting);
    targets_[t].n_waiting = 0;
  }
  for (uint32_t i = 0; i < b.n_done; ++i) {
    if (b.done[i].result != -ECANCELED) take(b, b.done[i]);
  }
  for (uint32_t i = 0; i < connections_.size(); ++i) {
    if (connections_[i].request)
      fail(connections_[i], i, "cancelled", "the test ended before the response", b.now_ns);
  }
  return true;
}

// When draining: once every request has ended, closes the idle connections and says true.
bool Http::wind_up() {
  if (active_ != 0) return false;
  for (Target& t : targets_) {
    while (!t.idle.empty()) {
      const uint32_t index = t.idle.back();
      t.idle.pop_back();
      release(connections_[index], index, false, 0);
    }
  }
  return true;
}

// ---- requests

bool Http::has_room(uint32_t target) const {
  const Target& t = targets_[target];
  return !t.idle.empty() || t.open < static_cast<uint32_t>((*this)[connections]);
}

void Http::due(todd_batch& b, const todd_ticket& ticket) {
  Target& t = targets_[ticket.target];
  const Due what{ticket.due_ns, ticket.round};
  if (!t.idle.empty()) {
    const uint32_t index = t.idle.back();
    t.idle.pop_back();
    begin(index, what, b.now_ns);
  } else if (t.open < static_cast<uint32_t>((*this)[connections])) {
    begin(new_connection(ticket.target), what, b.now_ns);
  } else if (t.n_waiting < kQueue) {
    t.waiting[t.n_waiting++] = what;
  } else {
    count(dropped, ticket.target);
  }
}

uint32_t Http::new_connection(uint32_t target) {
  uint32_t index = static_cast<uint32_t>(connections_.size());
  if (free_.empty()) {
    connections_.emplace_back(static_cast<uint64_t>((*this)[max_body]));
  } else {
    index = free_.back();
    free_.pop_back();
  }
  connections_[index].target = target;
  ++targets_[target].open;
  return index;
}

uint64_t Http::user_of(uint32_t index) const {
  return static_cast<uint64_t>(connections_[index].generation) << 32 | index;
}

void Http::begin(uint32_t index, Due due, int64_t now_ns) {
  Connection& c = connections_[index];
  c.request = Request{};
  c.request->serial = ++serial_;
  c.request->due = due;
  c.request->start_ns = now_ns;
  c.reader.reset();
  ++active_;
  deadlines_.push_back({now_ns + run().timeout_ns, index, serial_});
  if (c.stream != 0) {
    sendable_.emplace_back(index, serial_);
  } else {
    open_stream(index, now_ns);
  }
}

void Http::open_stream(uint32_t index, int64_t now_ns) {
  Connection& c = connections_[index];
  const Target& t = targets_[c.target];
  c.request->phase_ns = now_ns;
  c.request->sent = false;
  const int64_t left = std::max<int64_t>(c.request->start_ns + run().timeout_ns - now_ns, 1);
  todd_op op =
      target_op(t.resolves ? TODD_OP_RESOLVE : TODD_OP_CONNECT, flow_, c.target, user_of(index), left);
  if (!t.resolves && t.default_port) op.port = 80;
  outbox_.put(op);
}

void Http::send_requests(todd_batch& b) {
  while (!sendable_.empty() && can_send(b, flow_)) {
    const auto [index, serial] = sendable_.front();
    sendable_.pop_front();
    Connection& c = connections_[index];
    if (!c.request || c.request->serial != serial || c.stream == 0 || c.request->sent)
      continue;  // ended meanwhile
    c.request->sent = true;
    const std::string& text = targets_[c.target].request;
    const uint32_t slot = take_slot(b, flow_);
    std::memcpy(slot_data(b, flow_, slot), text.data(), text.size());
    put(b, stream_send_op(flow_, c.stream, slot, static_cast<uint32_t>(text.size()), user_of(index)));
  }
  if (!sendable_.empty() && b.n_op == b.cap_op) wake_by(b, b.now_ns);
}

void Http::expire(todd_batch& b) {
  while (!deadlines_.empty()) {
    const Deadline d = deadlines_.front();
    Connection& c = connections_[d.connection];
    const bool ended = !c.request || c.request->serial != d.serial;
    if (!ended && d.at_ns > b.now_ns) return;
    deadlines_.pop_front();
    if (!ended) fail(c, d.connection, "timeout", "no complete response in time", b.now_ns);
  }
}

// ---- completions

void Http::take(todd_batch& b, const todd_done& d) {
  const auto index = static_cast<uint32_t>(d.user);
  if (index >= connections_.size()) return;
  Connection& c = connections_[index];
  if (c.generation != static_cast<uint32_t>(d.user >> 32)) {
    // Of a request that was given up. A connection that opens only now has no owner.
    if (d.code == TODD_OP_CONNECT && d.result == 0) outbox_.put(stream_op(TODD_OP_CLOSE, flow_, d.arg, 0));
    return;
  }
  switch (d.code) {
    case TODD_OP_RESOLVE: return resolved(c, index, d, b.now_ns);
    case TODD_OP_CONNECT: return connected(c, index, d);
    case TODD_OP_SEND:
      if (d.result < 0) broken(c, index, reason_of(-d.result), std::strerror(-d.result), b.now_ns);
      return;
    case TODD_OP_RECV: return received(b, c, index, d);
    default: return;
  }
}

void Http::resolved(Connection& c, uint32_t index, const todd_done& d, int64_t now_ns) {
  if (d.result < 0) return fail(c, index, "resolve", std::strerror(-d.result), now_ns);
  observe(resolve, c.target, d.rx_ns - c.request->phase_ns);
  c.request->phase_ns = d.rx_ns;
  const int64_t left = std::max<int64_t>(c.request->start_ns + run().timeout_ns - now_ns, 1);
  todd_op op = target_op(TODD_OP_CONNECT, flow_, c.target, user_of(index), left);
  if (targets_[c.target].default_port) op.port = 80;
  outbox_.put(op);
}

void Http::connected(Connection& c, uint32_t index, const todd_done& d) {
  if (d.result < 0) {
    const bool local = (d.flags & TODD_DF_LOCAL) != 0;
    return fail(c, index, local ? "local" : reason_of(-d.result), std::strerror(-d.result), d.rx_ns);
  }
  observe(connect, c.target, d.rx_ns - c.request->phase_ns);
  c.stream = d.arg;
  c.used = false;
  outbox_.put(stream_op(TODD_OP_RECV, flow_, c.stream, user_of(index)));
  sendable_.emplace_back(index, c.request->serial);
}

void Http::received(const todd_batch& b, Connection& c, uint32_t index, const todd_done& d) {
  if (!c.request) {  // the server ended an idle connection, or spoke out of turn
    auto& idle = targets_[c.target].idle;
    idle.erase(std::remove(idle.begin(), idle.end(), index), idle.end());
    return release(c, index, false, b.now_ns);
  }
  if (d.result < 0) return broken(c, index, reason_of(-d.result), std::strerror(-d.result), b.now_ns);
  if (d.result > 0 && !c.reader.got_some()) c.request->first_ns = d.rx_ns;
  const Read read = d.result > 0 ? c.reader.put(payload(b, d)) : c.reader.end();
  if (read == Read::kDone) {
    complete(c, index, d.rx_ns);
  } else if (d.result == 0) {
    broken(c, index, c.reader.why(), c.reader.detail(), b.now_ns);
  } else if (read == Read::kFailed) {
    fail(c, index, c.reader.why(), c.reader.detail(), b.now_ns);
  }
}

// The connection is gone. A kept one may have been closed while the request was on its way: that is no answer
// of the server to this request, so it goes out once more on a connection of its own (RFC 9112
// section 9.3.1).
void Http::broken(Connection& c, uint32_t index, const char* reason, const std::string& text,
                  int64_t now_ns) {
  if (!c.request) {
    auto& idle = targets_[c.target].idle;
    idle.erase(std::remove(idle.begin(), idle.end(), index), idle.end());
    return release(c, index, false, now_ns);
  }
  if (c.used && !c.request->retried && !c.reader.got_some()) {
    disconnect(c);
    c.request->retried = true;
    return open_stream(index, now_ns);
  }
  fail(c, index, reason, text, now_ns);
}

// ---- results

void Http::complete(Connection& c, uint32_t index, int64_t now_ns) {
  const Request& r = *c.request;
  const uint32_t t = c.target;
  const int code = c.reader.status();
  const bool good = code >= 200 && code < 400;
  char key[16];
  std::snprintf(key, sizeof key, "%d", code);
  tally(status, t, key);
  count(bytes, t, c.reader.body_bytes());
  observe(first_byte, t, r.first_ns - r.start_ns);
  observe(transfer, t, now_ns - r.first_ns);
  observe(response_time, t, now_ns - r.start_ns);
  observe(corrected_time, t, now_ns - r.due.due_ns);
  if (good) {
    count(ok, t);
  } else {
    count(failed, t);
    tally(reasons, t, "status");
    note(t, "status", targets_[t].name + ": " + key);
  }
  record_sample(c, good ? "ok" : key, now_ns - r.start_ns);
  c.used = true;
  release(c, index, keep_alive_ && c.reader.reusable(), now_ns);
}

void Http::fail(Connection& c, uint32_t index, const char* reason, const std::string& text, int64_t now_ns) {
  count(failed, c.target);
  tally(reasons, c.target, reason);
  note(c.target, reason, targets_[c.target].name + ": " + text);
  record_sample(c, reason, -1);
  release(c, index, false, now_ns);
}

void Http::record_sample(const Connection& c, const char* outcome, int64_t rtt_ns) {
  todd_sample s{};
  s.at_ns = c.request->start_ns;
  s.rtt_ns = rtt_ns;
  s.seq = c.request->due.round;
  s.target = c.target;
  s.tx_src = s.rx_src = TODD_TS_USER;
  std::snprintf(s.outcome, sizeof s.outcome, "%s", outcome);
  sample(s);
}

// Ends the connection's request, if it has one, and gives the connection to whoever waits; one that cannot be
// used again is closed, and opened anew only for a waiting request.
void Http::release(Connection& c, uint32_t index, bool reusable, int64_t now_ns) {
  Target& t = targets_[c.target];
  if (c.request) --active_;
  c.request.reset();
  if (!reusable) disconnect(c);
  if (t.n_waiting != 0) {
    const Due next = t.waiting[0];
    t.waiting[0] = t.waiting[1];
    --t.n_waiting;
    return begin(index, next, now_ns);
  }
  if (reusable) {
    t.idle.push_back(index);
  } else {
    --t.open;
    free_.push_back(index);
  }
}

// Whatever is still under way on this connection becomes stale.
void Http::disconnect(Connection& c) {
  if (c.stream != 0) outbox_.put(stream_op(TODD_OP_CLOSE, flow_, c.stream, 0));
  c.stream = 0;
  ++c.generation;
}

}  // namespace todd::http
