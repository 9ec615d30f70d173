#include "plugins/iperf/probe.h"

#include <algorithm>
#include <functional>
#include <string_view>

namespace todd::iperf {

namespace {

constexpr int64_t kTcpLength = 128 * 1024, kSmallTcpLength = 256;
constexpr int64_t kSendsPerSecond = 100;  // so that a bit rate is kept over short times too
constexpr uint32_t kUdpLength = 1400;
constexpr uint32_t kMaxDatagram = 65507;
constexpr uint32_t kLargestUsual = 9000;  // a responder that is not told takes datagrams up to a jumbo frame
constexpr uint64_t kUdpBitrate = 1'000'000;
constexpr int64_t kS = 1'000'000'000;
constexpr int64_t kDurationNs = 10 * kS;
constexpr int64_t kTimeoutNs = 10 * kS;  // of a responder that is given none
constexpr int64_t kMaxUdpStreams = 64;   // each has a flow of its own, and a host opens 64
constexpr uint32_t kSlots = 256;
constexpr uint32_t kControlCap = 4096;  // the texts of the control connection leave in pieces of that

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

// The metric of a side: `of` picks its table.
template <class Of>
const auto& metric_of(bool back, size_t index, Of of) {
  return back ? of(Back{})[index] : of(Forward{})[index];
}

}  // namespace

void Iperf::check(const todd_run& run) {
  const bool udp = get(run, protocol) == kUdp;
  const int64_t bytes = get(run, length);
  if (udp && bytes != 0 && bytes < kMessage)
    throw error(TODD_E_PARAM, "length: a UDP datagram has at least 64 bytes here; or 0");
  if (udp && bytes > kMaxDatagram)
    throw error(TODD_E_PARAM, "length: a UDP datagram has at most 65507 bytes");
  const auto tcp_only = [udp](bool set, const char* name) {
    if (udp && set) throw error(TODD_E_PARAM, std::string(name) + ": with protocol tcp alone; leave it away");
  };
  tcp_only(get(run, bidir), "bidir");
  tcp_only(get(run, omit) != 0, "omit");
  tcp_only(get(run, bytes_wanted) != 0, "bytes");
  tcp_only(get(run, window) != 0, "window");
  tcp_only(get(run, mss) != 0, "mss");
  tcp_only(!get(run, congestion).empty(), "congestion");
  tcp_only(get(run, dscp) != 0, "dscp");
  tcp_only(get(run, zero_copy), "zero_copy");
  if (get(run, reverse) && get(run, bidir))
    throw error(TODD_E_PARAM, "bidir: it includes the way back; leave reverse away");
  if (run.role != TODD_SOURCE) return;
  if (udp && get(run, streams) > kMaxUdpStreams) throw error(TODD_E_PARAM, "streams: at most 64 with udp");
  if (get(run, omit) % kS != 0) throw error(TODD_E_PARAM, "omit: whole seconds, as the protocol has it");
  const int64_t timeout = run.timeout_ns > 0 ? run.timeout_ns : kTimeoutNs;
  if (get(run, omit) > timeout / 2)
    throw error(TODD_E_PARAM, "omit: at most half the timeout, which is for all beside the duration: give a larger "
                              "timeout");
}

void Iperf::start() {
  length_ = static_cast<uint32_t>((*this)[length]);
  congestion_ = std::string((*this)[congestion]);
  if (length_ == 0) length_ = udp() ? kUdpLength : usual_tcp_length((*this)[bitrate] / (*this)[streams]);
  Sink& sink = *this;
  udp_.emplace(sink, fresh_number(this, run().run_id, 1), run().role == TODD_RESPONDER);
  run().role == TODD_RESPONDER ? start_responder() : start_source();
}

uint32_t Iperf::open_tcp(bool listening, bool data) {
  todd_flow flow{};
  flow.proto = TODD_TCP;
  flow.flags = listening ? TODD_FF_LISTEN : 0;
  flow.slot_cap = kControlCap;
  flow.slots = kSlots;
  if (data) {
    flow.mss = static_cast<uint32_t>((*this)[mss]);
    flow.send_buffer = flow.receive_buffer = static_cast<uint32_t>((*this)[window]);
    flow.congestion = congestion_.empty() ? nullptr : congestion_.c_str();
  }
  return open(flow);
}

void Iperf::start_source() {
  for (int64_t i = 0; udp() && i < (*this)[streams]; ++i) udp_flows_.push_back(open_udp(0));
  if (!udp()) {
    control_flow_ = open_tcp(false, false);
    data_flow_ = open_tcp(false, true);
  }
  net().ready(&lane());
}

void Iperf::start_responder() {
  if (udp()) {
    udp_flows_.push_back(open_udp(0));
    return;
  }
  data_flow_ = open_tcp(true, true);
  const int64_t timeout = run().timeout_ns > 0 ? run().timeout_ns : kTimeoutNs;
  Services& services = *this;
  server_.emplace(services, Server::Settings{.flow = data_flow_, .timeout_ns = timeout});
  server_->listen();
}

uint32_t Iperf::open_udp(uint16_t port) {
  const bool responds = run().role == TODD_RESPONDER;
  todd_flow flow{};
  flow.proto = TODD_UDP;
  flow.flags = responds ? TODD_FF_RECV | TODD_FF_LISTEN : TODD_FF_RECV;
  flow.local_port = port;
  flow.slot_cap = std::max(length_, kMessage);
  if (responds) flow.slot_cap = std::max(udp() ? length_ : 0, kLargestUsual);
  flow.slots = kSlots;
  const uint32_t id = open(flow);
  if (responds && udp()) announce(flow.local_port);
  return id;
}

void Iperf::announce(uint16_t port) {
  net().publish(&lane(), port);
  net().ready(&lane());
}

// ---- steps

bool Iperf::step(todd_batch& b) {
  if (b.state == TODD_CANCELLED) {
    for (const auto& client : clients_) client->cancel(b.now_ns);
    return true;
  }
  take(b);
  return run().role == TODD_RESPONDER ? step_responder(b) : step_source(b);
}

void Iperf::take(todd_batch& b) {
  for (uint32_t i = 0; i < b.n_done; ++i) {
    const todd_done& d = b.done[i];
    if (d.code == TODD_OP_LISTEN) {
      listened(d);
    } else if (server_ && d.flow == data_flow_) {
      server_->take(b, d);
    } else if (run().role == TODD_SOURCE && !udp()) {
      if (const uint32_t n = Client::number_of(d.user); n < clients_.size()) clients_[n]->take(b, d);
    } else {
      udp_->take(b, d);
    }
  }
}

bool Iperf::step_source(todd_batch& b) {
  const bool stop = b.state == TODD_DRAINING;
  if (b.state == TODD_RUNNING && !begun_ && b.now_ns < b.start_ns) wake_by(b, b.start_ns);
  if (b.state == TODD_RUNNING && !begun_ && b.now_ns >= b.start_ns) {
    begun_ = true;
    udp() ? begin_udp(b.now_ns) : open_clients(b.now_ns);
  }
  bool over = begun_ || stop;
  for (const auto& client : clients_) {
    client->step(b, stop);
    over = over && client->over();
  }
  udp_->step(b, stop);
  return over && udp_->idle();
}

bool Iperf::step_responder(todd_batch& b) {
  const bool stop = b.state == TODD_DRAINING;
  if (server_ && stop) server_->stop(b.now_ns);
  if (server_) server_->step(b);
  udp_->step(b, false);
  return stop && (!server_ || server_->idle());
}

void Iperf::listened(const todd_done& d) {
  if (d.result < 0) throw error(d.result, std::string("cannot listen: ") + std::strerror(-d.result));
  if (run().n_peer == 0) {
    // Stand-alone, nobody has said which protocol will come: the same port takes both if it can.
    try {
      udp_flows_.push_back(open_udp(d.port));
    } catch (const error& e) {
      log(1, std::string("tcp only: ") + e.what());
    }
  }
  announce(d.port);
}

Params Iperf::asked_of(uint32_t target_index) const {
  const int64_t duration = run().duration_ns > 0 ? run().duration_ns : kDurationNs;
  Params p;
  p.reverse = (*this)[reverse];
  p.bidir = (*this)[bidir];
  p.omit_s = static_cast<uint32_t>((*this)[omit] / kS);
  p.time_s = static_cast<uint32_t>((duration + kS - 1) / kS);
  p.bytes = static_cast<uint64_t>((*this)[bytes_wanted]);
  p.streams = static_cast<uint32_t>((*this)[streams]);
  p.length = length_;
  const auto rate = static_cast<uint64_t>((*this)[bitrate]);
  p.bitrate = rate == 0 ? 0 : std::max<uint64_t>(rate / p.streams, 1);
  p.window = static_cast<uint32_t>((*this)[window]);
  p.mss = static_cast<uint32_t>((*this)[mss]);
  p.tos = static_cast<uint32_t>((*this)[dscp] << 2);
  p.no_delay = true;  // as the sockets of this end
  p.zero_copy = (*this)[zero_copy];
  p.congestion = congestion_;
  p.client_version = std::string("todd ") + info.version;
  p.todd = true;
  p.token = target(target_index).peer_token;
  return p;
}

// All targets start together.
void Iperf::open_clients(int64_t now_ns) {
  Services& services = *this;
  for (uint32_t t = 0; t < run().n_target; ++t) {
    Client::Settings s;
    s.number = s.target = t;
    s.control_flow = control_flow_;
    s.data_flow = data_flow_;
    s.params = asked_of(t);
    s.tos = static_cast<uint8_t>(s.params.tos);
    const auto now = static_cast<uint64_t>(now_ns);
    s.cookie = make_cookie(fresh_number(this, run().run_id, now + 2 * t),
                           fresh_number(this, run().run_id, now + 2 * t + 1));
    s.omit_ns = (*this)[omit];
    s.duration_ns = run().duration_ns > 0 ? run().duration_ns : kDurationNs;
    s.timeout_ns = run().timeout_ns > 0 ? run().timeout_ns : kTimeoutNs;
    clients_.push_back(std::make_unique<Client>(services, std::move(s)));
    clients_.back()->begin(now_ns);
  }
}

void Iperf::begin_udp(int64_t now_ns) {
  const auto n = static_cast<uint32_t>((*this)[streams]);
  uint64_t rate = static_cast<uint64_t>((*this)[bitrate]);
  if (rate == 0) rate = kUdpBitrate;
  for (uint32_t t = 0; t < run().n_target; ++t) {
    Header h;
    h.reverse = (*this)[reverse];
    h.token = target(t).peer_token;
    h.session = fresh_number(this, run().run_id, static_cast<uint64_t>(now_ns) + t);
    h.length = length_;
    h.bitrate = std::max<uint64_t>(rate / n, 1);
    h.duration_ns = std::min(run().duration_ns > 0 ? run().duration_ns : kDurationNs, kMaxDurationNs);
    for (h.stream = 0; h.stream < n; ++h.stream) udp_->start(udp_flows_[h.stream], t, h, now_ns);
  }
}

// ---- recording

void Iperf::add(bool back, Count what, uint32_t edge, uint64_t n) {
  if (edge == TODD_NONE || n == 0) return;
  count(metric_of(back, static_cast<size_t>(what), [](auto side) -> const auto& { return side.counts; }), edge, n);
}

void Iperf::set(bool back, Gauge what, uint32_t edge, double value) {
  if (edge == TODD_NONE) return;
  testlet::set(metric_of(back, static_cast<size_t>(what), [](auto side) -> const auto& { return side.gauges; }),
               edge, value);
}

void Iperf::limited(bool back, uint32_t edge, const char* by, uint64_t us) {
  if (edge != TODD_NONE) tally(back ? Back::limited : Forward::limited, edge, by, us);
}

void Iperf::controlled(bool back, uint32_t edge, std::string_view name) {
  if (edge != TODD_NONE) inform(back ? Back::congestion : Forward::congestion, edge, name);
}

void Iperf::used(uint32_t edge, double own, double peer) {
  if (edge == TODD_NONE) return;
  testlet::set(cpu, edge, own);
  testlet::set(peer_cpu, edge, peer);
}

void Iperf::failure(uint32_t edge, const char* reason, std::string_view text) {
  if (edge == TODD_NONE) return log(1, std::string(reason) + ": " + std::string(text));
  tally(errors, edge, reason);
  note(edge, reason, text);
}

bool Iperf::admit(uint64_t token, uint32_t& edge) {
  edge = net().peer(&lane(), token);
  return edge != TODD_NONE || run().n_peer == 0;  // in a run of agents, strangers are not served
}

todd_status Iperf::begin(uint32_t flow, uint64_t stream, const todd_bulk_job& job, uint64_t& number) {
  return begin_bulk(flow, stream, job, number);
}

bool Iperf::stream_info(uint64_t stream, todd_stream_info& out) { return net().stream_info(&lane(), stream, &out) >= 0; }

}  // namespace todd::iperf
