#pragma once
// The ping testlet: one echo per ticket as a source, an UDP echo service as a responder.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "plugins/ping/doors.h"
#include "plugins/ping/flows.h"
#include "plugins/ping/heard.h"
#include "plugins/ping/loss.h"
#include "plugins/ping/one_way.h"
#include "plugins/ping/payload.h"
#include "plugins/ping/proof.h"
#include "plugins/ping/replays.h"
#include "plugins/ping/split.h"
#include "plugins/ping/wire.h"
#include "todd/testlet.hpp"

namespace todd::ping {

enum Mode : int64_t { kIcmp = 0, kUdp = 1, kTcp = 2 };

class Ping : public testlet<Ping> {
 public:
  static constexpr todd::info info{"ping",
                                   "0.1.0",
                                   "round-trip time and loss of ICMP or UDP echoes, or of TCP handshakes",
                                   TODD_SOURCE | TODD_RESPONDER,
                                   TODD_TF_PROBES | TODD_TF_TICKETS | TODD_TF_WARMS_UP,
                                   TODD_TARGET_HOST,
                                   0,
                                   TODD_NEED_RAW,
                                   "Sends one echo request per target and interval and measures when its "
                                   "reply comes back. Mode udp needs an echo "
                                   "service at the target: an agent, or `todd serve ping`. Mode tcp opens a "
                                   "connection to a port and closes it.",
                                   "mode=icmp"};
  static constexpr todd::schedule schedule{"10", "1s", nullptr, nullptr, "1s"};
  static constexpr auto expect = todd::expect("loss < 100%");

  static constexpr auto mode = todd::choice(
      "mode", "icmp", "icmp|udp|tcp", "what is sent: ICMP echoes, UDP to a responder, or SYNs to a TCP port");
  static constexpr auto size =
      todd::size("size", "56",
                 "payload of a probe without any header, as in ping -s; at least 8 with udp, 40 with a key")
          .range("0", "65507");
  static constexpr auto ttl =
      todd::integer("ttl", "0", "TTL or hop limit of the probes; 0 leaves it to the system")
          .range("0", "255");
  static constexpr auto dscp = todd::integer("dscp", "0", "DSCP of the probes").range("0", "63");
  static constexpr auto pattern =
      todd::text("payload", "increment",
                 "content of a probe: increment, zero, random, or up to 16 bytes in hex, repeated")
          .matching("increment|zero|random|([0-9a-fA-F]{2}){1,16}");
  static constexpr auto sizes =
      todd::text(
          "sizes", "",
          "sizes that the rounds go through instead of one: 64,512,1400 or 56..1400/100, FIRST..LAST/STEP")
          .matching("([0-9]+([.][.][0-9]+/[0-9]+)?(,[0-9]+([.][.][0-9]+/[0-9]+)?)*)?");
  static constexpr auto one_way = todd::boolean(
      "one_way", "true",
      "with udp and at least 56 bytes (88 with a key): 48 ask the responder when and how many probes came");
  static constexpr auto ident =
      todd::integer("ident", "0", "with icmp: the ident of the echoes; 0 is a random one that is free")
          .range("0", "65535");
  static constexpr auto flows =
      todd::integer("flows", "1", "with udp and tcp: source ports that the rounds go through in turn")
          .range("1", "64");
  static constexpr auto source_port =
      todd::text("source_port", "", "with udp and tcp: the first of them, or all: 40000 or 40000-40015")
          .matching("([0-9]{1,5}(-[0-9]{1,5})?)?");
  static constexpr auto until_answer =
      todd::boolean("until_answer", "false", "send no more to a target once it has answered");
  static constexpr auto key =
      todd::text("key", "",
                 "with udp: shared by both ends; a probe and its reply count only if their HMAC proves it")
          .secret();
  static constexpr auto params = todd::params(&mode, &size, &ttl, &dscp, &pattern, &sizes, &one_way, &ident,
                                              &flows, &source_port, &until_answer, &key);

