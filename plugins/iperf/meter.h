#pragma once
// What is counted and when a byte may leave: arithmetic of the iperf testlet, without sockets and clocks.

#include <cstdint>
#include <string>
#include <string_view>

#include "plugins/iperf/metrics.h"

namespace todd::iperf {

// Where measurements go. `edge`: index of the target or peer; TODD_NONE = nobody to record for.
class Sink {
 public:
  virtual void add(Count what, uint32_t edge, uint64_t n) = 0;
  virtual void set(Gauge what, uint32_t edge, double value) = 0;
  virtual void failure(uint32_t edge, const char* reason, std::string_view text) = 0;
  // Responder: the edge of a token, TODD_NONE if unknown; false if that stranger is not to be served.
  virtual bool admit(uint64_t token, uint32_t& edge) = 0;

 protected:
  ~Sink() = default;
};

// Bytes and the time they took, of all streams of one edge in one direction. The time runs from the first
// byte; it is advanced as bytes come and, while none do, by tick(), so that bytes / time is right in every
// period.
class View {
 public:
  View(uint32_t edge, bool sending) : edge_(edge), sending_(sending) {}

  // `n` more bytes at `at_ns`. The first call starts the time.
  void bytes(Sink& sink, uint64_t n, int64_t at_ns);
  // Time passes without bytes, but not past `duration_ns` after the first one: an end that nobody announces
  // must not dilute the result.
  void tick(Sink& sink, int64_t now_ns, int64_t duration_ns);

  int64_t time_ns() const { return first_ns_ == 0 ? 0 : until_ns_ - first_ns_; }

 private:
  void advance(Sink& sink, int64_t to_ns);

  uint32_t edge_;
  bool sending_;
  int64_t first_ns_ = 0, until_ns_ = 0;
};

// Loss, order and jitter of one stream of numbered datagrams, as the receiver sees them.
class Sequence {
 public:
  // Datagram `number`, stamped by the sender's clock, arrived. False: seen before. A duplicate older than 64
  // datagrams cannot be told from one out of order.
  bool arrived(uint64_t number, int64_t sent_ns, int64_t arrived_ns);
  // The sender says how many it numbered, and how many of those its own system refused.
  void ended(uint64_t numbered, uint64_t unsent);

  uint64_t packets() const { return received_ + lost(); }  // that left, as far as is known
  uint64_t received() const { return received_; }
  uint64_t lost() const {
    const uint64_t left = unsent_ < numbered_ ? numbered_ - unsent_ : 0;
    return left > received_ ? left - received_ : 0;
  }
  uint32_t out_of_order() const { return out_of_order_; }
  double jitter_ns() const { return jitter_; }  // RFC 3550 section 6.4.1

 private:
  uint64_t numbered_ = 0;  // the highest number + 1
  uint64_t received_ = 0, unsent_ = 0;
  uint64_t recent_ = 0;  // bit i: numbered_ - 1 - i has arrived
  uint32_t out_of_order_ = 0;
  int64_t transit_ = 0;
  double jitter_ = 0;
};

// When the next `length` bytes may leave at a bit rate. Being late is made good up to 10 ms; never a catch-up
// flood.
class Pacer {
 public:
  // bits_per_s 0: always now.
  Pacer(uint64_t bits_per_s, uint32_t length, int64_t start_ns);

  int64_t next_ns() const { return next_ns_; }
  // One send leaves now.
  void sent(int64_t now_ns);

 private:
  double gap_ns_;
  double exact_ns_;
  int64_t next_ns_;
};

}  // namespace todd::iperf
