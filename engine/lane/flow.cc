#include "engine/lane/flow.h"

#include <cstring>

namespace todd::lane {

Flow::Flow(uint32_t slot_cap, uint32_t slots, size_t arena_bytes)
    : arena_(new uint8_t[arena_bytes]), arena_bytes_(arena_bytes), slot_used_(slots) {
  view_.cap = slot_cap;
  view_.stride = (slot_cap + 63u) & ~63u;
  slab_.reset(new uint8_t[size_t{view_.stride} * slots]);
  free_.reserve(slots);
  for (uint32_t i = slots; i-- > 0;) free_.push_back(i);
}

todd_slots* Flow::offer() {
  view_.base = slab_.get();
  view_.received = arena_.get();
  view_.free = free_.data();
  view_.n_free = static_cast<uint32_t>(free_.size());
  view_.taken = 0;
  return &view_;
}

bool Flow::take(uint32_t index) {
  if (index >= slot_used_.size() || slot_used_[index] != 0) return false;
  // Operations name slots in the order they were taken, so the search is short.
  for (size_t i = 0; i < free_.size(); ++i) {
    if (free_[i] != index) continue;
    slot_used_[index] = 1;
    free_[i] = free_.back();
    free_.pop_back();
    return true;
  }
  return false;
}

void Flow::release(uint32_t index) {
  slot_used_[index] = 0;
  free_.push_back(index);
}

uint32_t Flow::store(const uint8_t* data, uint32_t len) {
  if (len == 0 || !fits(len)) return TODD_NONE;
  memcpy(arena_.get() + arena_used_, data, len);
  const auto offset = static_cast<uint32_t>(arena_used_ / 64);
  arena_used_ = (arena_used_ + len + 63) & ~size_t{63};
  return offset;
}

}  // namespace todd::lane
