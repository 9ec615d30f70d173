// Blocks from the network are read without harm, and whatever a responder says, no more losses are given a
// side than there were, and no way took longer than the whole.
#include <cstring>

#include "engine/base/check.h"
#include "plugins/ping/one_way.h"
#include "plugins/ping/split.h"

using namespace todd::ping;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (const auto request = read_request({data, size}))
    TODD_CHECK(read_request(write_request(*request)) == request);
  if (const auto answer = read_answer({data, size})) TODD_CHECK(read_answer(write_answer(*answer)) == answer);
  // Answers with the check made right, so that what is behind it is reached.
  LossSplit split(1, 1);
  uint64_t lost = 0, told = 0;
  PathClock clock{.offset_ns = 5, .error_ns = 7};
  const auto add = [&](LossSplit::Change change) { told += uint64_t{change.forward} + change.back; };
  for (uint32_t round = 0; size >= 32; ++round, data += 32, size -= 32) {
    BlockAnswer answer;
    uint16_t what = 0;
    std::memcpy(&what, data, 2);
    answer.of = split.sent(0, round + (what & 1));
    std::memcpy(&answer.heard.latest, data + 2, 4);
    std::memcpy(&answer.heard.missing, data + 6, 4);
    std::memcpy(&answer.heard.window, data + 10, 8);
    std::memcpy(&answer.received_ns, data + 18, 8);
    std::memcpy(&answer.processing_ns, data + 26, 4);
    answer.heard.epoch = (what & 2) != 0 ? 1 : 2;
    answer.heard.whole = (what & 4) == 0;
    if ((what & 8) != 0) answer.heard.latest %= 100;
    if ((what & 16) != 0) answer.heard.missing %= 100;
    if ((what & 32) != 0) split.unsent(0, round);
    if ((what & 64) != 0) ++lost, add(split.lost(0, round - (what >> 8) % 4));
    if ((what & 128) != 0) add(split.answered(0, answer));
    TODD_CHECK(told <= lost);
    if (const auto delays = one_way_of(clock, answer, 1'000'000, 2'000'000))
      TODD_CHECK(delays->forward_ns >= 0 && delays->back_ns >= 0 &&
                 delays->forward_ns + delays->back_ns <= 1'000'000);
    TODD_CHECK(clock.error_ns >= 0);
  }
  return 0;
}
