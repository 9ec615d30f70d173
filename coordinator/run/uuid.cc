#include "coordinator/run/uuid.h"

#include <openssl/rand.h>

#include <algorithm>

#include <fmt/format.h>

#include "engine/base/check.h"

namespace todd::run {

std::string UuidMaker::next(int64_t wall_ns) {
  uint64_t random = 0;
  TODD_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&random), sizeof random) == 1);
  // The 12 bits after the milliseconds are their fraction (section 6.2, method 3), pushed up where that would
  // not rise.
  const auto ns = static_cast<uint64_t>(std::max<int64_t>(wall_ns, 0));
  const uint64_t fraction = (ns % 1'000'000) * 4096 / 1'000'000;
  last_ = std::max(last_ + 1, (ns / 1'000'000) << 12 | fraction);
  const uint64_t variant = (random & 0x3fffffffffffffffu) | 0x8000000000000000u;
  return fmt::format("{:08x}-{:04x}-7{:03x}-{:04x}-{:012x}", (last_ >> 28) & 0xffffffffu,
                     (last_ >> 12) & 0xffffu, last_ & 0xfffu, variant >> 48, variant & 0xffffffffffffu);
}

}  // namespace todd::run
