#pragma once
// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104) of bytes that come in pieces. For the probe path: nothing
// is allocated between the constructor and the destructor.

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace todd::io {

// A resource of one thread. Its key is wiped with it.
class Digest {
 public:
  static constexpr size_t kBytes = 32;
  using Value = std::array<uint8_t, kBytes>;

  // key: of an HMAC, of any length, copied. None: plain SHA-256.
  explicit Digest(std::optional<std::span<const uint8_t>> key = {});
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void add(std::span<const uint8_t> bytes);
  Value end();  // of all that was added since it was made or ended last

  // Compares in a time that does not depend on where the two differ.
  static bool same(const uint8_t* a, const uint8_t* b, size_t size);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::io
