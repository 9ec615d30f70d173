#include "plugins/iperf/ledger.h"

#include <algorithm>
#include <cmath>

namespace todd::iperf {
namespace {

constexpr std::array kLimits{"network", "receive_window", "send_buffer", "pacing", "host"};
constexpr double kS = 1e9;

uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

}  // namespace

template <class T>
uint64_t Ledger::sum(T todd_bulk_count::* of) const {
  uint64_t total = 0;
  for (const Stream& s : streams_)
    total += less(static_cast<uint64_t>(s.count.*of), static_cast<uint64_t>(s.before.*of));
  return total;
}

template <class T>
uint64_t Ledger::sum(T todd_stream_info::* of) const {
  uint64_t total = 0;
  for (const Stream& s : streams_) total += less(s.info.*of, s.info_before.*of);
  return total;
}

void Ledger::informed(size_t stream, const todd_stream_info& info) {
  streams_.at(stream).info = info;
  congestion_ = info.congestion;
  informed_ = news_ = true;
}

void Ledger::early(size_t stream, uint64_t bytes, int64_t now_ns) {
  streams_.at(stream).early += bytes;
  if (first_ns_ == 0) first_ns_ = until_ns_ = now_ns;
}

void Ledger::begin(int64_t now_ns) {
  counting_ = true;
  from_ns_ = now_ns;
  first_ns_ = until_ns_ = 0;
  for (Stream& s : streams_) {
    s.before = s.count;
    s.info_before = s.info;
    s.early_before = s.early;
  }
}

uint64_t Ledger::bytes() const {
  uint64_t total = 0;
  for (const Stream& s : streams_) total += s.bytes();
  return total;
}

uint64_t Ledger::received() const {
  uint64_t total = 0;
  for (const Stream& s : streams_) total += s.count.bytes + s.early;
  return total;
}

void Ledger::tell(Count what, uint64_t total) {
  uint64_t& told = told_[static_cast<size_t>(what)];
  if (total <= told) return;
  services_.add(of_.back, what, of_.edge, total - told);
  told = total;
}

void Ledger::tell(int64_t now_ns) {
  if (!counting_) return;
  int64_t last_ns = now_ns;
  for (const Stream& s : streams_) {
    last_ns = std::max(last_ns, s.count.last_ns);
    if (s.count.first_ns == 0) continue;
    const int64_t first_ns = std::max(s.count.first_ns, from_ns_);
    if (first_ns_ == 0 || first_ns < first_ns_) first_ns_ = first_ns;
  }
  if (first_ns_ != 0) until_ns_ = std::max({until_ns_, last_ns, first_ns_});
  const auto time = static_cast<uint64_t>(time_ns());
  tell(of_.sending ? Count::kSentTime : Count::kTime, time);
  tell(of_.sending ? Count::kSentBytes : Count::kBytes, bytes());
  of_.sending ? tell_sent() : tell_received();
}

void Ledger::tell_sent() {
  tell(Count::kStalls, sum(&todd_bulk_count::stalls));
  tell(Count::kZeroCopied, sum(&todd_bulk_count::zero_copied));
  tell(Count::kUnsent, sum(&todd_bulk_count::refused));
  if (of_.paced) {
    int64_t late_ns = 0;
    for (const Stream& s : streams_) late_ns = std::max(late_ns, s.count.late_ns);
    services_.set(of_.back, Gauge::kLateness, of_.edge, static_cast<double>(late_ns));
  }
  if (!news_) return;
  news_ = false;
  tell(Count::kRetransmits, sum(&todd_stream_info::retransmits));
  uint32_t rtt = 0, variance = 0, least = UINT32_MAX, mss = UINT32_MAX;
  uint64_t window = 0, rate = 0;
  for (const Stream& s : streams_) {
    rtt = std::max(rtt, s.info.rtt_us);
    variance = std::max(variance, s.info.rttvar_us);
    least = std::min(least, s.info.min_rtt_us);
    mss = std::min(mss, s.info.mss);
    window += uint64_t{s.info.cwnd} * s.info.mss;
    rate += s.info.delivery_rate;
  }
  const auto set = [this](Gauge what, auto value) {
    services_.set(of_.back, what, of_.edge, static_cast<double>(value));
  };
  set(Gauge::kRtt, rtt * 1e3);
  set(Gauge::kRttVariance, variance * 1e3);
  set(Gauge::kMinRtt, least * 1e3);
  set(Gauge::kMss, mss);
  set(Gauge::kWindow, window);
  set(Gauge::kDeliveryRate, rate * 8);
  tell_limits();
}

// The kernel knows while it had bytes to send, and of that time the part in which the receiver's window or
// its own buffer was full; the rest of it the path's congestion control held it up. While it had none, the
// test did.
void Ledger::tell_limits() {
  const uint64_t busy = sum(&todd_stream_info::busy_us);
  const uint64_t window = sum(&todd_stream_info::receive_window_limited_us);
  const uint64_t buffer = sum(&todd_stream_info::send_buffer_limited_us);
  const uint64_t idle = less(static_cast<uint64_t>(time_ns()) / 1000 * streams_.size(), busy);
  const std::array<uint64_t, kLimits.size()> now{less(busy, window + buffer), window, buffer,
                                                 of_.paced ? idle : 0, of_.paced ? 0 : idle};
  for (size_t i = 0; i < now.size(); ++i) {
    if (now[i] <= limits_told_[i]) continue;
    services_.limited(of_.back, of_.edge, kLimits[i], now[i] - limits_told_[i]);
    limits_told_[i] = now[i];
  }
}

void Ledger::tell_received() {
  if (!of_.udp) return;
  tell(Count::kPackets, less(sum(&todd_bulk_count::datagrams), sum(&todd_bulk_count::duplicates)));
  tell(Count::kOutOfOrder, sum(&todd_bulk_count::out_of_order));
  tell(Count::kDuplicates, sum(&todd_bulk_count::duplicates));
  tell(Count::kLossBursts, sum(&todd_bulk_count::bursts));
  tell(Count::kDropped, sum(&todd_bulk_count::dropped));
  uint64_t jitter = 0, burst = 0;
  for (const Stream& s : streams_) {
    jitter = std::max(jitter, s.count.jitter_ns);
    burst = std::max(burst, s.count.longest_burst);
  }
  services_.set(of_.back, Gauge::kJitter, of_.edge, static_cast<double>(jitter));
  services_.set(of_.back, Gauge::kLongestBurst, of_.edge, static_cast<double>(burst));
}

void Ledger::close() {
  if (!counting_) return;
  if (of_.sending && informed_) services_.controlled(of_.back, of_.edge, congestion_);
  if (of_.sending) return;
  if (of_.udp) {
    tell(Count::kPackets, sum(&todd_bulk_count::highest));
    tell(Count::kLost, sum(&todd_bulk_count::lost));
  }
  record_fairness(services_, of_.back, of_.edge, results());
}

std::vector<StreamResult> Ledger::results() const {
  std::vector<StreamResult> out;
  for (const Stream& s : streams_) {
    StreamResult r;
    r.bytes = s.bytes();
    r.end_s = static_cast<double>(time_ns()) / kS;
    r.time_ns = static_cast<uint64_t>(time_ns());
    if (of_.sending) {
      r.packets = of_.udp ? s.count.datagrams : 0;
      r.omitted_packets = of_.udp ? s.before.datagrams : 0;
      r.unsent = s.count.refused - s.before.refused;
    } else if (of_.udp) {
      r.jitter_s = static_cast<double>(s.count.jitter_ns) / kS;
      r.lost = s.count.lost;
      r.omitted_lost = s.before.lost;
      r.packets = s.count.highest;
      r.omitted_packets = s.before.highest;
      r.out_of_order = s.count.out_of_order - s.before.out_of_order;
      r.duplicates = s.count.duplicates - s.before.duplicates;
      r.bursts = s.count.bursts - s.before.bursts;
      r.longest_burst = s.count.longest_burst;
    }
    if (of_.sending && informed_) {
      r.retransmits = s.info.retransmits - s.info_before.retransmits;
      r.rtt_us = s.info.rtt_us;
      r.rttvar_us = s.info.rttvar_us;
      r.min_rtt_us = s.info.min_rtt_us;
      r.cwnd = s.info.cwnd;
      r.delivery_rate = s.info.delivery_rate;
      r.busy_us = s.info.busy_us - s.info_before.busy_us;
      r.receive_window_us = s.info.receive_window_limited_us - s.info_before.receive_window_limited_us;
      r.send_buffer_us = s.info.send_buffer_limited_us - s.info_before.send_buffer_limited_us;
    }
    out.push_back(r);
  }
  return out;
}

// ---- the peer's

namespace {

// iperf3 tells seconds, ToDD also its own ns.
uint64_t time_of(const StreamResult& s) {
  if (s.time_ns != 0) return s.time_ns;
  const double seconds = s.end_s - s.start_s;
  return seconds > 0 && seconds < kS ? static_cast<uint64_t>(std::llround(seconds * kS)) : 0;
}

}  // namespace

void record_sender(Services& services, bool back, uint32_t edge, const std::vector<StreamResult>& streams) {
  uint64_t bytes = 0, time = 0, retransmits = 0, unsent = 0;
  uint32_t rtt = 0, variance = 0, least = UINT32_MAX;
  for (const StreamResult& s : streams) {
    bytes += s.bytes;
    time = std::max(time, time_of(s));
    retransmits += s.retransmits.value_or(0);
    unsent += s.unsent;
    rtt = std::max(rtt, s.rtt_us);
    variance = std::max(variance, s.rttvar_us);
    if (s.min_rtt_us != 0) least = std::min(least, s.min_rtt_us);
  }
  services.add(back, Count::kSentBytes, edge, bytes);
  services.add(back, Count::kSentTime, edge, time);
  services.add(back, Count::kRetransmits, edge, retransmits);
  services.add(back, Count::kUnsent, edge, unsent);
  if (rtt == 0) return;  // iperf3 does not tell
  services.set(back, Gauge::kRtt, edge, rtt * 1e3);
  services.set(back, Gauge::kRttVariance, edge, variance * 1e3);
  if (least != UINT32_MAX) services.set(back, Gauge::kMinRtt, edge, least * 1e3);
}

void record_receiver(Services& services, bool back, uint32_t edge, bool udp,
                     const std::vector<StreamResult>& streams) {
  uint64_t bytes = 0, time = 0, packets = 0, lost = 0, out_of_order = 0, duplicates = 0, bursts = 0,
           longest = 0;
  double jitter = 0;
  for (const StreamResult& s : streams) {
    bytes += s.bytes;
    time = std::max(time, time_of(s));
    packets += less(s.packets, s.omitted_packets);
    lost += less(s.lost, s.omitted_lost);
    out_of_order += s.out_of_order;
    duplicates += s.duplicates;
    bursts += s.bursts;
    longest = std::max(longest, s.longest_burst);
    jitter = std::max(jitter, s.jitter_s);
  }
  services.add(back, Count::kBytes, edge, bytes);
  services.add(back, Count::kTime, edge, time);
  record_fairness(services, back, edge, streams);
  if (!udp) return;
  services.add(back, Count::kPackets, edge, packets);
  services.add(back, Count::kLost, edge, lost);
  services.add(back, Count::kOutOfOrder, edge, out_of_order);
  services.add(back, Count::kDuplicates, edge, duplicates);
  services.add(back, Count::kLossBursts, edge, bursts);
  services.set(back, Gauge::kLongestBurst, edge, static_cast<double>(longest));
  services.set(back, Gauge::kJitter, edge, std::round(jitter * kS));
}

void record_fairness(Services& services, bool back, uint32_t edge, const std::vector<StreamResult>& streams) {
  if (streams.size() < 2) return;
  double sum = 0, squares = 0;
  for (const StreamResult& s : streams) {
    const auto bytes = static_cast<double>(s.bytes);
    sum += bytes;
    squares += bytes * bytes;
  }
  if (squares == 0) return;
  services.set(back, Gauge::kFairness, edge, sum * sum / (static_cast<double>(streams.size()) * squares));
}

}  // namespace todd::iperf
