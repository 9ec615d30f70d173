#pragma once
// The sizes a run of probes goes through.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace todd::ping {

inline constexpr size_t kMaxSizes = 32;  // two keys of a breakdown each, of which a host keeps 64

struct Sizes {
  std::vector<uint32_t> bytes;  // in the order they are sent
  std::string wrong;            // why not, for people; empty if it is well formed
};

// Sizes and ranges between commas, a range is FIRST..LAST/STEP: "64,512,1400", "56..1400/100",
// "56,1400..1500/4". LAST is sent too if a step meets it. Each from least to most.
Sizes parse_sizes(std::string_view text, uint32_t least, uint32_t most);

}  // namespace todd::ping
