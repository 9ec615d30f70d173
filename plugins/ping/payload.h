#pragma once
// What a probe carries behind the host's bytes, and how an echo of it differs. No sockets, no clock.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace todd::ping {

// The content of the probes of one instance. Sized once: the longest probe, and with "random" 4 KiB more.
class Payload {
 public:
  // "increment", "zero", "random", or 1 to 16 bytes in hex.
  static bool known(std::string_view pattern);

  Payload() = default;
  // Requires: known(pattern). seed: of "random".
  Payload(std::string_view pattern, uint32_t longest, uint64_t seed);

  // `longest` bytes for one probe; the same for the same target and round. Valid as long as the object.
  const uint8_t* of(uint32_t target, uint32_t round) const {
    return bytes_.data() + (random_ ? (target * 2654435761u ^ round * 2246822519u) >> (32 - kShiftBits) : 0);
  }

 private:
  // "random" is one block of noise of which every probe takes a window of its own: as cheap as a fixed
  // pattern, and no two probes in a row are alike to what compresses or remembers them.
  static constexpr uint32_t kShiftBits = 12;
  std::vector<uint8_t> bytes_;
  bool random_ = false;
};

// The index of the first byte in which the two differ; size if none.
size_t first_difference(const uint8_t* a, const uint8_t* b, size_t size);

}  // namespace todd::ping
