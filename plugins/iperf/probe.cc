#include "plugins/iperf/probe.h"

#include <algorithm>
#include <functional>
#include <string_view>

namespace todd::iperf {

namespace {

constexpr int64_t kTcpLength = 128 * 1024, kSmallTcpLength = 1024;
constexpr int64_t kSendsPerSecond = 100;  // so that a bit rate is kept over short times too
constexpr uint32_t kUdpLength = 1400;
constexpr uint32_t kMaxDatagram = 65507;
constexpr uint32_t kLargestUsual = 9000;  // a responder that is not told takes datagrams up to a jumbo frame
constexpr uint64_t kUdpBitrate = 1'000'000;
constexpr int64_t kDurationNs = 10'000'000'000;
constexpr int64_t kTimeoutNs = 10'000'000'000;  // of a responder that is given none
constexpr int64_t kMaxUdpStreams = 64;          // each has a flow of its own, and a host opens 64
constexpr uint32_t kSlotsPerStream = 4, kMaxSlots = 256;

// A number that differs between instances and hosts. Addresses in memory are random, and so is the time in
// ns.
uint64_t fresh_number(const void* self, const char* run_id, uint64_t salt) {
  const uint64_t parts[] = {reinterpret_cast<uintptr_t>(self),
                            std::hash<std::string_view>{}(run_id != nullptr ? run_id : ""), salt};
  return std::hash<std::string_view>{}(std::string_view(reinterpret_cast<const char*>(parts), sizeof parts));
}

uint32_t usual_tcp_length(int64_t bits_per_s) {  // of one stream
  if (bits_per_s == 0) return kTcpLength;
  return static_cast<uint32_t>(std::clamp(bits_per_s / 8 / kSendsPerSecond, kSmallTcpLength, kTcpLength));
}

}  // namespace

void Iperf::check(const todd_run& run) {
  const int64_t bytes = get(run, length);
  if (bytes != 0 && bytes < kMessage)
    throw error(TODD_E_PARAM, "length: at least 64 bytes, the size of the header; or 0");
  if (get(run, protocol) == kUdp && bytes > kMaxDatagram)
    throw error(TODD_E_PARAM, "length: a UDP datagram has at most 65507 bytes");
  if (run.role == TODD_SOURCE && get(run, protocol) == kUdp && get(run, streams) > kMaxUdpStreams)
    throw error(TODD_E_PARAM, "streams: at most 64 with udp");
}

void Iperf::start() {
  udp_wanted_ = (*this)[protocol] == kUdp;
  length_ = static_cast<uint32_t>((*this)[length]);
  if (length_ == 0)
    length_ = udp_wanted_ ? kUdpLength : usual_tcp_length((*this)[bitrate] / (*this)[streams]);
  const int64_t timeout = run().timeout_ns > 0 ? run().timeout_ns : kTimeoutNs;
  Sink& sink = *this;
  tcp_.emplace(sink, timeout);
  udp_.emplace(sink, fresh_number(this, run().run_id, 1), run().role == TODD_RESPONDER);
  if (run().role == TODD_RESPONDER) return start_responder();
  if (!udp_wanted_) {
    tcp_flow_ = open_flow(TODD_TCP, 0, 0);
    tcp_->use(tcp_flow_);
  }
  for (int64_t i = 0; udp_wanted_ && i < (*this)[streams]; ++i)
    udp_flows_.push_back(open_flow(TODD_UDP, TODD_FF_RECV, 0));
  net().ready(&lane());
}

void Iperf::start_responder() {
  if (udp_wanted_) return open_udp(0);
  tcp_flow_ = open_flow(TODD_TCP, TODD_FF_LISTEN, 0);
  tcp_->use(tcp_flow_);
  tcp_->listen();
}

uint32_t Iperf::open_flow(int proto, int flags, uint16_t port) {
  todd_flow flow{};
  flow.proto = static_cast<uint16_t>(proto);
  flow.flags = static_cast<uint16_t>(flags);
  flow.local_port = port;
  flow.slot_cap = std::max(length_, kMessage);
  if (proto == TODD_UDP && run().role == TODD_RESPONDER)
    flow.slot_cap = std::max(udp_wanted_ ? length_ : 0, kLargestUsual);
  flow.slots =
      std::min(kSlotsPerStream * static_cast<uint32_t>((*this)[streams]) + kSlotsPerStream, kMaxSlots);
  if (proto == TODD_UDP) flow.slots = kMaxSlots;
  const uint32_t id = open(flow);
  if ((flags & TODD_FF_LISTEN) != 0 && proto == TODD_UDP && udp_wanted_) announce(flow.local_port);
  return id;
}

void Iperf::open_udp(uint16_t port) {
  udp_flows_.push_back(open_flow(TODD_UDP, TODD_FF_RECV | TODD_FF_LISTEN, port));
}

void Iperf::announce(uint16_t port) {
  announced_ = true;
  net().publish(&lane(), port);
  net().ready(&lane());
}

bool Iperf::step(todd_batch& b) {
  if (b.state == TODD_CANCELLED) return true;
  take(b);
  if (run().role == TODD_RESPONDER) {
    step_responder(b);
    return b.state == TODD_DRAINING;
  }
  if (b.state == TODD_RUNNING && !begun_) {
    if (b.now_ns >= b.start_ns) {
      begin(b.now_ns);
    } else {
      wake_by(b, b.start_ns);
    }
  }
  const bool stop = b.state == TODD_DRAINING;
  if (tcp_flow_ != TODD_NONE) tcp_->step(b, stop);
  udp_->step(b, stop);
  return (begun_ || stop) && tcp_->idle() && udp_->idle();
}

void Iperf::take(todd_batch& b) {
  for (uint32_t i = 0; i < b.n_done; ++i) {
    if (b.done[i].flow == tcp_flow_) {
      tcp_->take(b, b.done[i]);
    } else {
      udp_->take(b, b.done[i]);
    }
  }
}

void Iperf::step_responder(todd_batch& b) {
  if (tcp_flow_ != TODD_NONE) tcp_->step(b, false);
  udp_->step(b, false);
  if (announced_ || tcp_flow_ == TODD_NONE || tcp_->port() == 0) return;
  if (run().n_peer == 0) {
    // Stand-alone, nobody has said which protocol will come: the same port takes both if it can.
    try {
      open_udp(tcp_->port());
    } catch (const error& e) {
      log(1, std::string("tcp only: ") + e.what());
    }
  }
  announce(tcp_->port());
}

// All streams of all targets start together.
void Iperf::begin(int64_t now_ns) {
  begun_ = true;
  const auto n = static_cast<uint32_t>((*this)[streams]);
  uint64_t rate = static_cast<uint64_t>((*this)[bitrate]);
  if (rate == 0 && udp_wanted_) rate = kUdpBitrate;
  for (uint32_t t = 0; t < run().n_target; ++t) {
    Header h;
    h.reverse = (*this)[reverse];
    h.token = target(t).peer_token;
    h.session = fresh_number(this, run().run_id, static_cast<uint64_t>(now_ns) + t);
    h.length = length_;
    h.bitrate = rate == 0 ? 0 : std::max<uint64_t>(rate / n, 1);
    h.duration_ns = std::min(run().duration_ns > 0 ? run().duration_ns : kDurationNs, kMaxDurationNs);
    for (h.stream = 0; h.stream < n; ++h.stream) {
      if (udp_wanted_) {
        udp_->start(udp_flows_[h.stream], t, h, now_ns);
      } else {
        tcp_->connect(t, h);
      }
    }
  }
}

// ---- recording

void Iperf::add(Count what, uint32_t edge, uint64_t n) {
  if (edge == TODD_NONE || n == 0) return;
  switch (what) {
    case Count::kBytes: return count(bytes, edge, n);
    case Count::kTime: return count(time, edge, n);
    case Count::kSentBytes: return count(sent_bytes, edge, n);
    case Count::kSentTime: return count(sent_time, edge, n);
    case Count::kPackets: return count(packets, edge, n);
    case Count::kUnsent: return count(unsent, edge, n);
    case Count::kLost: return count(lost, edge, n);
    case Count::kOutOfOrder: return count(out_of_order, edge, n);
    case Count::kRetransmits: return count(retransmits, edge, n);
  }
}

void Iperf::set(Gauge what, uint32_t edge, double value) {
  if (edge == TODD_NONE) return;
  if (what == Gauge::kJitter) {
    testlet::set(jitter, edge, value);
  } else {
    testlet::set(tcp_rtt, edge, value);
  }
}

void Iperf::failure(uint32_t edge, const char* reason, std::string_view text) {
  if (edge == TODD_NONE) return;
  tally(errors, edge, reason);
  note(edge, reason, text);
}

bool Iperf::admit(uint64_t token, uint32_t& edge) {
  edge = net().peer(&lane(), token);
  return edge != TODD_NONE || run().n_peer == 0;  // in a run of agents, strangers are not served
}

bool Iperf::tcp_info(uint64_t stream, TcpInfo& out) {
  todd_stream_info facts{};
  facts.size = sizeof facts;
  if (net().stream_info(&lane(), stream, &facts) < 0) return false;
  out = {facts.retransmits, facts.rtt_us, facts.bytes_acked};
  return true;
}

}  // namespace todd::iperf
