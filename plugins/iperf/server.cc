#include "plugins/iperf/server.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace todd::iperf {
namespace {

constexpr int64_t kS = 1'000'000'000;
constexpr int64_t kGoodbyeNs = kS;  // for the last words to leave
constexpr int64_t kCookieNs = 10 * kS;
const std::string kDenied(1, static_cast<char>(State::kAccessDenied));

}  // namespace

// ---- completions

void Server::take(const todd_batch& b, const todd_done& d) {
  if (d.code == TODD_OP_ACCEPT) return accepted(d, b.now_ns);
  const auto found = connections_.find(d.arg);
  if (found == connections_.end()) return;
  Connection& c = found->second;
  switch (d.code) {
    case TODD_OP_RECV: return arrived(b, d);
    case TODD_OP_BULK: return moved(d, c, b.now_ns);
    case TODD_OP_SEND:
      c.line.sent(d.result < 0);
      if (d.result < 0 && c.control && c.session != nullptr) c.session->control.closed(-d.result);
      return;
    default: return;
  }
}

void Server::moved(const todd_done& d, const Connection& c, int64_t now_ns) {
  if (c.session == nullptr || c.session->transfer == nullptr) return;
  Session& s = *c.session;
  s.transfer->done(d.arg, d.result, now_ns);
  s.poll_ns = std::min(s.poll_ns, now_ns);
  // iperf3's client reads whole blocks until the end of the stream, and only then goes on.
  if (s.transfer->ended() && s.transfer->sends(d.arg))
    outbox_.put(stream_op(TODD_OP_SHUTDOWN, settings_.flow, d.arg, UINT64_MAX));
}

void Server::accepted(const todd_done& d, int64_t now_ns) {
  Connection& c = connections_[d.arg];
  c.line = Line(settings_.flow, d.arg);
  c.deadline_ns = now_ns + std::min(settings_.timeout_ns, kCookieNs);
  c.order = next_order_++;
  if (++unknown_ > kMaxUnknown) close(c, now_ns);
}

void Server::arrived(const todd_batch& b, const todd_done& d) {
  Connection& c = connections_.at(d.arg);
  std::string_view bytes = payload(b, d);
  if (c.closing) return;
  if (c.session == nullptr) {
    if (d.result <= 0) return close(c, b.now_ns);
    const size_t n = std::min(kCookie - c.cookie.size(), bytes.size());
    c.cookie.append(bytes.substr(0, n));
    if (c.cookie.size() == kCookie) identify(d.arg, c, bytes.substr(n), b.now_ns);
    return;
  }
  Session& s = *c.session;
  if (c.control) {
    if (d.result <= 0) return s.control.closed(-d.result);
    return s.control.received(bytes, b.now_ns);
  }
  if (d.result > 0) {
    if (s.transfer->streams() != 0) return s.transfer->early(d.arg, bytes.size(), b.now_ns);
    for (Arrived& one : s.arrived)
      if (one.stream == d.arg) one.early += bytes.size();
    return;
  }
  // Of a stream that is sent on, or of one on which nothing goes any more.
  if (s.control.running() && !s.transfer->ended())
    s.control.fail(d.result == 0 ? "closed" : "reset", "the peer ended a data stream before its time");
}

void Server::identify(uint64_t stream, Connection& c, std::string_view rest, int64_t now_ns) {
  if (!is_cookie(c.cookie)) return close(c, now_ns);
  const auto known = std::find_if(sessions_.begin(), sessions_.end(),
                                  [&](const auto& s) { return !s->over && s->cookie == c.cookie; });
  if (known == sessions_.end()) return begin_session(stream, c, rest, now_ns);
  Session& s = **known;
  if (s.transfer != nullptr && s.arrived.size() < s.wanted)
    return add_stream(s, stream, c, rest.size(), now_ns);
  c.line.put(kDenied);
  close(c, now_ns);
}

void Server::begin_session(uint64_t stream, Connection& c, std::string_view rest, int64_t now_ns) {
  if (sessions_.size() >= kMaxSessions) {
    c.line.put(kDenied);
    return close(c, now_ns);
  }
  --unknown_;
  sessions_.push_back(std::make_unique<Session>(c.cookie, settings_.timeout_ns, now_ns));
  Session& s = *sessions_.back();
  s.stream = stream;
  c.session = &s;
  c.control = true;
  if (!rest.empty()) s.control.received(rest, now_ns);
}

void Server::add_stream(Session& s, uint64_t stream, Connection& c, size_t early, int64_t now_ns) {
  --unknown_;
  c.session = &s;
  s.arrived.push_back({c.order, stream, early});
  if (s.arrived.size() < s.wanted) return;
  // Cookies may overtake each other, connections need not.
  std::sort(s.arrived.begin(), s.arrived.end(),
            [](const Arrived& a, const Arrived& b) { return a.order < b.order; });
  const Params& p = s.control.params();
  for (size_t i = 0; i < s.arrived.size(); ++i) {
    // The first half of both directions is that on which the client sends.
    s.transfer->add(settings_.flow, s.arrived[i].stream, p.bidir ? i >= p.streams : p.reverse, 0);
    if (s.arrived[i].early != 0) s.transfer->early(s.arrived[i].stream, s.arrived[i].early, now_ns);
  }
  s.control.streams_ready(now_ns);
}

