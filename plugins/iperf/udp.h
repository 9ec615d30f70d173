#pragma once
// The UDP streams of one instance, in either role and direction.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugins/iperf/meter.h"
#include "plugins/iperf/wire.h"
#include "todd/testlet.hpp"

namespace todd::iperf {

// Forward: the source sends numbered datagrams, then kEnd until a summary comes. Reverse: the source asks
// with kStart, the responder has it prove its address (kChallenge: nobody can aim the responder at a third
// host), sends, then kEnd until the source's summary comes. What is repeated is repeated every 100 ms, ten
// times. One lane; driven by step().
class Udp {
 public:
  // secret: makes the challenges; any number that strangers cannot guess.
  Udp(Sink& sink, uint64_t secret, bool responder) : sink_(sink), secret_(secret), responder_(responder) {}

  // Source: one stream to a target over a flow of its own.
  void start(uint32_t flow, uint32_t target, const Header& header, int64_t now_ns);
  // One completion of a UDP flow.
  void take(const todd_batch& b, const todd_done& d);
  // stop: senders end now.
  void step(todd_batch& b, bool stop);

  bool idle() const { return streams_.empty(); }

 private:
  enum class State { kAsking, kSending, kReceiving, kEnding, kOver };
  struct Stream {
    State state = State::kAsking;
    Header header;
    uint32_t flow = TODD_NONE, target = TODD_NONE, edge = TODD_NONE;
    uint64_t reply = 0;  // token of the peer's address; 0: it is a target
    uint64_t cookie = 0;
    uint64_t sent = 0, unsent = 0, bytes = 0;  // sent: numbered
    uint32_t in_flight = 0, tries = 0;
    int64_t next_ns = 0, end_ns = 0, active_ns = 0, forget_ns = 0;
    uint64_t number = 0;  // names the stream in `user`
    Pacer pacer{0, 0, 0};
    Sequence sequence;
    uint64_t told_packets = 0;  // received ones that were counted as packets
    std::shared_ptr<View> view;
  };
  struct Answer {  // a small message to a sender, made while its token is fresh
    uint32_t flow;
    uint64_t reply;
    uint8_t bytes[kMessage];
  };
  using Key = std::pair<uint64_t, uint32_t>;  // session and stream

  void arrived(const todd_batch& b, const todd_done& d, std::string_view bytes);
  void asked(const todd_done& d, const Header& h, int64_t now_ns);
  void data(const todd_done& d, const Header& h, int64_t now_ns);
  void ended(const todd_done& d, const Header& h, int64_t now_ns);
  void summarised(const Summary& summary);
  Stream* receiver(const todd_done& d, const Header& h, int64_t now_ns);
  void answer_header(const todd_done& d, const Header& h);
  void finish_receiving(Stream& s, uint64_t numbered, uint64_t unsent, int64_t now_ns);
  void refused(Stream& s, int positive_errno);
  void tell(Stream& s);
  void run(Stream& s, todd_batch& b, bool stop);
  void send_data(Stream& s, todd_batch& b);
  bool send_message(Stream& s, Kind kind, todd_batch& b);
  bool send(Stream& s, const Header& h, uint32_t len, todd_batch& b);
  Stream& add(const Header& h, uint32_t flow, uint32_t edge, bool sending, int64_t now_ns);
  void over(Stream& s, int64_t forget_ns);
  void give_up(Stream& s, const char* reason, std::string_view text);
  std::shared_ptr<View> view_of(const Stream& s, bool sending);
  uint64_t cookie_for(uint64_t session, uint64_t reply) const;

  Sink& sink_;
  uint64_t secret_;
  bool responder_;
  std::map<Key, Stream> streams_;
  std::map<uint64_t, std::weak_ptr<View>> views_;
  std::set<uint64_t> timed_;  // sessions whose receiving time came in a summary
  std::unordered_map<uint64_t, Stream*> by_number_;
  uint64_t next_number_ = 1;
  std::deque<Answer> answers_;
};

}  // namespace todd::iperf
