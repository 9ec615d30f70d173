#pragma once
// The messages of the iperf testlet, 64 bytes each, in network byte order. No sockets, no clock.

#include <cstdint>
#include <optional>
#include <string_view>

namespace todd::iperf {

inline constexpr uint32_t kMessage = 64;
inline constexpr int64_t kMaxDurationNs = 24 * 3'600'000'000'000;  // nobody may ask a responder for more

enum class Kind : uint8_t {
  kStart = 1,  // TCP: first bytes of a stream. UDP, reverse: a source asks for data
  kData,       // UDP: a datagram of the test
  kEnd,        // UDP: `sequence` datagrams were numbered, of which `unsent` never left; no more come
  kChallenge,  // UDP: prove that the address is yours: send kStart again with this `cookie`
  kSummary     // what the receiver got; also acknowledges kEnd
};

struct Header {
  Kind kind = Kind::kStart;
  bool reverse = false;  // the responder sends
  uint32_t stream = 0;   // 0..127
  uint32_t length = 0;   // bytes of a send or datagram
  uint64_t token = 0;    // by which a responder knows the edge
  uint64_t session = 0;  // one per source and target, chosen by the source
  uint64_t bitrate = 0;  // of this stream; 0 = as fast as it goes
  int64_t duration_ns = 0;
  uint64_t sequence = 0;  // kData: counted from 0. kEnd: how many were numbered
  union {
    int64_t sent_ns = 0;  // kData: the sender's clock
    uint64_t cookie;      // kStart, kChallenge
    uint64_t unsent;      // kEnd
  };
};

struct Summary {
  bool recorded = false;  // the receiver has recorded this itself
  uint32_t stream = 0;
  uint64_t session = 0, bytes = 0, packets = 0, lost = 0;
  int64_t time_ns = 0;
  uint32_t out_of_order = 0, jitter_ns = 0;
};

// Each writes kMessage bytes.
void encode(const Header& header, uint8_t* out);
void encode(const Summary& summary, uint8_t* out);

// What kind of message begins here; nothing for another magic, version or kind, or fewer than kMessage bytes.
std::optional<Kind> kind_of(std::string_view bytes);
// Nothing for anything but a header (a summary for the second) whose values are in range.
std::optional<Header> decode_header(std::string_view bytes);
std::optional<Summary> decode_summary(std::string_view bytes);

}  // namespace todd::iperf
