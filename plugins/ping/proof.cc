#include "plugins/ping/proof.h"

#include "plugins/ping/bytes.h"
#include "plugins/ping/wire.h"

namespace todd::ping {

namespace {
constexpr uint8_t kVersion = 1;
}

void write_proof(std::span<uint8_t> message, const Proof& proof) {
  uint8_t* at = message.data() + message.size() - kProofBytes;
  at[0] = kVersion;
  at[1] = static_cast<uint8_t>(proof.way);
  put_number(at + 2, 2, 0);
  put_number(at + 4, 4, proof.number);
  put_number(at + 8, 8, proof.stream);
}

std::optional<Proof> read_proof(std::span<const uint8_t> message) {
  if (message.size() < kUdpKey + kProofBytes) return {};
  const uint8_t* at = message.data() + message.size() - kProofBytes;
  const auto way = static_cast<Way>(at[1]);
  if (at[0] != kVersion || (way != Way::kRequest && way != Way::kReply) || get_number(at + 2, 2) != 0)
    return {};
  return Proof{way, static_cast<uint32_t>(get_number(at + 4, 4)), get_number(at + 8, 8)};
}

std::span<const uint8_t> proven_bytes(std::span<const uint8_t> message, Way way) {
  const size_t from = way == Way::kRequest ? kUdpKey : 0;
  return message.subspan(from, message.size() - kHmacBytes - from);
}

}  // namespace todd::ping
