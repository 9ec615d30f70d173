#pragma once
// What every flow of an instance has: payload slots to send from and an arena for what was received.

#include <todd/testlet.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace todd::lane {

class DatagramFlow;
class StreamBase;

class Flow {
 public:
  Flow(uint32_t slot_cap, uint32_t slots, size_t arena_bytes);
  virtual ~Flow() = default;
  virtual DatagramFlow* as_datagram() { return nullptr; }
  virtual StreamBase* as_stream() { return nullptr; }
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  uint32_t slot_cap() const { return view_.cap; }
  uint32_t slots() const { return static_cast<uint32_t>(slot_used_.size()); }
  uint8_t* slot(uint32_t index) { return slab_.get() + size_t{index} * view_.stride; }
  // The plugin's view of the free slots; call before step().
  todd_slots* offer();
  // True if the plugin was offered this slot and took it; the slot is then in use until release().
  bool take(uint32_t index);
  void release(uint32_t index);
  // The port that packets of this family leave from; 0 = another one each time, or none.
  virtual uint16_t local_port(int family) const = 0;
  // Of the probes that have ended nothing is told any more, and the next one to each target is its first.
  virtual void forget_ended() = 0;
  size_t free_slots() const { return free_.size(); }

  // Copies a received payload; returns the completion's slot (offset in units of 64 bytes), TODD_NONE if it
  // does not fit.
  uint32_t store(const uint8_t* data, uint32_t len);
  bool fits(uint32_t len) const { return arena_used_ + len + 64 <= arena_bytes_; }
  void forget_received() { arena_used_ = 0; }

 private:
  // Not zeroed: pages are touched only when used.
  std::unique_ptr<uint8_t[]> slab_, arena_;
  size_t arena_bytes_;
  std::vector<uint32_t> free_;
  std::vector<uint8_t> slot_used_;
  size_t arena_used_ = 0;
  todd_slots view_{};
};

}  // namespace todd::lane
