#pragma once
// The digests that one instance has open, by their numbers: what is behind todd.digest/1.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/io/digest.h"
#include "todd/testlet.h"

namespace todd::lane {

class Digests {
 public:
  static constexpr size_t kMost = 65536;

  // As todd_digest::open.
  todd_status open(std::optional<std::span<const uint8_t>> key, uint32_t& number);
  io::Digest* at(uint32_t number) { return number < open_.size() ? open_[number].get() : nullptr; }
  void close(uint32_t number);

 private:
  std::vector<std::unique_ptr<io::Digest>> open_;
  std::vector<uint32_t> free_;  // numbers that are closed
};

}  // namespace todd::lane
