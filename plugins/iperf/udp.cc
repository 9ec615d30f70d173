#include "plugins/iperf/udp.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace todd::iperf {

namespace {

constexpr int64_t kRepeatNs = 100'000'000;
constexpr uint32_t kTries = 10;
constexpr uint32_t kInFlight = 16;  // datagrams handed over and not yet gone, per stream
constexpr std::size_t kMaxStreams = 1024;
constexpr std::size_t kMaxAnswers = 256;
constexpr int64_t kForgetNs = 5'000'000'000;  // a receiver that hears nothing more; covers repeated kEnd

uint64_t mix(uint64_t x) {  // the finalizer of SplitMix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

uint64_t Udp::cookie_for(uint64_t session, uint64_t reply) const {
  return mix(secret_ ^ mix(session ^ mix(reply + secret_))) | 1;
}

std::shared_ptr<View> Udp::view_of(const Stream& s, bool sending) {
  auto view = views_[s.header.session].lock();
  if (view == nullptr) {
    std::erase_if(views_, [](const auto& entry) { return entry.second.expired(); });
    view = std::make_shared<View>(s.edge, sending);
    views_[s.header.session] = view;
  }
  return view;
}

Udp::Stream& Udp::add(const Header& h, uint32_t flow, uint32_t edge, bool sending, int64_t now_ns) {
  Stream& s = streams_[{h.session, h.stream}];
  s.header = h;
  s.flow = flow;
  s.edge = edge;
  s.number = next_number_++;
  by_number_[s.number] = &s;
  s.view = view_of(s, sending);
  s.next_ns = s.active_ns = now_ns;
  s.end_ns = now_ns + h.duration_ns;
  s.pacer = Pacer(h.bitrate, h.length, now_ns);
  s.state = sending ? State::kSending : State::kReceiving;
  return s;
}

void Udp::start(uint32_t flow, uint32_t target, const Header& header, int64_t now_ns) {
  Stream& s = add(header, flow, target, !header.reverse, now_ns);
  s.target = target;
  if (header.reverse) s.state = State::kAsking;
}

// ---- what arrives

void Udp::take(const todd_batch& b, const todd_done& d) {
  if (d.code == TODD_OP_RECV && d.result > 0) return arrived(b, d, payload(b, d));
  if (d.code != TODD_OP_SEND) return;
  const auto it = by_number_.find(d.user >> 1);  // the last bit: a datagram of the test
  if (it == by_number_.end()) return;
  Stream& s = *it->second;
  --s.in_flight;
  if ((d.user & 1) == 0) return;
  if (d.result < 0) return refused(s, -d.result);
  s.view->bytes(sink_, static_cast<uint64_t>(d.result), d.rx_ns);
}

// A datagram that never left is no loss of the network's.
void Udp::refused(Stream& s, int positive_errno) {
  if (s.unsent++ == 0) sink_.failure(s.edge, "local", std::strerror(positive_errno));
  sink_.add(Count::kUnsent, s.edge, 1);
}

void Udp::arrived(const todd_batch& b, const todd_done& d, std::string_view bytes) {
  const auto kind = kind_of(bytes);
  if (!kind) return;
  if (*kind == Kind::kSummary) {
    const auto summary = decode_summary(bytes);
    if (summary) summarised(*summary);
    return;
  }
  const auto header = decode_header(bytes);
  if (!header) return;
  switch (*kind) {
    case Kind::kStart: return responder_ ? asked(d, *header, b.now_ns) : void();
    case Kind::kData: return data(d, *header, b.now_ns);
    case Kind::kEnd: return ended(d, *header, b.now_ns);
    default: break;
  }
  const auto it = streams_.find({header->session, header->stream});
  if (it == streams_.end() || it->second.state != State::kAsking) return;
  it->second.cookie = header->cookie;  // kChallenge: ask again, at once
  it->second.next_ns = b.now_ns;
}

void Udp::asked(const todd_done& d, const Header& h, int64_t now_ns) {
  if (!h.reverse || streams_.contains({h.session, h.stream}) || streams_.size() >= kMaxStreams) return;
  uint32_t edge = TODD_NONE;
  if (!sink_.admit(h.token, edge)) return;
  if (h.cookie != cookie_for(h.session, d.arg)) {
    Header challenge = h;
    challenge.kind = Kind::kChallenge;
    challenge.cookie = cookie_for(h.session, d.arg);
    return answer_header(d, challenge);
  }
  add(h, d.flow, edge, true, now_ns).reply = d.arg;
}

void Udp::answer_header(const todd_done& d, const Header& h) {
  if (answers_.size() >= kMaxAnswers) return;
  Answer a{d.flow, d.arg, {}};
  encode(h, a.bytes);
  answers_.push_back(a);
}

// The receiving stream of a datagram; a responder makes one for a new session.
Udp::Stream* Udp::receiver(const todd_done& d, const Header& h, int64_t now_ns) {
  const auto it = streams_.find({h.session, h.stream});
  if (it != streams_.end()) {
    Stream& s = it->second;
    if (s.state == State::kAsking) {
      s.state = State::kReceiving;
      s.end_ns = now_ns + h.duration_ns;
    }
    return s.state == State::kReceiving || s.state == State::kOver ? &s : nullptr;
  }
  uint32_t edge = TODD_NONE;
  if (!responder_ || h.reverse || streams_.size() >= kMaxStreams || !sink_.admit(h.token, edge))
    return nullptr;
  return &add(h, d.flow, edge, false, now_ns);
}

void Udp::data(const todd_done& d, const Header& h, int64_t now_ns) {
  Stream* s = receiver(d, h, now_ns);
  if (s == nullptr || s->state != State::kReceiving) return;
  s->active_ns = now_ns;
  if (!s->sequence.arrived(h.sequence, h.sent_ns, d.rx_ns)) return;
  s->bytes += static_cast<uint64_t>(d.result);
  s->view->bytes(sink_, static_cast<uint64_t>(d.result), d.rx_ns);
  tell(*s);
}

// Counts what has arrived since the last time.
void Udp::tell(Stream& s) {
  sink_.add(Count::kPackets, s.edge, s.sequence.received() - s.told_packets);
  s.told_packets = s.sequence.received();
  sink_.set(Gauge::kJitter, s.edge, s.sequence.jitter_ns());
}

void Udp::finish_receiving(Stream& s, uint64_t numbered, uint64_t unsent, int64_t now_ns) {
  s.sequence.ended(numbered, unsent);
  s.view->tick(sink_, now_ns, s.header.duration_ns);
  tell(s);
  sink_.add(Count::kPackets, s.edge, s.sequence.lost());
  sink_.add(Count::kLost, s.edge, s.sequence.lost());
  sink_.add(Count::kOutOfOrder, s.edge, s.sequence.out_of_order());
  over(s, now_ns + (responder_ ? kForgetNs : 2 * kRepeatNs));  // the end may be repeated
}

void Udp::ended(const todd_done& d, const Header& h, int64_t now_ns) {
  Stream* s = receiver(d, h, now_ns);
  if (s == nullptr) return;
  if (s->state == State::kReceiving) finish_receiving(*s, h.sequence, h.unsent, now_ns);
  if (answers_.size() >= kMaxAnswers) return;
  Summary summary;
  summary.recorded = s->edge != TODD_NONE;
  summary.stream = h.stream;
  summary.session = h.session;
  summary.bytes = s->bytes;
  summary.time_ns = s->view->time_ns();
  summary.packets = s->sequence.packets();
  summary.lost = s->sequence.lost();
  summary.out_of_order = s->sequence.out_of_order();
  summary.jitter_ns = static_cast<uint32_t>(std::min(s->sequence.jitter_ns(), 4e9));
  Answer a{d.flow, d.arg, {}};
  encode(summary, a.bytes);
  answers_.push_back(a);
}

void Udp::summarised(const Summary& summary) {
  const auto it = streams_.find({summary.session, summary.stream});
  if (it == streams_.end() || it->second.state != State::kEnding) return;
  Stream& s = it->second;
  if (!responder_ && !summary.recorded) {
    sink_.add(Count::kBytes, s.edge, summary.bytes);
    // All streams of a session share one time; the first summary brings it.
    if (timed_.insert(summary.session).second)
      sink_.add(Count::kTime, s.edge, static_cast<uint64_t>(summary.time_ns));
    sink_.add(Count::kPackets, s.edge, summary.packets);
    sink_.add(Count::kLost, s.edge, summary.lost);
    sink_.add(Count::kOutOfOrder, s.edge, summary.out_of_order);
    sink_.set(Gauge::kJitter, s.edge, summary.jitter_ns);
  }
  over(s, 0);
}

void Udp::over(Stream& s, int64_t forget_ns) {
  s.state = State::kOver;
  s.forget_ns = forget_ns;
}

// ---- what leaves

void Udp::step(todd_batch& b, bool stop) {
  while (!answers_.empty() && can_send(b, answers_.front().flow)) {
    const Answer& a = answers_.front();
    const uint32_t slot = take_slot(b, a.flow);
    std::memcpy(slot_data(b, a.flow, slot), a.bytes, kMessage);
    put(b, reply_op(a.flow, a.reply, slot, kMessage, 0));
    answers_.pop_front();
  }
  for (auto& [key, s] : streams_) run(s, b, stop);
  for (auto it = streams_.begin(); it != streams_.end();) {
    const bool forgotten = it->second.state == State::kOver && b.now_ns >= it->second.forget_ns;
    if (forgotten) by_number_.erase(it->second.number);
    it = forgotten ? streams_.erase(it) : std::next(it);
  }
  if (!streams_.empty() || !answers_.empty()) wake_by(b, b.now_ns + kRepeatNs);
}

void Udp::run(Stream& s, todd_batch& b, bool stop) {
  switch (s.state) {
    case State::kAsking:
      if (stop || s.tries >= kTries) return give_up(s, "timeout", "the responder sent nothing");
      if (b.now_ns >= s.next_ns && send_message(s, Kind::kStart, b)) ++s.tries;
      return;
    case State::kSending:
      if (!stop && b.now_ns < s.end_ns) return send_data(s, b);
      s.view->tick(sink_, b.now_ns, s.header.duration_ns);
      if (s.in_flight != 0) return;  // what becomes of them belongs into the end's message
      s.state = State::kEnding;
      s.next_ns = b.now_ns;
      [[fallthrough]];
    case State::kEnding:
      if (s.tries >= kTries && b.now_ns >= s.next_ns)
        return give_up(s, "no_summary", "the receiver did not confirm the end");
      if (b.now_ns >= s.next_ns && send_message(s, Kind::kEnd, b)) ++s.tries;
      return;
    case State::kReceiving:
      s.view->tick(sink_, b.now_ns, s.header.duration_ns);
      if (stop) return finish_receiving(s, 0, 0, b.now_ns);
      // The sender is gone: nothing came for longer than it would repeat its end.
      if (b.now_ns > std::max(s.end_ns, s.active_ns) + (kTries + 1) * kRepeatNs) {
        finish_receiving(s, 0, 0, b.now_ns);
        sink_.failure(s.edge, "no_end", "the sender did not announce the end");
      }
      return;
    case State::kOver: return;
  }
}

void Udp::send_data(Stream& s, todd_batch& b) {
  while (s.pacer.next_ns() <= b.now_ns && s.in_flight < kInFlight) {
    Header h = s.header;
    h.kind = Kind::kData;
    h.sequence = s.sent;
    h.sent_ns = b.now_ns;
    if (!send(s, h, s.header.length, b)) break;
    ++s.sent;
    s.pacer.sent(b.now_ns);
  }
  // Blocked by a full batch: at once. By slots or sends in flight: their completions call.
  const bool due = s.pacer.next_ns() <= b.now_ns;
  if (due && b.n_op == b.cap_op) wake_by(b, b.now_ns);
  wake_by(b, due ? s.end_ns : std::min(s.pacer.next_ns(), s.end_ns));
}

bool Udp::send_message(Stream& s, Kind kind, todd_batch& b) {
  Header h = s.header;
  h.kind = kind;
  h.sequence = s.sent;
  h.cookie = kind == Kind::kEnd ? s.unsent : s.cookie;
  if (!send(s, h, kMessage, b)) return false;
  s.next_ns = b.now_ns + kRepeatNs;
  return true;
}

bool Udp::send(Stream& s, const Header& h, uint32_t len, todd_batch& b) {
  if (s.flow >= b.n_flow || !can_send(b, s.flow)) return false;
  const uint32_t slot = take_slot(b, s.flow);
  encode(h, slot_data(b, s.flow, slot));
  const uint64_t user = s.number << 1 | (h.kind == Kind::kData ? 1 : 0);
  const uint32_t bytes = std::min(len, b.slots[s.flow]->cap);
  put(b, s.reply != 0 ? reply_op(s.flow, s.reply, slot, bytes, user)
                      : send_op(s.flow, s.target, slot, bytes, user));
  ++s.in_flight;
  return true;
}

void Udp::give_up(Stream& s, const char* reason, std::string_view text) {
  sink_.failure(s.edge, reason, text);
  over(s, 0);
}

}  // namespace todd::iperf
