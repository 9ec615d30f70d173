#pragma once
// The match table of one datagram flow: which probe a reply belongs to, and when to give up.
//
// Invariants
// - Entries are used in sequence, so the index (16 bits on the wire) is the slot: no hash. An entry is reused
// only when its
//   probe has ended; what a later reply to it means is still known until then.
// - Probes of a flow expire in the order they left (one timeout per run), so the table is its own timer
// queue.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace todd::lane {

struct Exchange {
  // answered: a further reply is a duplicate. lost: given up, the next reply is late. ended: in any other way
  // (an ICMP error, cancelled, undetermined, answered late): a reply changes nothing any more.
  enum State : uint8_t { idle, sending, flying, answered, lost, ended };
  uint64_t user = 0;
  int64_t due_ns = 0, tx_ns = 0, deadline_ns = 0;
  int64_t tx_wall_ns = 0;  // the kernel's transmit stamp; 0 = none came
  uint64_t number = 0;     // of the probe to its target, from 0: the sample's seq
  uint32_t target = 0, generation = 0;
  State state = idle;
  bool proved = false;  // the probe had room for the cookie: without it nothing is its reply
};

class ExchangeTable {
 public:
  static constexpr uint32_t kMax = 65536;
  // capacity: a power of two up to kMax. secret: makes cookies unpredictable. first: where it begins.
  ExchangeTable(uint32_t capacity, uint64_t secret, uint16_t first = 0);

  uint32_t capacity() const { return mask_ + 1; }
  bool full() const;                          // the next entry is still in use
  uint32_t free_ahead(uint32_t limit) const;  // how many begin() calls would succeed, at most limit
  uint16_t begin(uint64_t user, uint32_t target, int64_t due_ns, uint64_t number);  // Requires: !full()
  Exchange& at(uint16_t index) { return entries_[index & mask_]; }
  // What the probe carries and its reply must bring back: the index in the low 16 bits, a keyed hash above.
  uint64_t cookie(uint16_t index) const;
  uint64_t live() const { return live_; }
  void finish(Exchange& entry, Exchange::State how);

  // Calls fn(entry) for flying probes whose deadline is not after now, oldest first, at most `most` of them.
  // fn must finish() it and not begin() another.
  template <class Fn>
  void expire(int64_t now_ns, size_t most, Fn fn) {
    for (; oldest_ != next_ && most > 0; ++oldest_) {
      Exchange& e = entries_[oldest_ & mask_];
      if (e.state == Exchange::sending) return;
      if (e.state == Exchange::flying) {
        if (e.deadline_ns > now_ns) return;
        fn(e);
        --most;
      }
    }
  }
  // Everything still unanswered, oldest first. fn as above.
  template <class Fn>
  void drain(Fn fn) {
    for (; oldest_ != next_; ++oldest_) {
      Exchange& e = entries_[oldest_ & mask_];
      if (e.state == Exchange::sending || e.state == Exchange::flying) fn(e);
    }
  }
  int64_t next_deadline();  // INT64_MAX if nothing flies
  // No reply that is still to come to a probe that has ended means anything.
  void forget_ended();

 private:
  std::vector<Exchange> entries_;
  uint32_t mask_;
  uint64_t secret_, next_, oldest_, live_ = 0;
};

}  // namespace todd::lane
