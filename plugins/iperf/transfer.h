#pragma once
// The data streams of one session at this end: their jobs, from the first byte to the last, and what is
// known of them.

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/iperf/cpu.h"
#include "plugins/iperf/ledger.h"
#include "plugins/iperf/messages.h"
#include "plugins/iperf/services.h"

namespace todd::iperf {

// Life: add() each stream, begin(), poll() and done() while it runs, end() (senders stop, receivers take what
// is under way), stop(), results(). The streams' owner closes them after that.
class Transfer {
 public:
  struct Settings {
    uint32_t edge = TODD_NONE;
    bool udp = false, bidir = false, zero_copy = false, repeating = false, counters_64 = false;
    bool source = true;    // this end asked for the test: what it sends goes forward
    uint32_t length = 0;   // of a send or datagram
    uint64_t bitrate = 0;  // of a stream; 0 = as fast as it goes
    uint64_t bytes = 0;    // that the senders send over all streams, not more; 0 = no limit
    int64_t omit_ns = 0, duration_ns = 0;  // duration 0: until end()
  };
  Transfer(Services& services, const Settings& settings);

  // A connected stream; the order of calls gives it its id. user: of the completion of its job.
  void add(uint32_t flow, uint64_t stream, bool sending, uint64_t user);
  size_t streams() const { return streams_.size(); }

  void begin(int64_t now_ns);
  // Bytes that arrived on the stream before its job was there.
  void early(uint64_t stream, uint64_t bytes, int64_t now_ns);
  // A job has ended; result as of the completion.
  void done(uint64_t stream, int result, int64_t now_ns);
  // Records what is new. Returns when to call it again.
  int64_t poll(int64_t now_ns);
  void end(int64_t now_ns);
  void stop();

  bool begun() const { return began_ns_ != 0; }
  bool ended() const { return ended_ns_ != 0; }
  bool sends(uint64_t stream) const;
  bool senders_done() const { return jobs_running(true) == 0; }
  bool all_done() const { return jobs_running(true) + jobs_running(false) == 0; }
  int64_t end_ns() const;  // when the time is over; INT64_MAX: by end() alone
  // The time is over, or the bytes have been moved.
  bool complete(uint64_t bytes, int64_t now_ns) const;
  uint64_t moved() const { return sent_.received() + received_.received(); }  // grows while something moves
  // Empty, or why a stream could not begin or ended before its time: a key of `errors`, and text for people.
  const char* reason() const { return reason_; }
  const std::string& problem() const { return problem_; }

  // After stop(): what this end saw, with the ids of its streams.
  Results results(int64_t now_ns);
  // The source, after results(): what the peer saw, and what is known from both.
  void record_peer(const Results& peer);

 private:
  struct Stream {
    uint32_t flow = TODD_NONE, id = 0;
    uint64_t stream = 0, user = 0, job = 0;
    size_t index = 0;  // in its ledger
    bool sending = false, running = false;
  };
  Ledger& ledger(const Stream& s) { return s.sending ? sent_ : received_; }
  bool back(bool sending) const { return settings_.bidir && sending != settings_.source; }
  Ledger::Of of(bool sending) const;
  void start_job(Stream& s, uint64_t bytes);
  void begin_counting(int64_t now_ns);
  void refresh(bool with_info);
  size_t jobs_running(bool sending) const;
  void fail(const char* reason, std::string text);
  void record_peer(const Results& peer, bool peer_sent);

  Services& services_;
  Settings settings_;
  std::vector<Stream> streams_;
  Ledger sent_, received_;
  Cpu cpu_;
  Cpu::Use used_;
  int64_t began_ns_ = 0, ended_ns_ = 0, next_info_ns_ = 0;
  bool counting_ = false, stopped_ = false;
  const char* reason_ = "";
  std::string problem_;
};

}  // namespace todd::iperf
