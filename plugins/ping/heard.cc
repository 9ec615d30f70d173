#include "plugins/ping/heard.h"

namespace todd::ping {

Heard::Report& Heard::record_of(uint64_t stream, uint32_t number) {
  const auto [record, is_new] = streams_.of(stream);
  if (!is_new) return record;
  draw_ ^= draw_ << 13;  // xorshift64
  draw_ ^= draw_ >> 7;
  draw_ ^= draw_ << 17;
  // Of a stream that begins with a late number we may have forgotten the beginning: nothing before counts as
  // missing then, nor as found if it comes yet.
  const bool whole = number < 64;
  record = {.latest = number,
            .missing = whole ? number : 0,
            .window = whole ? 1 : ~uint64_t{0},
            .epoch = static_cast<uint16_t>(draw_ >> 32),
            .whole = whole};
  return record;
}

Heard::Report Heard::take(uint64_t stream, uint32_t number) {
  Report& record = record_of(stream, number);
  if (number > record.latest) {
    const uint32_t by = number - record.latest;
    record.missing += by - 1;
    record.window = by < 64 ? record.window << by | 1 : 1;
    record.latest = number;
    return record;
  }
  const uint32_t behind = record.latest - number;
  const uint64_t bit = uint64_t{1} << (behind & 63);
  if (behind < 64 && (record.window & bit) == 0) {
    record.window |= bit;
    --record.missing;
  }
  return record;
}

}  // namespace todd::ping
