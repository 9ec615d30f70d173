#pragma once
// One direction of a session as one end sees it: the counts of its streams, added up and recorded bit by bit.
// What came before the counting began (omit) is taken off. No sockets, no clock.

#include <array>
#include <cstdint>
#include <vector>

#include "plugins/iperf/messages.h"
#include "plugins/iperf/services.h"
#include "todd/testlet.h"

namespace todd::iperf {

class Ledger {
 public:
  struct Of {
    uint32_t edge = TODD_NONE;
    bool sending = false, udp = false;
    bool back = false;   // Side
    bool paced = false;  // there is a bit rate
  };
  Ledger(Services& services, Of of) : services_(services), of_(of) {}

  size_t add_stream() {
    streams_.emplace_back();
    return streams_.size() - 1;
  }
  // What is known of a stream by now.
  void counted(size_t stream, const todd_bulk_count& count) { streams_.at(stream).count = count; }
  void informed(size_t stream, const todd_stream_info& info);
  // Bytes that came before the stream's job counted.
  void early(size_t stream, uint64_t bytes, int64_t now_ns);
  // Only what is from now on counts.
  void begin(int64_t now_ns);
  // Records what is new. now_ns: until when the streams have been running.
  void tell(int64_t now_ns);
  // Records what is known at the end alone. Nothing is told after it.
  void close();

  bool empty() const { return streams_.empty(); }
  uint64_t bytes() const;     // that count
  uint64_t received() const;  // all there were, to see whether something moves
  int64_t time_ns() const { return first_ns_ == 0 ? 0 : until_ns_ - first_ns_; }
  const std::string& congestion() const { return congestion_; }
  // In the order of add_stream(), without ids.
  std::vector<StreamResult> results() const;

 private:
  struct Stream {
    todd_bulk_count count{}, before{};  // before: what does not count
    todd_stream_info info{}, info_before{};
    uint64_t early = 0, early_before = 0;
    uint64_t bytes() const { return count.bytes - before.bytes + early - early_before; }
  };
  // The sum over all streams of what counts.
  template <class T>
  uint64_t sum(T todd_bulk_count::* of) const;
  template <class T>
  uint64_t sum(T todd_stream_info::* of) const;
  void tell(Count what, uint64_t total);
  void tell_sent();
  void tell_limits();
  void tell_received();

  Services& services_;
  Of of_;
  std::vector<Stream> streams_;
  std::array<uint64_t, kCounts> told_{};
  std::array<uint64_t, 5> limits_told_{};
  int64_t first_ns_ = 0, until_ns_ = 0, from_ns_ = 0;
  bool counting_ = false, informed_ = false, news_ = false;  // news_: of informed() that are not told
  std::string congestion_;
};

// What the peer saw of one direction, recorded at once.
void record_sender(Services& services, bool back, uint32_t edge, const std::vector<StreamResult>& streams);
void record_receiver(Services& services, bool back, uint32_t edge, bool udp,
                     const std::vector<StreamResult>& streams);
// Jain's index of fairness; nothing is set for fewer than two.
void record_fairness(Services& services, bool back, uint32_t edge, const std::vector<StreamResult>& streams);

}  // namespace todd::iperf
