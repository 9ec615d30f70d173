#pragma once
// The TCP streams of one instance, in either role and direction.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugins/iperf/meter.h"
#include "plugins/iperf/wire.h"
#include "todd/testlet.hpp"

namespace todd::iperf {

// A source opens streams with connect(), a responder gets them after listen(); the first 64 bytes (wire.h)
// say who sends. The sender sends until the duration is over and shuts down; a responder that received
// answers with a summary. One lane; driven by step() only.
class Tcp {
 public:
  Tcp(Sink& sink, int64_t timeout_ns) : sink_(sink), timeout_ns_(timeout_ns) {}

  void use(uint32_t flow) { flow_ = flow; }
  void listen();
  // One stream to a target. `header` as it goes out.
  void connect(uint32_t target, const Header& header);
  // One completion of this flow.
  void take(const todd_batch& b, const todd_done& d);
  // Moves everything on. stop: senders end now; what does not end within the timeout is closed.
  void step(todd_batch& b, bool stop);

  uint16_t port() const { return port_; }                      // of listen(), once known
  bool idle() const { return live_ == 0 && outbox_.empty(); }  // every stream has ended

 private:
  enum class State { kFree, kConnecting, kHeader, kSending, kShut, kReceiving, kReport };
  struct Stream {
    State state = State::kFree;
    bool server = false;
    bool announced = false, header_sent = false;  // client: the header was handed over, has left
    uint32_t generation = 0, in_flight = 0, retransmits = 0;
    uint64_t id = 0;  // 0: not connected
    uint64_t received = 0;
    uint32_t edge = TODD_NONE;
    Header header;
    std::string head;            // partial message from the peer
    std::shared_ptr<View> view;  // shared by the streams of one session
    Pacer pacer{0, 0, 0};
    int64_t end_ns = 0;     // sending, receiving: when the test is over
    int64_t active_ns = 0;  // when something last went on, from where the timeout counts
    uint64_t acked = 0;
    int64_t next_info_ns = 0;
  };
  struct Collected {  // summaries of one target, until all its streams have ended
    uint32_t expected = 0;
    uint64_t bytes = 0;
    int64_t time_ns = 0;
  };

  uint32_t add();
  uint64_t user_of(uint32_t index) const;
  Stream* find(uint64_t id, uint32_t& index);
  void accepted(const todd_batch& b, const todd_done& d);
  void connected(const todd_batch& b, uint32_t index, const todd_done& d);
  void received(const todd_batch& b, const todd_done& d);
  void bytes_in(Stream& s, uint32_t index, std::string_view bytes, int64_t at_ns);
  void ended(Stream& s, uint32_t index, int64_t at_ns);
  void sent(uint32_t index, const todd_done& d);
  bool begin(Stream& s, uint32_t index, int64_t now_ns);
  void announce(Stream& s, uint32_t index, todd_batch& b);
  bool overdue(const Stream& s, int64_t now_ns) const;
  void run_sender(Stream& s, uint32_t index, todd_batch& b, bool stop);
  void run_reporter(Stream& s, uint32_t index, todd_batch& b);
  void read_info(Stream& s, int64_t now_ns);
  void collect(const Stream& s, const Summary* summary);
  void fail(Stream& s, uint32_t index, const char* reason, std::string_view text);
  void close(Stream& s, uint32_t index);
  std::shared_ptr<View> view_of(const Stream& s, bool sending);

  Sink& sink_;
  int64_t timeout_ns_;
  uint32_t flow_ = TODD_NONE;
  uint16_t port_ = 0;
  uint32_t live_ = 0, first_ = 0;  // first_: whose turn it is to fill the batch
  int64_t stop_ns_ = 0;
  outbox outbox_;
  std::deque<Stream> streams_;
  std::vector<uint32_t> free_;
  std::unordered_map<uint64_t, uint32_t> by_id_;
  std::map<uint64_t, std::weak_ptr<View>> views_;  // by session
  std::map<uint32_t, Collected> collected_;        // by target
};

}  // namespace todd::iperf
