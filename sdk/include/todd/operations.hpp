#pragma once
// todd/operations.hpp - what a testlet puts into a batch, and reads from it: builders of todd_op, slots,
// payloads. Part of testlet.hpp; nothing in this file is ABI.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string_view>

#include "todd/testlet.h"

namespace todd {

// Builders of todd_op: the named fields set, the others 0 ("the flow's", "the run's", "now"), slot TODD_NONE.
inline todd_op make_op(int code, uint32_t flow, uint64_t user) {
  todd_op op{};
  op.code = static_cast<uint16_t>(code);
  op.flow = flow;
  op.user = user;
  op.target = TODD_NONE;
  op.slot = TODD_NONE;
  return op;
}
inline todd_op exchange_op(uint32_t flow, uint32_t target, uint32_t slot, uint32_t len, uint64_t user,
                           int64_t at_ns) {
  todd_op op = make_op(TODD_OP_EXCHANGE, flow, user);
  op.target = target;
  op.slot = slot;
  op.len = len;
  op.at_ns = at_ns;
  return op;
}
inline todd_op send_op(uint32_t flow, uint32_t target, uint32_t slot, uint32_t len, uint64_t user) {
  todd_op op = exchange_op(flow, target, slot, len, user, 0);
  op.code = TODD_OP_SEND;
  return op;
}
// A datagram back to the sender of the one whose completion carried `token` in arg.
inline todd_op reply_op(uint32_t flow, uint64_t token, uint32_t slot, uint32_t len, uint64_t user) {
  todd_op op = send_op(flow, TODD_NONE, slot, len, user);
  op.flags = TODD_OF_REPLY;
  op.key = token;
  return op;
}
inline todd_op stream_send_op(uint32_t flow, uint64_t stream, uint32_t slot, uint32_t len, uint64_t user) {
  todd_op op = send_op(flow, TODD_NONE, slot, len, user);
  op.key = stream;
  return op;
}
// RESOLVE or CONNECT.
inline todd_op target_op(int code, uint32_t flow, uint32_t target, uint64_t user, int64_t timeout_ns) {
  todd_op op = make_op(code, flow, user);
  op.target = target;
  op.timeout_ns = timeout_ns;
  return op;
}
// RECV, SHUTDOWN or CLOSE of a stream.
inline todd_op stream_op(int code, uint32_t flow, uint64_t stream, uint64_t user) {
  todd_op op = make_op(code, flow, user);
  op.key = stream;
  return op;
}

// Adds an operation to the batch. False: the batch is full and nothing was added.
inline bool put(todd_batch& b, const todd_op& op) {
  if (b.n_op >= b.cap_op) return false;
  b.op[b.n_op++] = op;
  return true;
}
// Takes a payload slot of a flow; TODD_NONE if none is free now. Take one only when the operation will
// follow.
inline uint32_t take_slot(todd_batch& b, uint32_t flow) {
  todd_slots* s = b.slots[flow];
  return s->taken < s->n_free ? s->free[s->taken++] : TODD_NONE;
}
// Room for one more operation with payload on this flow.
inline bool can_send(const todd_batch& b, uint32_t flow) {
  return b.n_op < b.cap_op && b.slots[flow]->taken < b.slots[flow]->n_free;
}
inline uint8_t* slot_data(const todd_batch& b, uint32_t flow, uint32_t slot) {
  const todd_slots* s = b.slots[flow];
  return s->base + static_cast<std::size_t>(slot) * s->stride;
}
inline std::string_view payload(const todd_batch& b, const todd_done& d) {
  const uint8_t* p = todd_payload(&b, &d);
  return p != nullptr ? std::string_view(reinterpret_cast<const char*>(p), d.len) : std::string_view();
}
// Asks to be called again by `at_ns` at the latest.
inline void wake_by(todd_batch& b, int64_t at_ns) {
  if (b.wake_ns == 0 || at_ns < b.wake_ns) b.wake_ns = at_ns > 0 ? at_ns : 1;
}

// Operations without payload that may have to wait for room in a batch. They leave in the order they were
// put.
class outbox {
 public:
  void put(const todd_op& op) { waiting_.push_back(op); }
  // Moves what fits into the batch; asks to be called again at once if something is left.
  void flush(todd_batch& b) {
    while (!waiting_.empty() && todd::put(b, waiting_.front())) waiting_.pop_front();
    if (!waiting_.empty()) wake_by(b, b.now_ns);
  }
  bool empty() const { return waiting_.empty(); }

 private:
  std::deque<todd_op> waiting_;
};

}  // namespace todd
