#include "plugins/iperf/transfer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugins/iperf/protocol.h"

namespace todd::iperf {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kTellNs = 100 * kMs, kInfoNs = 1'000 * kMs;
constexpr int64_t kCountNs = 5 * kMs;  // where a number of bytes is to be met

}  // namespace

Transfer::Transfer(Services& services, const Settings& settings)
    : services_(services), settings_(settings), sent_(services, of(true)), received_(services, of(false)) {}

Ledger::Of Transfer::of(bool sending) const {
  return {.edge = settings_.edge,
          .sending = sending,
          .udp = settings_.udp,
          .back = back(sending),
          .paced = settings_.bitrate != 0};
}

void Transfer::add(uint32_t flow, uint64_t stream, bool sending, uint64_t user) {
  Stream s;
  s.flow = flow;
  s.id = stream_id(static_cast<uint32_t>(streams_.size()));
  s.stream = stream;
  s.user = user;
  s.sending = sending;
  s.index = ledger(s).add_stream();
  streams_.push_back(s);
}

void Transfer::begin(int64_t now_ns) {
  began_ns_ = now_ns;
  cpu_.start(now_ns);
  if (settings_.omit_ns == 0) begin_counting(now_ns);
  const auto senders = static_cast<uint64_t>(
      std::count_if(streams_.begin(), streams_.end(), [](const Stream& s) { return s.sending; }));
  // What is sent while nothing counts yet is no part of the bytes that are wanted.
  const bool limited = settings_.bytes != 0 && settings_.omit_ns == 0;
  uint64_t nth = 0;
  for (Stream& s : streams_) {
    uint64_t bytes = 0;
    if (limited && s.sending) bytes = settings_.bytes / senders + (nth++ < settings_.bytes % senders ? 1 : 0);
    start_job(s, bytes);
    if (*reason_ != '\0') return;
  }
  poll(now_ns);
}

void Transfer::begin_counting(int64_t now_ns) {
  counting_ = true;
  sent_.begin(now_ns);
  received_.begin(now_ns);
}

void Transfer::start_job(Stream& s, uint64_t bytes) {
  todd_bulk_job job{};
  job.flags = s.sending ? TODD_BF_SEND : settings_.udp ? 0 : TODD_BF_DISCARD;
  if (s.sending && settings_.zero_copy && !settings_.udp) job.flags |= TODD_BF_ZERO_COPY;
  if (s.sending && !settings_.repeating) job.flags |= TODD_BF_RANDOM;
  job.length = settings_.length;
  job.bitrate = s.sending ? settings_.bitrate : 0;
  job.bytes = bytes;
  // The source says when it is over; both ends of its time are the same.
  if (s.sending && settings_.source && settings_.duration_ns != 0)
    job.end_ns = end_ns();
  job.user = s.user;
  job.first_sequence = 1;
  job.seconds_at = job.micros_at = job.sequence_at = 0xffff;
  if (settings_.udp) {
    job.seconds_at = 0;
    job.micros_at = 4;
    job.sequence_at = 8;
    job.sequence_bytes = settings_.counters_64 ? 8 : 4;
  }
  const todd_status status = services_.begin(s.flow, s.stream, job, s.job);
  s.running = status >= 0;
  if (status < 0) fail("local", std::string("this host cannot move the bytes: ") + std::strerror(-status));
}

void Transfer::fail(const char* reason, std::string text) {
  if (*reason_ != '\0') return;
  reason_ = reason;
  problem_ = std::move(text);
}

bool Transfer::sends(uint64_t stream) const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [stream](const Stream& s) { return s.stream == stream && s.sending; });
}

size_t Transfer::jobs_running(bool sending) const {
  return static_cast<size_t>(std::count_if(streams_.begin(), streams_.end(), [sending](const Stream& s) {
    return s.running && s.sending == sending;
  }));
}

void Transfer::early(uint64_t stream, uint64_t bytes, int64_t now_ns) {
  for (const Stream& s : streams_)
    if (s.stream == stream && !s.sending) received_.early(s.index, bytes, now_ns);
}

void Transfer::done(uint64_t stream, int result, int64_t now_ns) {
  for (Stream& s : streams_) {
    if (s.stream != stream || !s.running) continue;
    s.running = false;
    if (ended() || stopped_) return;
    const bool in_time = s.sending && result >= 0;  // its bytes are sent, or its time is over
    if (in_time) return;
    const char* const which = s.sending ? "a stream that is sent on" : "a stream that is received on";
    if (result < 0)
      fail(result == -ETIMEDOUT ? "timeout" : "reset", std::string(which) + ": " + std::strerror(-result));
    else
      fail("closed", std::string("the peer ended ") + which + " before its time");
    poll(now_ns);
    return;
  }
}

