#pragma once
// On which way probes were lost, from what the responder says it is missing. No sockets, no clock.
//
// What the source calls lost was missing at the responder (lost on the way there) or not (on the way back).
// Which of the two is known once a reply to a later probe has come; a loss after which none came stays
// undecided. Whatever breaks the count (a probe that could not be sent, a responder started anew) leaves the
// losses around it undecided.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "plugins/ping/block.h"

namespace todd::ping {

class LossSplit {
 public:
  struct Change {
    uint32_t forward = 0, back = 0;
  };

  // streams: numbered from 0. 48 bytes of each. secret: makes the names of streams unlike those of others.
  LossSplit(size_t streams, uint64_t secret);

  // The probe of that round is sent; the rounds of a stream have no gaps but where probes were not sent.
  BlockRequest sent(size_t stream, uint32_t round);
  // It was not sent after all.
  void unsent(size_t stream, uint32_t round);
  // It had no answer, and will have none.
  Change lost(size_t stream, uint32_t round);
  Change answered(size_t stream, const BlockAnswer& answer);

 private:
  struct Stream {
    uint32_t name = 0;
    uint32_t first = 0, next = 0;         // rounds: of number 0, and of the next probe
    uint32_t latest = 0, missing = 0;     // as the responder said last
    uint32_t forward = 0;                 // of `missing`, how many are recorded
    uint32_t pending = 0, last_lost = 0;  // losses not yet decided, and the greatest number among them
    uint16_t epoch = 0;
    bool known = false;   // the responder has said something
    bool broken = false;  // the next probe begins another stream
    uint64_t window = 0;
  };
  static_assert(sizeof(Stream) == 48);

  void begin(size_t index, uint32_t round);
  Change settle(Stream& s);

  uint64_t secret_;
  std::vector<Stream> streams_;
};

}  // namespace todd::ping