  static constexpr auto rtt =
      todd::histogram("rtt", "ns", "from a probe's departure to the arrival of its reply");
  static constexpr auto jitter =
      todd::histogram("jitter", "ns", "absolute difference of the round-trip times of two consecutive probes")
          .only_total();
  static constexpr auto jitter_p95_p50 =
      todd::spread("jitter_p95_p50", &rtt, 0.50, 0.95, "p95 of rtt less its median").only_total();
  static constexpr auto pdv_p50 =
      todd::spread("pdv_p50", &rtt, 0, 0.50, "median of rtt less the least, as PDV of RFC 5481").only_total();
  static constexpr auto pdv_p99 =
      todd::spread("pdv_p99", &rtt, 0, 0.99, "p99 of rtt less the least, as PDV of RFC 5481").only_total();
  static constexpr auto icmp_errors =
      todd::breakdown("icmp_errors", "{error}", "ICMP errors that answered probes, by kind")
          .keyed(kIcmpErrorNames);
  static constexpr auto reply_ttl =
      todd::gauge("ttl", "1", TODD_MERGE_LAST, "TTL or hop limit of the last reply as it arrived");
  static constexpr auto corrupted =
      todd::counter(
          "corrupted", "{reply}",
          "replies whose payload is not what was sent: changed, cut or longer; answers all the same")
          .only_total();
  static constexpr auto by_size =
      todd::breakdown("by_size", "{probe}",
                      "with param sizes: what became of the probes of each, 1400_received and 1400_lost");
  static constexpr auto jitter_rfc3550 =
      todd::gauge("jitter_rfc3550", "ns", TODD_MERGE_LAST,
                  "smoothed difference of the round-trip times of consecutive replies in the order they "
                  "came, RFC 3550 6.4.1")
          .only_total();
  static constexpr auto reordered =
      todd::counter("reordered", "{reply}", "replies that came after the reply to a later probe, RFC 4737")
          .only_total();
  static constexpr auto reorder_extent =
      todd::histogram("reorder_extent", "{probe}",
                      "how many rounds a reordered reply was behind the latest one answered")
          .only_total();
  static constexpr auto ttl_min =
      todd::gauge("ttl_min", "1", TODD_MERGE_MIN, "least TTL or hop limit of a reply, once it has changed")
          .only_total();
  static constexpr auto ttl_max =
      todd::gauge("ttl_max", "1", TODD_MERGE_MAX, "greatest TTL or hop limit of a reply, once it has changed")
          .only_total();
  static constexpr auto ttl_changes =
      todd::counter("ttl_changes", "{reply}", "replies whose TTL differs from that of the reply before")
          .only_total();
  static constexpr auto hops = todd::gauge("hops", "{hop}", TODD_MERGE_LAST,
                                           "estimated hops of the way back, from the second reply on: the "
                                           "next of 32, 64, 128, 255 less the TTL")
                                   .only_total();
  static constexpr auto loss_bursts =
      todd::counter("loss_bursts", "{burst}",
                    "sequences of lost probes with no answered one between, RFC 3357")
          .only_total();
  static constexpr auto longest_loss_burst =
      todd::gauge("longest_loss_burst", "{probe}", TODD_MERGE_MAX, "probes of the longest of them")
          .only_total();
  static constexpr auto outage = todd::gauge("outage", "ns", TODD_MERGE_MAX,
                                             "longest time from the departure of the first probe of a burst "
                                             "to that of the next answered one, or of the last lost")
                                     .only_total();
  static constexpr auto icmp_senders = todd::breakdown(
      "icmp_senders", "{error}", "ICMP errors that answered probes, by the address that sent them");
  static constexpr auto mtu = todd::gauge("mtu", "By", TODD_MERGE_LAST,
                                          "MTU that the last packet_too_big (fragmentation needed) reported")
                                  .only_total();
  static constexpr auto path_mtu =
      todd::gauge("path_mtu", "By", TODD_MERGE_MAX,
                  "with df set: the largest IP packet, headers included, that was answered")
          .only_total();
  static constexpr auto connect_errors =
      todd::breakdown("connect_errors", "{error}",
                      "mode tcp: handshakes that failed: refused, reset, timeout, unreachable")
          .keyed("refused|reset|timeout|unreachable");
  static constexpr auto rtt_corrected =
      todd::histogram(
          "rtt_corrected", "ns",
          "from when a probe was due to the arrival of its reply: rtt and what this host was late")
          .only_total();
  static constexpr auto delay_forward =
      todd::histogram("delay_forward", "ns",
                      "mode udp: from a probe's departure to its arrival at the responder")
          .only_total();
  static constexpr auto delay_back =
      todd::histogram("delay_back", "ns", "mode udp: from the responder's reply to its arrival here")
          .only_total();
  static constexpr auto processing =
      todd::histogram("processing", "ns", "mode udp: from a probe's arrival at the responder to its reply")
          .only_total();
  static constexpr auto clock_error =
      todd::gauge("clock_error", "ns", TODD_MERGE_MAX,
                  "mode udp: by how much delay_forward may be wrong one way and delay_back the other")
          .only_total();
  static constexpr auto lost_forward =
      todd::counter("lost_forward", "{probe}",
                    "mode udp: lost probes that the responder misses, of those it can tell")
          .only_total();
  static constexpr auto lost_back =
      todd::counter("lost_back", "{probe}",
                    "mode udp: lost probes that the responder has seen, of those it can tell")
          .only_total();
  static constexpr auto flow_sent = todd::breakdown(
      "flow_sent", "{probe}", "with several flows: probes that were answered or lost, by source port");
  static constexpr auto flow_lost =
      todd::breakdown("flow_lost", "{probe}", "with several flows: lost probes, by source port");
  static constexpr auto reply_dscp = todd::breakdown(
      "reply_dscp", "{reply}",
      "replies by their DSCP as they arrived, with ect0, ect1 or ce behind where ECN is not 0; replies with "
      "neither count only where dscp is given");
  static constexpr auto forged =
      todd::counter(
          "forged", "{reply}",
          "with a key: what looked like the reply to a probe and was none, as its HMAC is not of the key")
          .only_total();
  static constexpr auto metrics = todd::metrics(
      &rtt, &jitter, &icmp_errors, &reply_ttl, &corrupted, &by_size, &jitter_rfc3550, &reordered,
      &reorder_extent, &ttl_min, &ttl_max, &ttl_changes, &hops, &loss_bursts, &longest_loss_burst, &outage,
      &icmp_senders, &mtu, &connect_errors, &rtt_corrected, &delay_forward, &delay_back, &processing,
      &clock_error, &lost_forward, &lost_back, &flow_sent, &flow_lost, &reply_dscp, &jitter_p95_p50, &pdv_p50,
      &pdv_p99, &path_mtu, &forged);