void Transfer::refresh(bool with_info) {
  for (const Stream& s : streams_) {
    if (s.job != 0) ledger(s).counted(s.index, services_.counted(s.job));
    todd_stream_info info{};
    info.size = sizeof info;
    if (with_info && s.sending && !settings_.udp && services_.stream_info(s.stream, info))
      sent_.informed(s.index, info);
  }
}

int64_t Transfer::poll(int64_t now_ns) {
  if (!begun() || stopped_) return INT64_MAX;
  const int64_t count_from_ns = began_ns_ + settings_.omit_ns;
  const bool counts_now = !counting_ && now_ns >= count_from_ns && !ended();
  const bool with_info = now_ns >= next_info_ns_ || counts_now;
  refresh(with_info);
  if (with_info) next_info_ns_ = now_ns + kInfoNs;
  if (counts_now) begin_counting(now_ns);
  const int64_t until_ns = ended() ? ended_ns_ : now_ns;
  sent_.tell(until_ns);
  received_.tell(until_ns);
  if (!counting_) return ended() ? now_ns + kTellNs : std::min(count_from_ns, now_ns + kTellNs);
  return now_ns + (settings_.bytes != 0 ? kCountNs : kTellNs);
}

int64_t Transfer::end_ns() const {
  return settings_.duration_ns == 0 ? INT64_MAX : began_ns_ + settings_.omit_ns + settings_.duration_ns;
}

bool Transfer::complete(uint64_t bytes, int64_t now_ns) const {
  if (now_ns >= end_ns()) return true;
  if (bytes == 0 || !counting_) return false;
  return (sent_.empty() || sent_.bytes() >= bytes) && (received_.empty() || received_.bytes() >= bytes);
}

void Transfer::end(int64_t now_ns) {
  if (ended() || !begun()) return;
  poll(now_ns);
  ended_ns_ = now_ns;
  used_ = cpu_.use(now_ns);
  for (const Stream& s : streams_)
    if (s.sending && s.running) services_.stop(s.job);
}

void Transfer::stop() {
  for (const Stream& s : streams_)
    if (s.running) services_.stop(s.job);
}

Results Transfer::results(int64_t now_ns) {
  if (!stopped_ && begun()) {
    next_info_ns_ = now_ns;
    poll(now_ns);
    stopped_ = true;
    sent_.close();
    received_.close();
  }
  Results out;
  out.todd = true;
  out.recorded = !settings_.source && settings_.edge != TODD_NONE;
  out.cpu_user = used_.user * 100;
  out.cpu_system = used_.system * 100;
  out.cpu_total = out.cpu_user + out.cpu_system;
  if (!sent_.empty()) out.has_retransmits = !settings_.udp;
  out.congestion = sent_.congestion();
  const auto sent = sent_.results(), received = received_.results();
  for (const Stream& s : streams_) {
    out.streams.push_back((s.sending ? sent : received).at(s.index));
    out.streams.back().id = s.id;
  }
  return out;
}

void Transfer::record_peer(const Results& peer) {
  services_.used(settings_.edge, used_.user + used_.system, peer.cpu_total / 100);
  if (!sent_.empty()) record_peer(peer, false);
  if (!received_.empty()) record_peer(peer, true);
}

void Transfer::record_peer(const Results& peer, bool peer_sent) {
  std::vector<StreamResult> theirs;
  for (const Stream& s : streams_) {
    if (s.sending == peer_sent) continue;
    for (const StreamResult& one : peer.streams)
      if (one.id == s.id) theirs.push_back(one);
  }
  const uint32_t edge = settings_.edge;
  const bool way_back = back(!peer_sent);
  if (!peer.recorded && peer_sent) {
    record_sender(services_, way_back, edge, theirs);
    if (!peer.congestion.empty()) services_.controlled(way_back, edge, peer.congestion);
  } else if (!peer.recorded) {
    record_receiver(services_, way_back, edge, settings_.udp, theirs);
  }
  const auto ours = (peer_sent ? received_ : sent_).results();
  const auto& sent = peer_sent ? theirs : ours;
  const auto& received = peer_sent ? ours : theirs;
  // Neither of them loses what the other counts: UDP by numbers of datagrams, TCP by bytes.
  uint64_t there = 0, here = 0;
  for (const StreamResult& s : sent)
    there += settings_.udp ? (s.packets - std::min(s.packets, s.unsent)) * settings_.length : s.bytes;
  for (const StreamResult& s : received) here += settings_.udp ? s.packets * settings_.length : s.bytes;
  if (there > here) services_.add(way_back, Count::kUndelivered, edge, there - here);
}

}  // namespace todd::iperf
