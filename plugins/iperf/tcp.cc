#include "plugins/iperf/tcp.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace todd::iperf {

namespace {

constexpr uint32_t kInFlight = 4;  // sends per stream, so that the kernel always has the next one
constexpr uint32_t kMaxStreams = 1024;
constexpr int64_t kTickNs = 100'000'000;
constexpr int64_t kInfoNs = 1'000'000'000;
constexpr int64_t kClockPart = 200;  // two clocks differ by less than this part of a duration

const char* reason_of(int positive_errno) {
  switch (positive_errno) {
    case ECONNREFUSED: return "refused";
    case ECONNRESET:
    case EPIPE: return "reset";
    case ETIMEDOUT: return "timeout";
    case EHOSTUNREACH:
    case ENETUNREACH: return "unreachable";
    default: return "local";
  }
}

// A full batch is worth another call at once; missing slots come back with the completions of earlier sends.
void again_if_full(todd_batch& b) {
  if (b.n_op == b.cap_op) wake_by(b, b.now_ns);
}

}  // namespace

// ---- opening

void Tcp::listen() { outbox_.put(make_op(TODD_OP_LISTEN, flow_, 0)); }

uint32_t Tcp::add() {
  uint32_t index = static_cast<uint32_t>(streams_.size());
  if (free_.empty()) {
    streams_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
    const uint32_t generation = streams_[index].generation;
    streams_[index] = Stream{};
    streams_[index].generation = generation;
  }
  ++live_;
  return index;
}

uint64_t Tcp::user_of(uint32_t index) const {
  return static_cast<uint64_t>(streams_[index].generation) << 32 | index;
}

void Tcp::connect(uint32_t target, const Header& header) {
  const uint32_t index = add();
  Stream& s = streams_[index];
  s.state = State::kConnecting;
  s.edge = target;
  s.header = header;
  if (!header.reverse) ++collected_[target].expected;
  outbox_.put(target_op(TODD_OP_CONNECT, flow_, target, user_of(index), timeout_ns_));
}

void Tcp::accepted(const todd_batch& b, const todd_done& d) {
  if (live_ >= kMaxStreams) return outbox_.put(stream_op(TODD_OP_CLOSE, flow_, d.arg, UINT64_MAX));
  const uint32_t index = add();
  Stream& s = streams_[index];
  s.state = State::kHeader;
  s.server = true;
  s.id = d.arg;
  s.active_ns = b.now_ns;
  by_id_[s.id] = index;
}

void Tcp::connected(const todd_batch& b, uint32_t index, const todd_done& d) {
  Stream& s = streams_[index];
  if (d.result < 0) return fail(s, index, reason_of(-d.result), std::strerror(-d.result));
  s.id = d.arg;
  by_id_[s.id] = index;
  outbox_.put(stream_op(TODD_OP_RECV, flow_, s.id, user_of(index)));
  begin(s, index, b.now_ns);
}

std::shared_ptr<View> Tcp::view_of(const Stream& s, bool sending) {
  auto view = views_[s.header.session].lock();
  if (view == nullptr) {
    std::erase_if(views_, [](const auto& entry) { return entry.second.expired(); });
    view = std::make_shared<View>(s.edge, sending);
    views_[s.header.session] = view;
  }
  return view;
}

// The header is known: the stream takes up its direction. False: it was refused and closed.
bool Tcp::begin(Stream& s, uint32_t index, int64_t now_ns) {
  if (s.server && !sink_.admit(s.header.token, s.edge)) {
    close(s, index);
    return false;
  }
  const bool sending = s.server == s.header.reverse;
  s.view = view_of(s, sending);
  s.pacer = Pacer(s.header.bitrate, s.header.length, now_ns);
  s.active_ns = now_ns;
  s.end_ns = now_ns + s.header.duration_ns;
  s.next_info_ns = now_ns + kInfoNs;
  s.announced = s.header_sent = s.server;
  s.state = sending ? State::kSending : State::kReceiving;
  return true;
}

// ---- completions

Tcp::Stream* Tcp::find(uint64_t id, uint32_t& index) {
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return nullptr;
  index = it->second;
  return &streams_[index];
}