  static void check(const todd_run& run);
  void start();
  bool step(todd_batch& b);
  bool judge(uint64_t user, uint32_t target, std::string_view bytes);

 private:
  // What is remembered of a target between two probes. Sized once: 24 bytes per target.
  struct Target {
    int64_t rtt_ns = 0;  // of the reply to `round`
    uint32_t round = 0;  // the latest that was answered
    // RFC 3550: of the reply that came last, and of all of them. 24 bits are plenty for what is smoothed.
    float last_rtt_ns = 0, jitter_ns = 0;
    uint8_t ttl = 0, ttl_min = 0, ttl_max = 0;  // of replies; 0 = none yet
    uint8_t family : 4 = 0;                     // 0 = not known yet
    bool has_port : 1 = false, answered : 1 = false, twice : 1 = false, lossy : 1 = false;
  };
  static_assert(sizeof(Target) == 24);

  static uint64_t random_number();
  void start_source();
  void begin_counting();
  void learn_lengths();
  uint32_t length_of(uint32_t round) const {
    return sweeps_ ? length_[round % static_cast<uint32_t>(length_.size())] : length_.front();
  }
  void tally_size(uint32_t target, uint32_t round, const char* became);
  // Of mode tcp: what answers whom is found by the place among those under way.
  struct Handshake {
    uint32_t target = 0, round = 0;
    int64_t due_ns = 0;
  };

