#pragma once
// Which probes of which streams have been answered, so that a copy of one is not: a window as of RFC 6479. No
// sockets, no clock.
//
// Invariants
// - A number of a stream is new at most once while the stream is remembered.
// - One that comes for the first time is new unless it is more than kWindow numbers late.

#include <array>
#include <cstddef>
#include <cstdint>

#include "plugins/ping/recent.h"

namespace todd::ping {

class Replays {
 public:
  static constexpr uint32_t kWindow = 960;

  // most: streams remembered at least; at most twice as many, 160 bytes each.
  explicit Replays(size_t most = 16384) : streams_(most) {}

  bool is_new(uint64_t stream, uint32_t number);

 private:
  static constexpr uint32_t kWords = 16;
  static_assert(kWindow == (kWords - 1) * 64, "the word that is being filled is one of them");
  // Bit number % 64 of word number / 64 % kWords: that number was seen.
  struct Seen {
    uint32_t latest = 0;
    std::array<uint64_t, kWords> words{};
  };
  Recent<Seen> streams_;
};

}  // namespace todd::ping
