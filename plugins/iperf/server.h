#pragma once
// The responder, as iperf3's server, but of many clients at once: a session for each, known by its cookie.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "plugins/iperf/control.h"
#include "plugins/iperf/line.h"
#include "plugins/iperf/services.h"
#include "plugins/iperf/transfer.h"
#include "todd/testlet.hpp"

namespace todd::iperf {

// Each accepted connection of its flow is given to arrived(); the first 37 bytes say which session it is of,
// or that it begins one.
class Server {
 public:
  struct Settings {
    uint32_t flow = TODD_NONE;
    int64_t timeout_ns = 0;
  };
  static constexpr uint32_t kMaxSessions = 64;
  static constexpr uint32_t kMaxStreamsOfAll = 1024;  // data streams of all sessions
  static constexpr size_t kMaxUnknown = 256;          // connections whose cookie has not come

  Server(Services& services, const Settings& settings) : services_(services), settings_(settings) {}

  // Once; its completion is the owner's.
  void listen() { outbox_.put(make_op(TODD_OP_LISTEN, settings_.flow, 0)); }
  // Any other completion of the flow.
  void take(const todd_batch& b, const todd_done& d);
  void step(todd_batch& b);
  // Tells the clients that it stops. Then step() until idle() or as long as there is time.
  void stop(int64_t now_ns);
  bool idle() const { return connections_.empty() && outbox_.empty(); }

 private:
  struct Session;
  // An accepted stream: not known yet, the control connection of a session, or one of its data streams.
  struct Connection {
    Session* session = nullptr;
    bool control = false, closing = false;
    std::string cookie;  // until it is whole
    uint64_t order = 0;  // of acceptance
    int64_t deadline_ns = 0;
    Line line;
  };
  struct Arrived {  // a data stream of a session whose others have not all come
    uint64_t order, stream, early;
  };
  struct Session {
    Session(std::string cookie_of, int64_t timeout_ns, int64_t now_ns)
        : cookie(std::move(cookie_of)), control(timeout_ns, now_ns) {}
    std::string cookie;
    std::vector<Arrived> arrived;
    ServerControl control;
    std::unique_ptr<Transfer> transfer;  // from its params on
    uint32_t edge = TODD_NONE, wanted = 0;  // wanted: data streams
    uint64_t stream = 0;                    // of the control connection
    uint64_t moved = 0;
    int64_t poll_ns = INT64_MAX;
    bool collecting = false, over = false;
  };

  void accepted(const todd_done& d, int64_t now_ns);
  void moved(const todd_done& d, const Connection& c, int64_t now_ns);
  void arrived(const todd_batch& b, const todd_done& d);
  void identify(uint64_t stream, Connection& c, std::string_view rest, int64_t now_ns);
  void begin_session(uint64_t stream, Connection& c, std::string_view rest, int64_t now_ns);
  void add_stream(Session& s, uint64_t stream, Connection& c, size_t early, int64_t now_ns);
  void admit(Session& s, int64_t now_ns);
  void follow(Session& s, todd_batch& b);
  void run(Session& s, todd_batch& b);
  void end(Session& s, int64_t now_ns);
  void close(Connection& c, int64_t now_ns);
  uint32_t streams_in_use() const;

  Services& services_;
  Settings settings_;
  std::unordered_map<uint64_t, Connection> connections_;
  std::vector<std::unique_ptr<Session>> sessions_;
  size_t unknown_ = 0;
  uint64_t next_order_ = 0;
  outbox outbox_;
};

}  // namespace todd::iperf