  void check_ports();
  void open_flows(todd_flow flow);
  uint32_t flow_at(uint32_t round) const { return round % static_cast<uint32_t>(flows_.size()); }
  void count_flow(uint32_t target, uint32_t round, bool lost);
  void tell_worst_flows();
  void open_streams();
  void connect_tickets(todd_batch& b);
  void finish_connect(const todd_done& d);
  // A ticket that came in the same batch as the answer is passed over.
  bool needs_no_more(uint32_t target) const { return until_answer_ && targets_[target].answered; }
  void probe_tickets(todd_batch& b);
  void learn(Target& t, uint32_t index);
  void finish_probe(const todd_batch& b, const todd_done& d);
  void take_whole(const todd_done& d, uint32_t target, uint32_t round);
  void take_reply(const todd_done& d, uint32_t target, uint32_t round, int64_t due_ns);
  void take_jitter(Target& t, uint32_t target, uint32_t round, int64_t rtt_ns);
  void take_order(Target& t, const todd_done& d, uint32_t target, uint32_t round, int64_t rtt_ns);
  void settle_losses(int64_t now_ns, bool end);
  void record(uint32_t target, const LossPattern::Change& change);
  void take_dscp(uint32_t target, uint8_t tos);
  void take_ttl(Target& t, uint32_t target, uint8_t now);
  void take_second(Target& t, uint32_t target);
  void check_echo(const todd_batch& b, const todd_done& d, uint32_t target, uint32_t round);
  uint32_t write_probe(uint8_t* to, uint16_t family, uint32_t target, uint32_t round) const;
  void take_icmp_error(const todd_batch& b, const todd_done& d, uint32_t target);
  // A responder (responder.cc).
  void start_responder();
  bool step_responder(todd_batch& b);
  void let_in(todd_batch& b);
  void echo(todd_batch& b);
  void write_reply(const todd_batch& b, const todd_done& d, uint8_t* reply);
  void not_echoed(const char* why);
  void tell_refused();
  // With a key (keyed.cc).
  void open_key();
  uint32_t proof_bytes() const { return keyed_ ? kProofBytes : 0; }
  using Hmac = std::array<uint8_t, kHmacBytes>;
  Hmac hmac_of(std::span<const uint8_t> bytes) const;
  void prove(std::span<uint8_t> message, const Proof& proof) const;
  bool is_proven(std::span<const uint8_t> message, Way way) const;
  Proof proof_of(uint32_t target, uint32_t round) const;
  bool admit(std::span<const uint8_t> request);
  void tell_silent();
  // What a responder reports (ways.cc).
  bool has_block(uint32_t length) const { return length >= kUdpKey + kBlockBytes + proof_bytes(); }
  bool asks(uint32_t length) const { return split_ && has_block(length); }
  void open_ways();
  void split_ways();
  void watch_clock(const todd_batch& b);
  PathClock& clock_of(uint32_t target, const BlockAnswer& answer);
  void record(uint32_t target, LossSplit::Change change);
  // A stream is what one port sends to one target: the round of a probe within it, and the stream.
  size_t stream_at(uint32_t target, uint32_t round) const {
    return size_t{target} * flows_.size() + flow_at(round);
  }
  uint32_t round_in_stream(uint32_t round) const { return round / static_cast<uint32_t>(flows_.size()); }
  void take_block(const todd_batch& b, const todd_done& d, uint32_t target, uint32_t round);
  bool block_damaged(const todd_batch& b, const todd_done& d) const;
  void fill_block(const todd_batch& b, const todd_done& d, uint8_t* reply);

  uint32_t flow_ = TODD_NONE;  // the first; TODD_NONE: nothing to do (responder in mode icmp)
  struct Flow {
    uint32_t id;
    uint16_t port;
  };
  std::vector<Flow> flows_;              // of a source, one port each
  std::optional<FlowTable> flow_table_;  // with several
  Mode mode_ = kIcmp;
  Doors doors_;  // mode tcp
  uint8_t ttl_ = 0, tos_ = 0;
  uint32_t in_flight_ = 0;
  bool paced_ = false;  // probes have times at which they are due
  bool until_answer_ = false;
  bool warming_up_ = false;
  std::vector<Handshake> handshakes_;  // mode tcp: kMaxConnecting of them
  std::vector<uint32_t> free_handshakes_;
  uint64_t not_echoed_ = 0;  // responder: datagrams that found no room for a reply
  std::array<uint8_t, kIcmpHeader> header4_{}, header6_{};
  Payload payload_;
  std::vector<uint32_t> length_;  // of the probes of one round after the other, from the header on
  bool sweeps_ = false;
  std::vector<Target> targets_;
  std::vector<uint32_t> largest_;      // with df set: bytes of the largest packet each target has answered
  std::optional<LossPattern> losses_;  // of a source

  // Mode udp with one_way: 80 bytes of each target.
  uint32_t clock_number_ = 0;
  std::optional<LossSplit> split_;
  std::vector<PathClock> clocks_;
  int64_t wall_minus_host_ns_ = 0, wall_read_ns_ = 0;
  int64_t clock_set_ns_ = INT64_MIN;  // when somebody last set this host's clock
  std::optional<Heard> heard_;        // of a responder

  // With a key.
  bool keyed_ = false;
  uint32_t hmac_ = 0;                        // the digest that makes them
  uint64_t session_ = 0, warm_session_ = 0;  // of a source: the first of its streams, now and in the warm-up
  std::optional<Replays> replays_;           // of a responder
  uint64_t refused_ = 0, copies_ = 0;
};

}  // namespace todd::ping
