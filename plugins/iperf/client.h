#pragma once
// One test of a source against one target, as iperf3's client.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugins/iperf/control.h"
#include "plugins/iperf/line.h"
#include "plugins/iperf/services.h"
#include "plugins/iperf/transfer.h"
#include "todd/testlet.hpp"

namespace todd::iperf {

// Connects, asks, opens the data streams, lets them run, exchanges results and closes. Completions of
// operations with `user()` are its own; it finds the stream of each by its id.
class Client {
 public:
  struct Settings {
    uint32_t number = 0, target = 0;  // number: of this client in its instance
    uint32_t control_flow = TODD_NONE, data_flow = TODD_NONE;
    uint8_t tos = 0;
    std::string cookie;
    Params params;
    int64_t omit_ns = 0, duration_ns = 0, timeout_ns = 0;
  };
  Client(Services& services, Settings settings);

  void begin(int64_t now_ns);
  void take(const todd_batch& b, const todd_done& d);
  // stop: end now, and exchange results of what there is.
  void step(todd_batch& b, bool stop);
  void cancel(int64_t now_ns);  // the host has closed everything
  bool over() const { return phase_ == Phase::kOver; }

  static uint32_t number_of(uint64_t user) { return static_cast<uint32_t>(user >> 16); }

 private:
  enum class Phase { kIdle, kActive, kClosing, kOver };
  enum class Stage { kAhead, kRunning, kEnding, kEnded, kStopping, kReported };
  struct Data {
    bool sending = false, asked = false, connected = false, ready = false;
    int64_t next_hello_ns = 0;
    Line line;
  };

  uint64_t user(size_t data) const { return uint64_t{settings_.number} << 16 | data; }  // 0: the control line
  Data* find(uint64_t stream);
  void connected(const todd_done& d, int64_t now_ns);
  void arrived(const todd_batch& b, const todd_done& d);
  void open_streams(todd_batch& b);
  void greet(Data& data, int64_t now_ns);
  void follow(todd_batch& b);  // what the control connection wants
  void run(todd_batch& b, bool stop);
  void check_deadlines(todd_batch& b);
  void finish(todd_batch& b);
  void flush(todd_batch& b);

  Services& services_;
  Settings settings_;
  ClientControl control_;
  Transfer transfer_;
  Line line_;
  std::vector<Data> data_;
  outbox outbox_;
  Phase phase_ = Phase::kIdle;
  Stage stage_ = Stage::kAhead;
  bool opening_ = false;
  int64_t poll_ns_ = INT64_MAX, close_by_ns_ = INT64_MAX;
};

}  // namespace todd::iperf
