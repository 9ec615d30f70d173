#include "plugins/ping/split.h"

#include <algorithm>
#include <bit>

namespace todd::ping {

namespace {

uint32_t name_after(uint64_t secret, uint64_t stream, uint32_t name) {
  uint64_t x = secret ^ stream << 32 ^ name;  // the finaliser of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<uint32_t>(x ^ x >> 31);
}

}  // namespace

LossSplit::LossSplit(size_t streams, uint64_t secret) : secret_(secret), streams_(streams) {
  for (Stream& s : streams_) s.broken = true;
}

void LossSplit::begin(size_t index, uint32_t round) {
  const uint32_t before = streams_[index].name;
  streams_[index] = {.name = name_after(secret_, index, before + 1), .first = round, .next = round};
}

BlockRequest LossSplit::sent(size_t stream, uint32_t round) {
  Stream& s = streams_[stream];
  if (s.broken || round != s.next) begin(stream, round);
  s.next = round + 1;
  return {s.name, round - s.first};
}

void LossSplit::unsent(size_t stream, uint32_t round) {
  Stream& s = streams_[stream];
  if (round - s.first < s.next - s.first) s.broken = true;
}

LossSplit::Change LossSplit::lost(size_t stream, uint32_t round) {
  Stream& s = streams_[stream];
  const uint32_t number = round - s.first;
  if (s.broken || number >= s.next - s.first) return {};  // of a stream before
  ++s.pending;
  s.last_lost = std::max(s.last_lost, number);
  return settle(s);
}

LossSplit::Change LossSplit::answered(size_t stream, const BlockAnswer& answer) {
  Stream& s = streams_[stream];
  const Heard::Report& heard = answer.heard;
  if (s.broken || answer.of.stream != s.name || heard.latest >= s.next - s.first) return {};
  if (!heard.whole || (s.known && heard.epoch != s.epoch)) {
    s.broken = true;  // the responder has forgotten what it counted
    return {};
  }
  // Of two with the same latest probe the one that misses fewer is the later.
  const bool news =
      !s.known || heard.latest > s.latest || (heard.latest == s.latest && heard.missing < s.missing);
  if (!news) return {};
  s.known = true;
  s.epoch = heard.epoch;
  s.latest = heard.latest;
  s.missing = heard.missing;
  s.window = heard.window;
  return settle(s);
}

// Of what is missing up to the last loss, what is not yet recorded was lost on the way there. Probes after it
// that are still missing may only be late: those in the window are left out. Older ones are not late any
// more; their turn to be lost here comes, and until then no more is recorded than was lost.
LossSplit::Change LossSplit::settle(Stream& s) {
  if (!s.known || s.pending == 0 || s.last_lost > s.latest) return {};
  const uint32_t newer = std::min<uint32_t>(s.latest - s.last_lost, 64);
  const uint64_t mask = newer == 64 ? ~uint64_t{0} : (uint64_t{1} << newer) - 1;
  const auto perhaps_late = static_cast<uint32_t>(std::popcount(~s.window & mask));
  const uint32_t gone = s.missing - std::min(perhaps_late, s.missing);
  Change change;
  change.forward = std::min(gone - std::min(s.forward, gone), s.pending);
  change.back = s.pending - change.forward;
  s.forward += change.forward;
  s.pending = 0;
  return change;
}

}  // namespace todd::ping
