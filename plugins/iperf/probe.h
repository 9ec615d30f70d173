#pragma once
// The iperf testlet: throughput over TCP or UDP, as seen by both ends, which speak iperf3's protocol.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "plugins/iperf/client.h"
#include "plugins/iperf/meter.h"
#include "plugins/iperf/metrics.h"
#include "plugins/iperf/server.h"
#include "plugins/iperf/services.h"
#include "plugins/iperf/udp.h"
#include "todd/testlet.hpp"

namespace todd::iperf {

enum Protocol : int64_t { kTcp = 0, kUdp = 1 };

// All metrics of a side, as pointers.
template <class S>
constexpr auto metrics_of() {
  return std::tuple_cat(
      std::tuple{&S::throughput, &S::sent_throughput, &S::packet_loss, &S::limited, &S::congestion},
      std::apply([](const auto&... m) { return std::tuple{&m...}; }, S::counts),
      std::apply([](const auto&... m) { return std::tuple{&m...}; }, S::gauges));
}

class Iperf final : public testlet<Iperf>, private Services, private Sink {
 public:
  static constexpr todd::info info{
      "iperf",
      "0.2.0",
      "TCP or UDP throughput, loss and jitter to a responder or an iperf3",
      TODD_SOURCE | TODD_RESPONDER,
      TODD_TF_HEAVY | TODD_TF_BULK,
      TODD_TARGET_ENDPOINT,
      5201,
      0,
      "Fills the path between a source and a responder for the duration, by iperf3's protocol: either end may be "
      "an iperf3. Both ends tell what they saw: the receiver bytes and time, the sender what it handed over, "
      "retransmits, its RTT and what held it up."};
  static constexpr todd::schedule schedule{nullptr, nullptr, nullptr, "10s", "10s"};
  static constexpr auto expect = todd::expect("throughput > 0");

  static constexpr auto protocol = todd::choice("protocol", "tcp", "tcp|udp", "what carries the bytes");
  static constexpr auto reverse =
      todd::boolean("reverse", "false", "the responder sends and the source receives");
  static constexpr auto bidir =
      todd::boolean("bidir", "false", "both send at once; the way back is recorded as reverse_*");
  static constexpr auto streams =
      todd::integer("streams", "1", "streams side by side on each edge, in each direction; at most 64 with udp")
          .range("1", "128");
  static constexpr auto bitrate =
      todd::bitrate("bitrate", "0",
                    "of an edge in each direction, over all its streams; 0: as fast as it goes with tcp, 1 Mbit/s "
                    "with udp")
          .range("0", "1T");
  static constexpr auto omit =
      todd::duration("omit", "0s", "at the beginning, before the duration: what it brings does not count; whole "
                                   "seconds, at most half the timeout")
          .range("0s", "600s");
  static constexpr auto bytes_wanted =
      todd::size("bytes", "0", "ends when so many are sent in a direction; the duration is the limit then. 0: by "
                               "the duration alone")
          .range("0", "1000Ti");
  static constexpr auto length =
      todd::size("length", "0",
                 "bytes of a send or datagram; 0: 128 KiB with tcp, less with a low bitrate, 1400 with udp")
          .range("0", "1Mi");
  static constexpr auto window =
      todd::size("window", "0", "send and receive buffers of the sockets, TCP; 0: as the system sizes them")
          .range("0", "512Mi");
  static constexpr auto mss =
      todd::integer("mss", "0", "TCP's largest segment, bytes; 0: as the path has it").range("0", "9216");
  static constexpr auto congestion =
      todd::text("congestion", "", "TCP congestion control, such as cubic or bbr; empty: the system's")
          .matching("[a-z0-9_]{0,15}");
  static constexpr auto dscp =
      todd::integer("dscp", "0", "differentiated services code point of what the source sends").range("0", "63");
  static constexpr auto zero_copy =
      todd::boolean("zero_copy", "false", "the senders lend their pages to the kernel (sendfile), TCP");
  static constexpr auto params =
      todd::params(&protocol, &reverse, &bidir, &streams, &bitrate, &omit, &bytes_wanted, &length, &window, &mss,
                   &congestion, &dscp, &zero_copy);

  static constexpr auto errors =
      todd::breakdown("errors", "{test}", "tests that failed, by reason")
          .keyed("refused|unreachable|timeout|reset|closed|denied|terminated|protocol|malformed|too_large|"
                 "server_error|local|no_summary|no_end");
  static constexpr auto cpu = todd::gauge("cpu", "1", TODD_MERGE_MAX,
                                          "CPUs that the source's worker used, all its tests together");
  static constexpr auto peer_cpu =
      todd::gauge("peer_cpu", "1", TODD_MERGE_MAX, "CPUs that the responder used, by its own word");
  static constexpr auto metrics = std::apply(
      [](auto*... m) { return todd::metrics(m..., &errors, &cpu, &peer_cpu); },
      std::tuple_cat(metrics_of<Forward>(), metrics_of<Back>()));

  static void check(const todd_run& run);
  void start();
  bool step(todd_batch& b);

 private:
  bool udp() const { return (*this)[protocol] == kUdp; }
  void start_source();
  void start_responder();
  void open_clients(int64_t now_ns);
  void begin_udp(int64_t now_ns);
  Params asked_of(uint32_t target) const;
  uint32_t open_tcp(bool listening, bool data);
  uint32_t open_udp(uint16_t port);
  void listened(const todd_done& d);
  void announce(uint16_t port);
  void take(todd_batch& b);
  bool step_source(todd_batch& b);
  bool step_responder(todd_batch& b);

  void add(bool back, Count what, uint32_t edge, uint64_t n) override;
  void set(bool back, Gauge what, uint32_t edge, double value) override;
  void limited(bool back, uint32_t edge, const char* by, uint64_t us) override;
  void used(uint32_t edge, double own, double peer) override;
  void controlled(bool back, uint32_t edge, std::string_view name) override;
  void failure(uint32_t edge, const char* reason, std::string_view text) override;
  bool admit(uint64_t token, uint32_t& edge) override;
  todd_status begin(uint32_t flow, uint64_t stream, const todd_bulk_job& job, uint64_t& number) override;
  todd_bulk_count counted(uint64_t job) override { return bulk_count(job); }
  void stop(uint64_t job) override { bulk().stop(&lane(), job); }
  bool stream_info(uint64_t stream, todd_stream_info& out) override;
  void add(Count what, uint32_t edge, uint64_t n) override { add(false, what, edge, n); }
  void set(Gauge what, uint32_t edge, double value) override { set(false, what, edge, value); }

  uint32_t length_ = 0, control_flow_ = TODD_NONE, data_flow_ = TODD_NONE;
  std::string congestion_;  // as C text
  bool begun_ = false;
  std::vector<std::unique_ptr<Client>> clients_;
  std::optional<Server> server_;
  std::vector<uint32_t> udp_flows_;
  std::optional<Udp> udp_;
};

}  // namespace todd::iperf
