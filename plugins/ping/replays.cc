#include "plugins/ping/replays.h"

#include <algorithm>

namespace todd::ping {

bool Replays::is_new(uint64_t stream, uint32_t number) {
  const auto [seen, is_first] = streams_.of(stream);
  const uint32_t word = number / 64, latest_word = seen.latest / 64;
  if (is_first) seen.latest = number;
  if (number > seen.latest) {
    for (uint32_t i = 1; i <= std::min(word - latest_word, kWords); ++i)
      seen.words[(latest_word + i) % kWords] = 0;
    seen.latest = number;
  } else if (!is_first && latest_word - word >= kWords) {
    return false;
  }
  uint64_t& bits = seen.words[word % kWords];
  const uint64_t bit = uint64_t{1} << number % 64;
  const bool is_new = (bits & bit) == 0;
  bits |= bit;
  return is_new;
}

}  // namespace todd::ping
