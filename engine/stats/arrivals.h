#pragma once
// Loss, order and jitter of one sender's numbered datagrams, as their receiver sees them.
//
// Value. Nothing is allocated. No clock: the caller says when.

#include <array>
#include <cstdint>

namespace todd::stats {

class Arrivals {
 public:
  // How far behind the highest number a duplicate is known as one; further back it counts as out of order,
  // and hides a loss. Several milliseconds at ten million datagrams a second.
  static constexpr uint64_t kWindow = 65'536;

  // first: the number of the sender's first datagram. What has a lower one is passed over.
  explicit Arrivals(uint64_t first) : first_(first), next_(first) {}

  // sent_ns: the sender's clock, of any epoch; arrived_ns: this host's. False: a duplicate, or no number of
  // this sender's.
  bool take(uint64_t number, int64_t sent_ns, int64_t arrived_ns);
  // The number that these low 32 bits mean: the nearest to the highest so far.
  uint64_t widen(uint32_t low) const;

  uint64_t received() const { return received_; }  // duplicates left out
  uint64_t highest() const { return next_ == first_ ? 0 : next_ - 1; }
  // Missing below the highest number; one that comes after all is taken off again.
  uint64_t lost() const { return next_ - first_ - received_; }
  uint64_t out_of_order() const { return out_of_order_; }  // came after a higher number (RFC 4737 section 3)
  uint64_t duplicates() const { return duplicates_; }
  uint64_t bursts() const { return bursts_; }  // gaps (RFC 3357), as they were when the datagram behind came
  uint64_t longest_burst() const { return longest_burst_; }
  double jitter_ns() const { return jitter_; }  // RFC 3550 section 6.4.1

 private:
  void advance(uint64_t number);
  static uint64_t bit(uint64_t number) { return uint64_t{1} << number % 64; }
  uint64_t& word(uint64_t number) { return seen_[number % kWindow / 64]; }
  bool seen(uint64_t number) { return (word(number) & bit(number)) != 0; }

  uint64_t first_, next_;
  uint64_t received_ = 0, out_of_order_ = 0, duplicates_ = 0, bursts_ = 0, longest_burst_ = 0;
  int64_t transit_ = 0;
  double jitter_ = 0;
  std::array<uint64_t, kWindow / 64> seen_{};  // a bit for each in [next_ - kWindow, next_)
};

}  // namespace todd::stats
