#pragma once
// What the testlet records. A test in both directions at once has two sides: the way forward is recorded as
// any test is, the way back under names that begin with reverse_.

#include <array>
#include <cstdint>

#include "todd/testlet.hpp"

namespace todd::iperf {

enum class Count : uint8_t {
  kBytes,
  kTime,
  kSentBytes,
  kSentTime,
  kUndelivered,
  kRetransmits,
  kZeroCopied,
  kStalls,
  kPackets,
  kLost,
  kOutOfOrder,
  kDuplicates,
  kLossBursts,
  kDropped,
  kUnsent
};
inline constexpr size_t kCounts = static_cast<size_t>(Count::kUnsent) + 1;
enum class Gauge : uint8_t {
  kRtt,
  kMinRtt,
  kRttVariance,
  kWindow,
  kDeliveryRate,
  kMss,
  kLateness,
  kJitter,
  kLongestBurst,
  kFairness
};
inline constexpr size_t kGauges = static_cast<size_t>(Gauge::kFairness) + 1;

// A name that is put together when this is compiled.
template <size_t N>
struct Text {
  char chars[N];
  constexpr Text(const char (&text)[N]) {  // NOLINT(google-explicit-constructor): of literals
    for (size_t i = 0; i < N; ++i) chars[i] = text[i];
  }
};
template <Text A, Text B>
inline constexpr auto kJoined = [] {
  std::array<char, sizeof A.chars + sizeof B.chars - 1> out{};
  for (size_t i = 0; i + 1 < sizeof A.chars; ++i) out[i] = A.chars[i];
  for (size_t i = 0; i < sizeof B.chars; ++i) out[sizeof A.chars - 1 + i] = B.chars[i];
  return out;
}();

template <Text Prefix>
struct Side {
  template <Text Name>
  static constexpr const char* name = kJoined<Prefix, Name>.data();

  static constexpr auto throughput = todd::ratio(name<"throughput">, "bit/s", name<"bytes">,
                                                 name<"received_time">, "what the receiver got");
  static constexpr auto sent_throughput = todd::ratio(name<"sent_throughput">, "bit/s", name<"sent_bytes">,
                                                      name<"sent_time">, "what the sender handed over");
  static constexpr auto packet_loss = todd::ratio(name<"packet_loss">, "1", name<"lost">, name<"packets">,
                                                  "UDP datagrams lost of those that left");
  // In the order of Count.
  static constexpr std::array counts{
      todd::counter(name<"bytes">, "By", "bytes received"),
      todd::counter(name<"received_time">, "ns", "time of receiving, from the first byte on"),
      todd::counter(name<"sent_bytes">, "By", "bytes the sender's system took"),
      todd::counter(name<"sent_time">, "ns", "time of sending"),
      todd::counter(name<"undelivered_at_end">, "By",
                    "sent, and not yet received when the test ended: under way or in buffers, not lost"),
      todd::counter(name<"retransmits">, "{segment}", "TCP segments sent again, at the sender"),
      todd::counter(name<"zero_copied">, "By", "bytes sent without a copy in the sender's host"),
      todd::counter(name<"stalls">, "{stall}", "times that the sender's system took no more"),
      todd::counter(name<"packets">, "{packet}",
                    "UDP datagrams that left: those received, and at the end those lost"),
      todd::counter(name<"lost">, "{packet}", "UDP datagrams that later ones overtook for good"),
      todd::counter(name<"out_of_order">, "{packet}", "UDP datagrams that arrived after a later one"),
      todd::counter(name<"duplicates">, "{packet}", "UDP datagrams that arrived again"),
      todd::counter(name<"loss_bursts">, "{burst}", "runs of consecutive losses, RFC 3357"),
      todd::counter(name<"socket_drops">, "{packet}",
                    "of the lost ones those that the receiver's own socket had no room for"),
      todd::counter(name<"unsent">, "{packet}",
                    "UDP datagrams that the sender's own system refused; never lost ones")};
  // In the order of Gauge.
  static constexpr std::array gauges{
      todd::gauge(name<"tcp_rtt">, "ns", TODD_MERGE_MAX, "smoothed round-trip time of TCP, at the sender"),
      todd::gauge(name<"tcp_min_rtt">, "ns", TODD_MERGE_MIN, "least round-trip time of TCP, at the sender"),
      todd::gauge(name<"tcp_rtt_variance">, "ns", TODD_MERGE_MAX, "mean deviation of tcp_rtt"),
      todd::gauge(name<"tcp_window">, "By", TODD_MERGE_LAST,
                  "congestion window of the sender, all streams together"),
      todd::gauge(name<"tcp_delivery_rate">, "bit/s", TODD_MERGE_LAST,
                  "what TCP saw delivered in its last measured window, all streams together"),
      todd::gauge(name<"tcp_mss">, "By", TODD_MERGE_MIN, "segment size of the sender"),
      todd::gauge(name<"send_lateness">, "ns", TODD_MERGE_MAX,
                  "the most that a paced send was behind its time"),
      todd::gauge(name<"jitter">, "ns", TODD_MERGE_MAX,
                  "smoothed interarrival jitter, RFC 3550 section 6.4.1"),
      todd::gauge(name<"longest_loss_burst">, "{packet}", TODD_MERGE_MAX,
                  "the most consecutive losses, RFC 3357"),
      todd::gauge(name<"fairness">, "1", TODD_MERGE_MIN,
                  "Jain's index of the streams' received bytes: 1 if all got the same")};
  static constexpr auto limited =
      todd::breakdown(name<"limited">, "us", "time of the sender, over all streams, by what held it up")
          .keyed("network|receive_window|send_buffer|pacing|host");
  static constexpr auto congestion =
      todd::information(name<"congestion">, "the congestion control that the sender used");

  static_assert(counts.size() == kCounts && gauges.size() == kGauges);
};
using Forward = Side<"">;
using Back = Side<"reverse_">;

}  // namespace todd::iperf
