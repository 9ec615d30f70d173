// Splits bytes into frames whole and byte by byte: both ways must agree, and no view may leave the input.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "engine/io/frame.h"

namespace {
// The frames as (offset, length), ended by how it ended.
std::vector<std::pair<size_t, size_t>> split(std::string_view bytes, size_t step) {
  std::vector<std::pair<size_t, size_t>> frames;
  size_t from = 0;
  for (size_t have = step; have <= bytes.size(); have += step) {
    for (;;) {
      std::string_view payload;
      const auto taken = todd::io::next_frame(bytes.substr(from, have - from), payload, 64);
      if (!taken) return frames;
      if (*taken == 0) break;
      if (*taken > have - from || payload.size() > 64) std::abort();
      frames.emplace_back(static_cast<size_t>(payload.data() - bytes.data()), payload.size());
      from += *taken;
    }
  }
  return frames;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (split(bytes, size) != split(bytes, 1)) std::abort();
  return 0;
}
