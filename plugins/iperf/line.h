#pragma once
// What leaves over one stream: a text of any length, a slot at a time.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "todd/testlet.hpp"

namespace todd::iperf {

class Line {
 public:
  Line() = default;
  Line(uint32_t flow, uint64_t stream) : flow_(flow), stream_(stream) {}

  uint64_t stream() const { return stream_; }  // 0: none
  void put(std::string_view bytes) { waiting_ += bytes; }
  // One of this stream's SENDs has completed. Of one that failed nothing follows.
  void sent(bool failed) {
    --in_flight_;
    if (failed) waiting_.clear();
  }
  bool idle() const { return waiting_.empty() && in_flight_ == 0; }
  // Puts as much into the batch as there is room for. A peer that takes nothing holds few slots.
  void flush(todd_batch& b, uint64_t user) {
    while (!waiting_.empty() && in_flight_ < kInFlight) {
      if (!can_send(b, flow_)) {
        if (b.n_op == b.cap_op || in_flight_ == 0) wake_by(b, b.n_op == b.cap_op ? b.now_ns : b.now_ns + kRetryNs);
        return;
      }
      const uint32_t slot = take_slot(b, flow_);
      const size_t n = std::min<size_t>(waiting_.size(), b.slots[flow_]->cap);
      std::memcpy(slot_data(b, flow_, slot), waiting_.data(), n);
      waiting_.erase(0, n);
      todd::put(b, stream_send_op(flow_, stream_, slot, static_cast<uint32_t>(n), user));
      ++in_flight_;
    }
  }

 private:
  static constexpr uint32_t kInFlight = 2;
  static constexpr int64_t kRetryNs = 10'000'000;  // others have the slots

  uint32_t flow_ = TODD_NONE;
  uint64_t stream_ = 0;
  std::string waiting_;
  uint32_t in_flight_ = 0;
};

}  // namespace todd::iperf
