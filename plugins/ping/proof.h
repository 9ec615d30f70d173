#pragma once
// The end of a UDP probe where there is a key: it proves who wrote the message, and of which probe it is.
// Bytes only: no sockets, no clock. Version 1, big-endian, the last 32 bytes of a probe and of its reply:
//
//   0 u8 version   1 u8 way   2 u16 0   4 u32 number   8 u64 stream   16 u8[16] hmac
//
// hmac: the first 16 bytes of the HMAC-SHA-256 (RFC 2104, section 5 on cutting it) of all that stands before
// it, with the key. Of a request the 8 bytes at its front are left out, which the host writes when it leaves;
// whoever changes those gains nothing, as the reply has them in its HMAC and says which probe it answers.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace todd::ping {

inline constexpr size_t kProofBytes = 32, kHmacBytes = 16;

enum class Way : uint8_t { kRequest = 1, kReply = 2 };

struct Proof {
  Way way = Way::kRequest;
  uint32_t number = 0;  // of the probe in its stream
  uint64_t stream = 0;  // what one port sends to one target in one run: no two are the same

  bool operator==(const Proof&) const = default;
};

// Writes all of it but the HMAC. Requires: the message has room for the host's key and for it.
void write_proof(std::span<uint8_t> message, const Proof& proof);
// What the message says; its HMAC is not looked at. Nothing if it ends with no proof of this version.
std::optional<Proof> read_proof(std::span<const uint8_t> message);

// What its HMAC is of, which is the last of it. Requires: as write_proof.
std::span<const uint8_t> proven_bytes(std::span<const uint8_t> message, Way way);

}  // namespace todd::ping
