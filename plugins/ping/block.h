#pragma once
// The block of a UDP probe in which the responder writes what it knows of the way there. Bytes only: no
// sockets, no clock. Version 1, big-endian, 48 bytes behind the host's key:
//
//   0 u16 magic   2 u8 version   3 u8 flags   4 u16 check (of all the other bytes)   6 u16 epoch
//   8 u32 stream  12 u32 number  16 u32 latest  20 u32 missing  24 u64 window
//  32 i64 received_ns  40 u32 processing_ns  44 u32 clock
//
// The source fills in magic, version, stream and number and leaves 0 in the rest. A responder that knows the
// version fills in what is left and sets flag kAnswered; an echo service returns the block as it came.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "plugins/ping/heard.h"

namespace todd::ping {

inline constexpr size_t kBlockBytes = 48;

// Which probe it is: number goes up by one from 0 with each probe of the stream, over all that a source sends
// to one target from one port until something breaks the count; then it takes another stream.
struct BlockRequest {
  uint32_t stream = 0, number = 0;

  bool operator==(const BlockRequest&) const = default;
};

struct BlockAnswer {
  BlockRequest of;
  Heard::Report heard;
  int64_t received_ns = 0;     // the request's arrival there, on the wall clock there
  uint32_t processing_ns = 0;  // from then to the writing of the reply; at most 4.29 s are told
  uint32_t clock = 0;  // which clock that was: the same number on hosts that share theirs; 0 = not known

  bool operator==(const BlockAnswer&) const = default;
};

using Block = std::array<uint8_t, kBlockBytes>;

Block write_request(const BlockRequest& request);
Block write_answer(const BlockAnswer& answer);

// Nothing unless the bytes begin with a whole block of this version, not answered yet.
std::optional<BlockRequest> read_request(std::span<const uint8_t> bytes);
// Nothing unless they begin with an answered block of this version whose check is right.
std::optional<BlockAnswer> read_answer(std::span<const uint8_t> bytes);

// The number of this host's wall clock: hosts with one kernel (namespaces, containers) have the same, others
// most surely another. 0 if the system does not say.
uint32_t clock_number();

}  // namespace todd::ping
