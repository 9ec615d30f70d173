#pragma once
// A virtual host for testlets: drives create, start and step under a virtual clock, over links with scripted
// delay, loss and errors, and checks each operation against the contract in todd/testlet.h. What a testlet
// does wrong is thrown as std::logic_error, which fails the test. Deterministic: the same test makes the same
// calls.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/digest.h"
#include "todd/testlet.h"

namespace todd::test {

class TestletHost;

// Time and the order of events, shared by the hosts of one test.
class World {
 public:
  int64_t now_ns = 1'000'000'000;

  void at(int64_t when_ns, std::function<void()> what) {
    events_.emplace(std::max(when_ns, now_ns), std::move(what));
  }
  // Runs events and steps hosts until the given time, or until nothing is left to do.
  void run_for(int64_t duration_ns);

 private:
  friend class TestletHost;
  std::multimap<int64_t, std::function<void()>> events_;
  std::vector<TestletHost*> hosts_;
};

// What the far side of a stream is when it is no testlet. Methods of `Wire` act on the stream.
struct Wire {
  std::function<void(std::string_view bytes, int64_t delay_ns)> send;
  std::function<void(int64_t delay_ns)> end;               // no more bytes from the far side
  std::function<void(int error, int64_t delay_ns)> reset;  // error: positive errno
};
struct Script {
  int connect_result = 0;  // 0 or -errno
  int64_t connect_ns = 1'000'000;
  bool takes_nothing = false;  // what is sent to it waits, and holds its slots, until the stream is closed
  // Of a TLS handshake. Nothing is encrypted; tls_info() tells what stands in `tls`, 0 for all else.
  int tls_result = 0;
  int64_t tls_ns = 2'000'000;
  todd_tls_info tls{};
  std::function<void(Wire&)> accepted = [](Wire&) {};
  std::function<void(Wire&, std::string_view)> data = [](Wire&, std::string_view) {};
  std::function<void(Wire&)> ended = [](Wire&) {};
};

// How an EXCHANGE of a host without linked peer ends.
struct Answer {
  int64_t delay_ns = 1'000'000;
  int32_t result = 0;  // 0: the request comes back; else -errno
  bool local = false;
  std::optional<todd_icmp_error> icmp;
  uint8_t ttl = 64, tos = 0;
  std::function<void(std::string& reply)> edit;  // what becomes of the request on its way
};

struct Target {
  std::string name = "t", host = "192.0.2.1", url;
  uint16_t port = 80, family = 4;
  uint64_t peer_token = 0;
  TestletHost* peer = nullptr;  // a responder in the same world
  int64_t clock_offset_ns = 0, clock_error_ns = -1;
};

struct Options {
  uint32_t role = TODD_SOURCE;
  uint32_t flags = 0;                         // TODD_RF_*
  std::map<std::string, std::string> params;  // in spec syntax; defaults otherwise
  std::vector<Target> targets{Target{}};
  std::vector<uint64_t> tokens;  // role responder: of its peers
  int64_t timeout_ns = 1'000'000'000, duration_ns = 0;
  int64_t wall_minus_host_ns = 0;  // of this host's clocks
  double rate = 0;                 // HUGE_VAL: tickets that are not served are offered again
  uint32_t cap_op = 64, max_done = 64, slots = 16;
  uint32_t max_piece = 7;          // streams are delivered in pieces of 1..max_piece bytes
  double bits_per_s = 1e9;         // of what this host sends
  int64_t latency_ns = 1'000'000;  // one way, of what this host sends
  uint64_t socket_buffer = 0;      // bytes of streams that the system takes before they have left
  std::function<uint32_t()> retransmits = [] { return 3u; };  // of every stream, so far
  int resolve_result = 0;
  int64_t resolve_ns = 2'000'000;
  std::function<int(const std::string& host)> resolve;  // instead of resolve_result, if given
  std::function<Answer(uint32_t target, uint32_t round, std::string_view request)> answer =
      [](uint32_t, uint32_t, std::string_view) { return Answer{}; };
  std::function<Script*(uint32_t target)> connect = [](uint32_t) { return nullptr; };
  // Per datagram sent by this host: extra delay, or a negative number to lose it.
  std::function<int64_t(uint64_t n, std::string_view bytes)> datagram = [](uint64_t, std::string_view) {
    return 0;
  };
  // Per datagram sent by this host: an errno if its own system refuses it.
  std::function<int(std::string_view bytes)> refuse = [](std::string_view) { return 0; };
};

class TestletHost {
 public:
  TestletHost(World& world, const todd_testlet& testlet, Options options);
  ~TestletHost();
  TestletHost(const TestletHost&) = delete;
  TestletHost& operator=(const TestletHost&) = delete;

  // Each returns the status of the call; error_text says why it failed.
  todd_status check();
  todd_status create();
  todd_status start();  // creates too, if that was not done

  void ticket(uint32_t target, uint32_t round, int64_t due_ns);
  void begin(int64_t duration_ns = 0);  // state RUNNING, deadline now + duration; no target is finished
  void warm_up();                       // state WARMING_UP, until begin()
  void drain() {
    state_ = TODD_DRAINING;
    wake_ns_ = world_.now_ns;
  }
  void cancel();  // state CANCELLED; everything pending completes -ECANCELED

  // Of a responder: a client that is no testlet connects, or a datagram comes from a host that takes no
  // answers (to a flow of TODD_PEERS from a new one each time).
  Wire dial(Script& client);
  void datagram(std::string bytes);

  bool finished() const { return status_ == 1; }
  size_t open_digests() const;
  todd_status status() const { return status_; }
  bool ready() const { return ready_; }
  uint16_t published() const { return published_; }
  uint32_t dropped_tickets() const { return dropped_tickets_; }  // not served, of targets it has not finished
  bool finished_target(uint32_t target) const { return finished_targets_.contains(target); }
  size_t pending_operations() const { return pending_.size(); }
  size_t open_streams() const;