uint32_t Server::streams_in_use() const {
  uint32_t n = 0;
  for (const auto& s : sessions_) n += s->wanted;
  return n;
}

void Server::admit(Session& s, int64_t now_ns) {
  const Params& p = s.control.params();
  if (!services_.admit(p.token, s.edge))
    return s.control.refuse("denied", "a client that is no source of this test was turned away");
  if (p.udp) return s.control.refuse("denied", "a client asked for udp, which is not served on this port");
  const uint32_t wanted = p.streams * (p.bidir ? 2 : 1);
  if (streams_in_use() + wanted > kMaxStreamsOfAll)
    return s.control.refuse("denied", "no room for " + std::to_string(wanted) + " streams more");
  s.wanted = wanted;
  Transfer::Settings t;
  t.edge = s.edge;
  t.udp = p.udp;
  t.bidir = p.bidir;
  t.zero_copy = p.zero_copy;
  t.repeating = p.repeating;
  t.counters_64 = p.counters_64;
  t.source = false;
  t.length = p.length;
  t.bitrate = p.bitrate;
  t.omit_ns = int64_t{p.omit_s} * kS;
  s.transfer = std::make_unique<Transfer>(services_, t);
  s.control.admit(now_ns);
}

// ---- what it does

void Server::follow(Session& s, todd_batch& b) {
  while (const auto what = s.control.next()) {
    switch (*what) {
      case Do::kAdmit: admit(s, b.now_ns); break;
      case Do::kStart:
        s.transfer->begin(b.now_ns);
        s.poll_ns = b.now_ns;
        break;
      case Do::kStop: s.transfer->end(b.now_ns); break;
      case Do::kCollect:
        s.transfer->stop();
        s.collecting = true;
        break;
      case Do::kFailed:
        services_.failure(s.edge, s.control.reason(), s.control.text());
        [[fallthrough]];
      case Do::kDone: end(s, b.now_ns); break;
      default: break;
    }
  }
}

void Server::run(Session& s, todd_batch& b) {
  s.control.expire(b.now_ns);
  if (s.transfer != nullptr && s.transfer->begun() && b.now_ns >= s.poll_ns) {
    s.poll_ns = s.transfer->poll(b.now_ns);
    if (s.transfer->moved() != s.moved) s.control.active(b.now_ns);
    s.moved = s.transfer->moved();
    if (*s.transfer->reason() != '\0' && !s.transfer->ended())
      s.control.fail(s.transfer->reason(), s.transfer->problem());
  }
  if (s.collecting && s.transfer->all_done()) {
    s.collecting = false;
    s.control.results(s.transfer->results(b.now_ns), b.now_ns);
    s.poll_ns = INT64_MAX;
  }
  follow(s, b);
  if (s.over) return;
  if (s.poll_ns != INT64_MAX) wake_by(b, s.poll_ns);
  if (s.control.deadline_ns() != INT64_MAX) wake_by(b, s.control.deadline_ns());
}

void Server::end(Session& s, int64_t now_ns) {
  if (s.over) return;
  s.over = true;
  if (s.transfer != nullptr) {
    s.transfer->end(now_ns);
    s.transfer->stop();
    s.transfer->results(now_ns);
  }
  for (auto& [stream, c] : connections_) {
    if (c.session != &s) continue;
    if (c.control && s.control.has_out()) c.line.put(s.control.take_out());
    close(c, now_ns);
  }
}

// What it still has to say leaves first.
void Server::close(Connection& c, int64_t now_ns) {
  if (c.session == nullptr && !c.closing) --unknown_;
  c.closing = true;
  c.session = nullptr;
  c.deadline_ns = now_ns + kGoodbyeNs;
}

void Server::step(todd_batch& b) {
  for (const auto& s : sessions_) {
    follow(*s, b);
    if (!s->over) run(*s, b);
  }
  for (auto it = connections_.begin(); it != connections_.end();) {
    auto& [stream, c] = *it;
    if (c.control && c.session != nullptr && c.session->control.has_out())
      c.line.put(c.session->control.take_out());
    c.line.flush(b, 0);
    if (c.session == nullptr && !c.closing && b.now_ns >= c.deadline_ns) close(c, b.now_ns);
    const bool gone = c.closing && (c.line.idle() || b.now_ns >= c.deadline_ns);
    if (c.session == nullptr && !gone) wake_by(b, c.deadline_ns);
    if (gone) outbox_.put(stream_op(TODD_OP_CLOSE, settings_.flow, stream, UINT64_MAX));
    it = gone ? connections_.erase(it) : std::next(it);
  }
  std::erase_if(sessions_, [](const auto& s) { return s->over; });
  outbox_.flush(b);
}

void Server::stop(int64_t now_ns) {
  for (const auto& s : sessions_) {
    s->control.abandon();
    end(*s, now_ns);
  }
  for (auto& [stream, c] : connections_)
    if (!c.closing) close(c, now_ns);
}

}  // namespace todd::iperf
