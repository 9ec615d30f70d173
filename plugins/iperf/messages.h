#pragma once
// The two JSON texts of iperf3's control protocol: what a client asks for, and what each end saw. Members
// that are ToDD's own stand in an object "todd", which iperf3 does not look at. simdjson, hidden.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace todd::iperf {

// What a client asks for. 0, false and "" where the text has no such member.
struct Params {
  bool udp = false, reverse = false, bidir = false;
  uint32_t omit_s = 0, time_s = 0;  // time_s 0: until the client says so
  uint64_t bytes = 0, blocks = 0;   // end when so many have been sent over all streams ("num", "blockcount")
  uint32_t streams = 1;             // in each direction ("parallel")
  uint32_t length = 0;              // of a send or datagram, bytes ("len")
  uint64_t bitrate = 0;             // of a stream, bit/s ("bandwidth"); 0 = as fast as it goes
  uint64_t pacing = 0;              // of a stream, bit/s, by the kernel ("fqrate")
  uint32_t window = 0, mss = 0, tos = 0;
  bool no_delay = false, zero_copy = false, repeating = false, counters_64 = false;
  std::string congestion, client_version;
  bool todd = false;   // the client is ToDD
  uint64_t token = 0;  // ToDD: by which an agent's responder knows the edge
};

// One stream as one end saw it.
struct StreamResult {
  uint32_t id = 0;
  uint64_t bytes = 0;
  std::optional<uint64_t> retransmits;
  double jitter_s = 0, start_s = 0, end_s = 0;
  uint64_t lost = 0, packets = 0;  // UDP ("errors"); packets: of a receiver the highest number it saw
  uint64_t omitted_lost = 0, omitted_packets = 0;
  // ToDD's own.
  uint64_t time_ns = 0;  // from the first byte to the last
  uint64_t out_of_order = 0, duplicates = 0, bursts = 0, longest_burst = 0, unsent = 0;
  uint32_t rtt_us = 0, rttvar_us = 0, min_rtt_us = 0, cwnd = 0;
  uint64_t delivery_rate = 0, busy_us = 0, receive_window_us = 0, send_buffer_us = 0;
};

// What one end saw.
struct Results {
  double cpu_total = 0, cpu_user = 0, cpu_system = 0;  // per cent of one CPU
  std::optional<bool> has_retransmits;                 // a sender's
  std::string congestion;                              // "" = the text does not say
  std::vector<StreamResult> streams;
  bool todd = false;      // from ToDD
  bool recorded = false;  // ToDD: that end keeps its results itself
};

// A text that a peer sent, read; or why it cannot be served, for people. Members of a wrong type, numbers out
// of range and more than 256 streams are refused; members that are not known are passed over.
template <class T>
struct Read {
  std::optional<T> value;
  std::string why;
};
Read<Params> read_params(std::string_view json);
Read<Results> read_results(std::string_view json);

std::string write(const Params& params);
std::string write(const Results& results);

}  // namespace todd::iperf