  uint64_t counter(const std::string& metric, uint32_t target = 0) const;
  double gauge(const std::string& metric, uint32_t target = 0) const;
  std::vector<uint64_t> observed(const std::string& metric, uint32_t target = 0) const;
  uint64_t tally(const std::string& metric, const std::string& key, uint32_t target = 0) const;
  std::string information(const std::string& metric, uint32_t target = 0) const;

  std::string error_text;
  std::vector<std::string> notes;           // "outcome: text"
  std::map<uint32_t, std::string> refused;  // targets that it will not test, and why
  std::vector<std::string> logs;
  std::vector<std::string> server_names;  // of TLS handshakes
  std::vector<todd_sample> samples;
  std::vector<todd_op> operations;  // every operation so far
  bool listen_fails = false;

 private:
  friend class World;
  struct Flow;
  struct Stream;
  struct Pending;
  struct Bulk;
  struct Api;

  bool is_reply(const todd_op& op, const std::string& bytes);
  void step();
  bool may_step() const;
  bool wants_step() const;
  std::vector<todd_ticket> due_tickets();
  void fill_done(std::vector<todd_done>& done, std::vector<std::string>& bytes);
  void accept(const todd_op& op);
  void perform(const todd_op& op, std::string payload);
  void exchange(const todd_op& op, std::string payload);
  void send_datagram(const todd_op& op, std::string payload);
  void deliver_datagram(uint32_t flow, TestletHost* from, uint32_t from_flow, std::string bytes);
  bool answers_exchange(uint32_t flow, const std::string& bytes);
  uint64_t depart(const todd_op& op, TestletHost* to, uint32_t to_flow, const std::string& payload);
  const Flow* listener(uint16_t proto, uint32_t& flow) const;
  void send_stream(const todd_op& op, std::string payload);
  int64_t buffer_ns() const;
  int64_t depart_stream(uint64_t stream, std::string payload);
  todd_status begin_bulk(uint32_t flow, uint64_t stream, const todd_bulk_job& job, uint64_t* number);
  todd_status count_bulk(uint64_t number, todd_bulk_count* out) const;
  Bulk* running_bulk(uint64_t stream, bool sending, uint64_t* number = nullptr);
  void end_bulk(uint64_t number, int result);
  void end_bulks(uint64_t stream, int result, bool forget);
  void send_bulk(uint64_t number);
  void number_datagram(Bulk& b, std::string& bytes);
  void take_bulk(uint64_t number, const std::string& bytes);
  bool is_peers(uint64_t stream) const;
  void connect_peers(uint64_t pending, const todd_op& op);
  void deliver_peers(TestletHost* from, uint64_t from_stream, uint64_t to_stream, std::string bytes);
  void connect(const todd_op& op);
  void close(const todd_op& op);
  void shutdown(const todd_op& op);
  void handshake(const todd_op& op, std::string name);
  Wire wire_of(uint64_t stream);
  uint64_t accept_stream(uint32_t flow);
  void pump(uint64_t stream);
  void stream_in(uint64_t stream, std::string bytes);
  void stream_end(uint64_t stream, int result);
  void send_end(uint64_t stream, const Stream& s);
  void connected(uint64_t pending, uint32_t flow, TestletHost* peer, Script* script);
  int64_t departure(size_t bytes);
  uint64_t add_pending(const todd_op& op);
  void complete(uint64_t pending, int32_t result, uint16_t flags = 0, std::string bytes = {},
                uint64_t arg = 0, uint16_t port = 0, uint8_t ttl = 64, uint8_t tos = 0);
  void complete_at(int64_t when, uint64_t pending, int32_t result, uint64_t arg = 0, uint16_t port = 0);
  uint32_t metric_index(const std::string& name) const;

  World& world_;
  const todd_testlet& testlet_;
  Options options_;
  std::vector<std::string> texts_;
  std::vector<todd_value> values_;
  todd_host host_{};
  todd_run run_{};
  todd_lane lane_{};
  void* self_ = nullptr;
  bool started_ = false, ready_ = false;
  todd_status status_ = 0;
  uint32_t state_ = TODD_PREPARED, dropped_tickets_ = 0;
  uint16_t published_ = 0, next_port_ = 7500;
  int64_t wake_ns_ = 0, start_ns_ = 0, deadline_ns_ = 0, free_at_ns_ = 0;
  uint64_t next_id_ = 1, datagrams_ = 0, lcg_ = 42;
  std::deque<todd_ticket> tickets_;
  std::vector<todd_ticket> kept_;  // not served, of a plan as fast as served
  std::set<uint32_t> finished_targets_;
  std::vector<std::unique_ptr<Flow>> flows_;
  std::map<uint64_t, Stream> streams_;
  std::map<uint64_t, Pending> pending_;
  std::map<uint64_t, Bulk> bulks_;
  std::deque<std::pair<todd_done, std::string>> ready_done_;
  std::vector<std::pair<TestletHost*, uint32_t>> senders_;  // reply token - 1 -> who
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> counters_;
  std::map<std::pair<uint32_t, uint32_t>, double> gauges_;
  std::map<std::pair<uint32_t, uint32_t>, std::vector<uint64_t>> observed_;
  std::map<std::pair<uint32_t, uint32_t>, std::map<std::string, uint64_t>> tallies_;
  std::map<std::pair<uint32_t, uint32_t>, std::string> informed_;
  std::vector<std::unique_ptr<io::Digest>> digests_;  // nullptr: closed
  std::string undeclared_;                            // a key that its breakdown does not declare
};

}  // namespace todd::test
