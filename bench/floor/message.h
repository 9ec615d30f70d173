#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace todd::floor {

// The round trips of the targets of one sweep, by index. All memory is taken when it is made. Owned and used
// by one thread.
class Ledger {
 public:
  explicit Ledger(uint32_t targets) : left_(targets), answered_(targets) {}

  void clear();
  // Targets [first, first + count) are leaving at that time (CLOCK_REALTIME, ns).
  void leaving(uint32_t first, uint32_t count, int64_t at);
  // A target's reply arrived. A second reply counts as a duplicate; an index out of range is ignored.
  void answered(uint32_t target, int64_t at);

  uint32_t answers() const { return answers_; }
  uint32_t duplicates() const { return duplicates_; }
  int64_t last_arrival() const { return last_; }
  // Round trips of the answered targets, ns. Allocates: not for loops.
  std::vector<int64_t> round_trips() const;

 private:
  std::vector<int64_t> left_, answered_;  // 0 = not yet
  uint32_t answers_ = 0, duplicates_ = 0;
  int64_t last_ = 0;
};

// The ICMP echo of a shard: ident, and in the payload the target's index and a cookie.
class Message {
 public:
  static constexpr size_t kHeader = 8, kPayload = 56, kSize = kHeader + kPayload;

  explicit Message(uint16_t ident);
  // A whole request into a buffer of kSize bytes, for readdress() later.
  void write(uint8_t* out) const;
  // Makes of a request, written by write(), the one to that target, its checksum kept up (RFC 1624).
  void readdress(uint8_t* out, uint32_t target) const;
  // The target that this ICMP message is a reply to, -1 if it is none of ours. With a ping socket the kernel
  // has chosen the ident, so it is not compared.
  int64_t target_of(const uint8_t* icmp, size_t size, bool compare_ident) const;

 private:
  uint16_t ident_;
  uint32_t constant_sum_ = 0;  // of all 16-bit words but sequence, index and checksum
};

// Adds the 16-bit words of even `size`; fold() makes a checksum of it.
uint32_t sum_words(const void* data, size_t size);
uint16_t fold(uint32_t sum);

int64_t now_ns(int clock);

}  // namespace todd::floor
