#pragma once
// Slots that wait their turn, first in, first out, in memory sized once: each slot of a flow is in it at most once.

#include <cstdint>
#include <vector>

#include "engine/base/check.h"

namespace todd::lane {

class SlotQueue {
 public:
  explicit SlotQueue(uint32_t slots) : ring_(slots) {}

  void push(uint32_t slot) {  // Requires: fewer than `slots` are in it
    TODD_CHECK(size_ < ring_.size());
    ring_[(first_ + size_++) % ring_.size()] = slot;
  }
  uint32_t pop() {  // Requires: !empty()
    const uint32_t slot = ring_[first_];
    first_ = (first_ + 1) % ring_.size();
    --size_;
    return slot;
  }
  void clear() { size_ = 0; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  std::vector<uint32_t> ring_;
  size_t first_ = 0, size_ = 0;
};

}  // namespace todd::lane