void Tcp::take(const todd_batch& b, const todd_done& d) {
  if (d.code == TODD_OP_LISTEN) {
    if (d.result < 0) throw error(d.result, std::string("cannot listen: ") + std::strerror(-d.result));
    port_ = d.port;
  } else if (d.code == TODD_OP_ACCEPT) {
    accepted(b, d);
  } else if (d.code == TODD_OP_RECV) {
    received(b, d);
  } else if (d.code == TODD_OP_SEND || d.code == TODD_OP_CONNECT) {
    const auto index = static_cast<uint32_t>(d.user);
    const bool stale = index >= streams_.size() || user_of(index) != d.user;
    if (stale && d.code == TODD_OP_CONNECT && d.result == 0) {
      outbox_.put(stream_op(TODD_OP_CLOSE, flow_, d.arg, UINT64_MAX));  // given up meanwhile
    }
    if (stale) return;
    return d.code == TODD_OP_SEND ? sent(index, d) : connected(b, index, d);
  }
}

void Tcp::sent(uint32_t index, const todd_done& d) {
  Stream& s = streams_[index];
  --s.in_flight;
  if (d.result < 0) return fail(s, index, reason_of(-d.result), std::strerror(-d.result));
  if (s.state == State::kReport) return close(s, index);
  s.active_ns = d.rx_ns;
  if (s.header_sent) {
    s.view->bytes(sink_, static_cast<uint64_t>(d.result), d.rx_ns);
  } else {
    s.header_sent = true;
  }
}

void Tcp::received(const todd_batch& b, const todd_done& d) {
  uint32_t index = 0;
  Stream* s = find(d.arg, index);
  if (s == nullptr) return;
  if (d.result < 0) return fail(*s, index, reason_of(-d.result), std::strerror(-d.result));
  if (d.result == 0) return ended(*s, index, d.rx_ns);
  bytes_in(*s, index, payload(b, d), d.rx_ns);
}

void Tcp::bytes_in(Stream& s, uint32_t index, std::string_view bytes, int64_t at_ns) {
  if (s.state == State::kHeader) {
    const std::size_t missing = std::min<std::size_t>(kMessage - s.head.size(), bytes.size());
    s.head.append(bytes.substr(0, missing));
    bytes.remove_prefix(missing);
    if (s.head.size() < kMessage) return;
    const auto header = decode_header(s.head);
    if (!header || header->kind != Kind::kStart) return close(s, index);  // somebody else's protocol
    s.header = *header;
    if (!begin(s, index, at_ns)) return;
    s.head.clear();
  }
  if (s.state == State::kReceiving) {
    s.received += bytes.size();
    s.active_ns = at_ns;
    s.view->bytes(sink_, bytes.size(), at_ns);
  } else if (s.head.size() < kMessage) {
    s.head.append(bytes.substr(0, kMessage - s.head.size()));  // a summary
  }
}

void Tcp::ended(Stream& s, uint32_t index, int64_t at_ns) {
  switch (s.state) {
    case State::kReceiving:
      // The sender began after us. Its clock may go a little faster.
      if (!s.server && at_ns < s.end_ns - s.header.duration_ns / kClockPart) break;
      s.view->tick(sink_, at_ns, s.header.duration_ns);
      if (!s.server) return close(s, index);
      s.state = State::kReport;
      return;
    case State::kShut: {
      read_info(s, at_ns);  // segments may have been sent again after the last one was handed over
      const auto summary = decode_summary(s.head);
      if (!s.server && !summary)
        return fail(s, index, "no_summary", "the responder closed without a summary");
      if (!s.server) collect(s, &*summary);
      return close(s, index);
    }
    case State::kHeader: return close(s, index);
    default: break;
  }
  fail(s, index, "closed", "the peer ended the stream before the test was over");
}

// ---- sending

void Tcp::step(todd_batch& b, bool stop) {
  if (stop && stop_ns_ == 0) stop_ns_ = b.now_ns + timeout_ns_;
  const auto n = static_cast<uint32_t>(streams_.size());
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t index = (first_ + i) % n;
    Stream& s = streams_[index];
    if (s.state == State::kFree) continue;
    if (s.id != 0 && !s.announced && s.state != State::kHeader) announce(s, index, b);
    if (s.state == State::kSending) run_sender(s, index, b, stop);
    if (s.state == State::kReport) run_reporter(s, index, b);
    if (s.state == State::kReceiving) s.view->tick(sink_, b.now_ns, s.header.duration_ns);
    if (s.state == State::kReceiving && stop) close(s, index);
    // Bytes that the network still takes are no reason to give up: a full buffer on a slow path needs its
    // time.
    const bool sender = s.state == State::kSending || s.state == State::kShut;
    if (sender && overdue(s, b.now_ns)) read_info(s, b.now_ns);
    if (overdue(s, b.now_ns)) fail(s, index, "timeout", "the peer did not end the test in time");
  }
  if (n != 0) first_ = (first_ + 1) % n;
  outbox_.flush(b);
  if (live_ != 0) wake_by(b, b.now_ns + kTickNs);
}

