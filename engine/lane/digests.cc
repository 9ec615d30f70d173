#include "engine/lane/digests.h"

#include <cerrno>

namespace todd::lane {

todd_status Digests::open(std::optional<std::span<const uint8_t>> key, uint32_t& number) {
  if (free_.empty()) {
    if (open_.size() == kMost) return -ENOBUFS;
    free_.push_back(static_cast<uint32_t>(open_.size()));
    open_.emplace_back();
  }
  number = free_.back();
  free_.pop_back();
  open_[number] = std::make_unique<io::Digest>(key);
  return 0;
}

void Digests::close(uint32_t number) {
  if (at(number) == nullptr) return;
  open_[number].reset();
  free_.push_back(number);
}

}  // namespace todd::lane
