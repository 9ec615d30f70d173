#pragma once
// The iperf testlet: throughput between two agents over TCP or UDP, as seen by both ends.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugins/iperf/meter.h"
#include "plugins/iperf/tcp.h"
#include "plugins/iperf/udp.h"
#include "todd/testlet.hpp"

namespace todd::iperf {

enum Protocol : int64_t { kTcp = 0, kUdp = 1 };

class Iperf final : public testlet<Iperf>, private Sink {
 public:
  static constexpr todd::info info{
      "iperf",
      "0.1.0",
      "TCP or UDP throughput, loss and jitter to a responder",
      TODD_SOURCE | TODD_RESPONDER,
      TODD_TF_HEAVY,
      TODD_TARGET_ENDPOINT,
      7501,
      0,
      "Fills the path between a source and a responder for the duration. Both ends record what they see: the "
      "receiver "
      "bytes and time, the sender what it handed over, retransmits and its RTT."};
  static constexpr todd::schedule schedule{nullptr, nullptr, nullptr, "10s", "10s"};
  static constexpr auto expect = todd::expect("throughput > 0");

  static constexpr auto protocol = todd::choice("protocol", "tcp", "tcp|udp", "what carries the bytes");
  static constexpr auto reverse =
      todd::boolean("reverse", "false", "the responder sends and the source receives");
  static constexpr auto streams =
      todd::integer("streams", "1", "streams side by side on each edge; at most 64 with udp")
          .range("1", "128");
  static constexpr auto length =
      todd::size(
          "length", "0",
          "bytes of a send or datagram, at least 64; 0: 128 KiB with tcp, less with a low bitrate, 1400 with "
          "udp")
          .range("0", "1Mi");
  static constexpr auto bitrate =
      todd::bitrate("bitrate", "0",
                    "of an edge, over all its streams; 0: as fast as it goes with tcp, 1 Mbit/s with udp")
          .range("0", "1T");
  static constexpr auto params = todd::params(&protocol, &reverse, &streams, &length, &bitrate);

  static constexpr auto bytes = todd::counter("bytes", "By", "bytes received");
  static constexpr auto time =
      todd::counter("received_time", "ns", "time of receiving, from the first byte on");
  static constexpr auto throughput =
      todd::ratio("throughput", "bit/s", "bytes", "received_time", "what the receiver got");
  static constexpr auto sent_bytes = todd::counter("sent_bytes", "By", "bytes the sender's system took");
  static constexpr auto sent_time =
      todd::counter("sent_time", "ns", "time of sending, from the first byte on");
  static constexpr auto sent_throughput =
      todd::ratio("sent_throughput", "bit/s", "sent_bytes", "sent_time", "what the sender handed over");
  static constexpr auto packets = todd::counter(
      "packets", "{packet}", "UDP datagrams that left: those received, and at the end those lost");
  static constexpr auto unsent = todd::counter(
      "unsent", "{packet}", "UDP datagrams that the sender's own system refused; never lost ones");
  static constexpr auto lost =
      todd::counter("lost", "{packet}", "UDP datagrams that never arrived, counted at the end");
  static constexpr auto packet_loss =
      todd::ratio("packet_loss", "1", "lost", "packets", "UDP datagrams lost of those that left");
  static constexpr auto out_of_order =
      todd::counter("out_of_order", "{packet}", "UDP datagrams that arrived after a later one");
  static constexpr auto jitter =
      todd::gauge("jitter", "ns", TODD_MERGE_MAX, "smoothed interarrival jitter, RFC 3550 section 6.4.1");
  static constexpr auto retransmits =
      todd::counter("retransmits", "{segment}", "TCP segments sent again, at the sender");
  static constexpr auto tcp_rtt =
      todd::gauge("tcp_rtt", "ns", TODD_MERGE_MAX, "smoothed round-trip time of TCP, at the sender");
  static constexpr auto errors =
      todd::breakdown("errors", "{stream}", "streams that failed, by reason")
          .keyed("refused|reset|closed|timeout|unreachable|no_summary|no_end|local");
  static constexpr auto metrics =
      todd::metrics(&bytes, &time, &throughput, &sent_bytes, &sent_time, &sent_throughput, &packets, &unsent,
                    &lost, &packet_loss, &out_of_order, &jitter, &retransmits, &tcp_rtt, &errors);

  static void check(const todd_run& run);
  void start();
  bool step(todd_batch& b);

 private:
  void start_responder();
  void begin(int64_t now_ns);
  void step_responder(todd_batch& b);
  void open_udp(uint16_t port);
  uint32_t open_flow(int proto, int flags, uint16_t port);
  void announce(uint16_t port);
  void take(todd_batch& b);

  void add(Count what, uint32_t edge, uint64_t n) override;
  void set(Gauge what, uint32_t edge, double value) override;
  void failure(uint32_t edge, const char* reason, std::string_view text) override;
  bool admit(uint64_t token, uint32_t& edge) override;
  bool tcp_info(uint64_t stream, TcpInfo& out) override;

  bool udp_wanted_ = false, begun_ = false, announced_ = false;
  uint32_t length_ = 0, tcp_flow_ = TODD_NONE;
  std::vector<uint32_t> udp_flows_;
  std::optional<Tcp> tcp_;
  std::optional<Udp> udp_;
};

}  // namespace todd::iperf