bool Tcp::overdue(const Stream& s, int64_t now_ns) const {
  if (s.state == State::kFree || s.state == State::kConnecting) return false;  // CONNECT has its own timeout
  if (stop_ns_ != 0 && now_ns >= stop_ns_) return true;
  return now_ns >= std::max(s.end_ns, s.active_ns) + timeout_ns_;
}

void Tcp::announce(Stream& s, uint32_t index, todd_batch& b) {
  if (!can_send(b, flow_)) return again_if_full(b);
  const uint32_t slot = take_slot(b, flow_);
  encode(s.header, slot_data(b, flow_, slot));
  put(b, stream_send_op(flow_, s.id, slot, kMessage, user_of(index)));
  s.announced = true;
  ++s.in_flight;
}

void Tcp::run_sender(Stream& s, uint32_t index, todd_batch& b, bool stop) {
  if (b.now_ns >= s.next_info_ns) read_info(s, b.now_ns);
  const bool over = stop || b.now_ns >= s.end_ns;
  while (!over && s.announced && s.in_flight < kInFlight && s.pacer.next_ns() <= b.now_ns) {
    if (!can_send(b, flow_)) {
      again_if_full(b);
      break;
    }
    const uint32_t slot = take_slot(b, flow_);
    // The bytes themselves do not matter: whatever the slot holds goes out.
    put(b, stream_send_op(flow_, s.id, slot, std::min(s.header.length, b.slots[flow_]->cap), user_of(index)));
    ++s.in_flight;
    s.pacer.sent(b.now_ns);
  }
  if (!over)
    return wake_by(b, s.pacer.next_ns() > b.now_ns ? std::min(s.end_ns, s.pacer.next_ns()) : s.end_ns);
  if (s.in_flight != 0 || !s.announced) return;
  s.view->tick(sink_, b.now_ns, s.header.duration_ns);
  read_info(s, b.now_ns);
  outbox_.put(stream_op(TODD_OP_SHUTDOWN, flow_, s.id, user_of(index)));
  s.state = State::kShut;
  s.active_ns = b.now_ns;
}

void Tcp::run_reporter(Stream& s, uint32_t index, todd_batch& b) {
  if (s.in_flight != 0) return;
  if (!can_send(b, flow_)) return again_if_full(b);
  Summary summary;
  summary.recorded = s.edge != TODD_NONE;
  summary.stream = s.header.stream;
  summary.session = s.header.session;
  summary.bytes = s.received;
  summary.time_ns = s.view->time_ns();
  const uint32_t slot = take_slot(b, flow_);
  encode(summary, slot_data(b, flow_, slot));
  put(b, stream_send_op(flow_, s.id, slot, kMessage, user_of(index)));
  ++s.in_flight;
}

void Tcp::read_info(Stream& s, int64_t now_ns) {
  TcpInfo info;
  s.next_info_ns = now_ns + kInfoNs;
  if (!sink_.tcp_info(s.id, info)) return;
  sink_.add(Count::kRetransmits, s.edge, info.retransmits - std::min(info.retransmits, s.retransmits));
  s.retransmits = std::max(s.retransmits, info.retransmits);
  sink_.set(Gauge::kTcpRtt, s.edge, info.rtt_us * 1000.0);
  if (info.bytes_acked > s.acked) s.active_ns = now_ns;
  s.acked = info.bytes_acked;
}

// ---- ends

// A stream of the target has ended, with a summary or without. The last one records what the responder could
// not.
void Tcp::collect(const Stream& s, const Summary* summary) {
  Collected& c = collected_[s.edge];
  if (summary != nullptr && !summary->recorded) {
    c.bytes += summary->bytes;
    c.time_ns = std::max(c.time_ns, summary->time_ns);
  }
  if (--c.expected != 0 || c.bytes == 0) return;
  sink_.add(Count::kBytes, s.edge, c.bytes);
  sink_.add(Count::kTime, s.edge, static_cast<uint64_t>(c.time_ns));
}

void Tcp::fail(Stream& s, uint32_t index, const char* reason, std::string_view text) {
  sink_.failure(s.edge, reason, text);
  if (!s.server && !s.header.reverse) collect(s, nullptr);
  close(s, index);
}

void Tcp::close(Stream& s, uint32_t index) {
  if (s.id != 0) {
    outbox_.put(stream_op(TODD_OP_CLOSE, flow_, s.id, UINT64_MAX));
    by_id_.erase(s.id);
  }
  s.id = 0;
  s.view.reset();
  s.state = State::kFree;
  ++s.generation;
  --live_;
  free_.push_back(index);
}

}  // namespace todd::iperf
