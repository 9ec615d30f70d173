// What stands at the end of a datagram is read without harm and is what is written, and whatever numbers
// come, none is new twice.
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "plugins/ping/proof.h"
#include "plugins/ping/replays.h"
#include "plugins/ping/wire.h"

using namespace todd::ping;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> message(data, size);
  if (const auto proof = read_proof(message)) {
    TODD_CHECK(size >= kUdpKey + kProofBytes);
    std::vector<uint8_t> copy(data, data + size);
    std::memset(copy.data() + size - kProofBytes, 0xff, kProofBytes - kHmacBytes);
    write_proof(copy, *proof);
    TODD_CHECK(std::memcmp(copy.data(), data, size) == 0);
    const auto bytes = proven_bytes(message, proof->way);
    TODD_CHECK(bytes.data() + bytes.size() == data + size - kHmacBytes);
  }
  Replays replays(4);
  std::set<std::pair<uint64_t, uint32_t>> seen;
  uint32_t number = 0;
  // As many streams as are remembered for sure.
  for (; size >= 3; data += 3, size -= 3) {
    int16_t step = 0;
    std::memcpy(&step, data, 2);
    number += static_cast<uint32_t>(step);
    const uint64_t stream = data[2] % 4;
    if (replays.is_new(stream, number)) TODD_CHECK(seen.emplace(stream, number).second);
  }
  return 0;
}
