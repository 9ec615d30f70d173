#pragma once
// The http testlet: one GET per ticket as a source, over connections that are kept; see responder.h for the
// other role.

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugins/http/responder.h"
#include "plugins/http/response_reader.h"
#include "todd/testlet.hpp"

namespace todd::http {

class Http : public testlet<Http> {
 public:
  static constexpr todd::info info{
      "http",
      "0.1.0",
      "HTTP/1.1 requests: phase times, status codes and failures",
      TODD_SOURCE | TODD_RESPONDER,
      TODD_TF_TICKETS,
      TODD_TARGET_URL,
      80,
      0,
      "Sends one GET per ticket (open model: a slow server does not slow the requests down) and times each "
      "phase. "
      "Answers of 2xx and 3xx are ok. Needs no responder, but has one: agents as targets answer themselves."};
  static constexpr todd::schedule schedule{"10", "1s", nullptr, nullptr, "5s"};
  static constexpr auto expect = todd::expect("failed == 0");

  static constexpr auto connections =
      todd::integer("connections", "1", "connections to a target at the same time").range("1", "1024");
  static constexpr auto keep_alive =
      todd::boolean("keep_alive", "true", "use a connection for more than one request");
  static constexpr auto path = todd::text("path", "/", "what to request where the target is not a URL");
  static constexpr auto host_header =
      todd::text("host_header", "", "Host header instead of the target's own");
  static constexpr auto user_agent = todd::text("user_agent", "todd", "User-Agent header; empty for none");
  static constexpr auto max_body =
      todd::size("max_body", "16M", "a longer response body fails as too_large").range("0", "1T");
  static constexpr auto response_size =
      todd::size("response_size", "1k", "body of the responder's answers").range("0", "1G");
  static constexpr auto params =
      todd::params(&connections, &keep_alive, &path, &host_header, &user_agent, &max_body, &response_size);

  static constexpr auto ok = todd::counter("ok", "{response}", "complete responses with status 2xx or 3xx");
  static constexpr auto failed =
      todd::counter("failed", "{request}", "requests without a complete response, or with another status");
  static constexpr auto dropped =
      todd::counter("dropped", "{request}",
                    "requests that were due while all connections were busy and two requests waited already");
  static constexpr auto bytes =
      todd::counter("bytes", "By", "bytes of response bodies, without headers and chunk framing");
  static constexpr auto status = todd::breakdown("status", "{response}", "complete responses by status code");
  static constexpr auto reasons = todd::breakdown("reasons", "{request}", "failed requests by reason")
                                      .keyed(
                                          "resolve|refused|unreachable|timeout|reset|closed|truncated|"
                                          "protocol|too_large|status|denied|local|cancelled");
  static constexpr auto resolve =
      todd::histogram("resolve", "ns", "resolving the name, for each new connection to a name");
  static constexpr auto connect =
      todd::histogram("connect", "ns", "opening a new connection, after the name was resolved");
  static constexpr auto first_byte =
      todd::histogram("first_byte", "ns", "from the request's start to the first byte of the response");
  static constexpr auto transfer =
      todd::histogram("transfer", "ns", "from the first to the last byte of the response");
  static constexpr auto response_time = todd::histogram(
      "response_time", "ns",
      "from the request's start, resolving and connecting included when they happen, to the last byte");
  static constexpr auto corrected_time =
      todd::histogram("corrected_time", "ns", "from the time the request was due to the last byte");
  static constexpr auto metrics =
      todd::metrics(&ok, &failed, &dropped, &bytes, &status, &reasons, &resolve, &connect, &first_byte,
                    &transfer, &response_time, &corrected_time);

  static void check(const todd_run& run);
  void start();
  bool step(todd_batch& b);

 private:
  static constexpr uint32_t kQueue = 2;  // requests that wait for a connection, per target

  struct Due {
    int64_t due_ns = 0;
    uint32_t round = 0;
  };
  struct Target {
    std::string request, name;
    std::vector<uint32_t> idle;  // connections, the last used at the back
    std::array<Due, kQueue> waiting{};
    uint32_t n_waiting = 0, open = 0;
    bool resolves = false;
    bool default_port = false;  // the target names none
  };
  struct Request {
    uint64_t serial = 0;
    Due due;
    int64_t start_ns = 0, phase_ns = 0, first_ns = 0;  // phase_ns: when resolving or connecting began
    bool sent = false, retried = false;
  };
  struct Connection {
    explicit Connection(uint64_t limit) : reader(Want{limit}) {}
    ResponseReader reader;
    std::optional<Request> request;  // none: idle, or free
    uint64_t stream = 0;             // 0: not connected
    uint32_t target = 0, generation = 0;
    bool used = false;  // has carried a complete response
  };
  struct Deadline {
    int64_t at_ns;
    uint32_t connection;
    uint64_t serial;
  };

  void start_source();
  void step_source(todd_batch& b);
  std::string request_for(const todd_target& facts, Target& t);

  bool has_room(uint32_t target) const;  // for a request that starts at once
  void due(todd_batch& b, const todd_ticket& ticket);
  void begin(uint32_t index, Due due, int64_t now_ns);
  void open_stream(uint32_t index, int64_t now_ns);
  void take(todd_batch& b, const todd_done& d);
  void resolved(Connection& c, uint32_t index, const todd_done& d, int64_t now_ns);
  void connected(Connection& c, uint32_t index, const todd_done& d);
  void received(const todd_batch& b, Connection& c, uint32_t index, const todd_done& d);
  void broken(Connection& c, uint32_t index, const char* reason, const std::string& text, int64_t now_ns);
  void complete(Connection& c, uint32_t index, int64_t now_ns);
  void fail(Connection& c, uint32_t index, const char* reason, const std::string& text, int64_t now_ns);
  void record_sample(const Connection& c, const char* outcome, int64_t rtt_ns);
  void release(Connection& c, uint32_t index, bool reusable, int64_t now_ns);
  void disconnect(Connection& c);
  void expire(todd_batch& b);
  void send_requests(todd_batch& b);
  bool cancelled(todd_batch& b);
  bool wind_up();
  uint32_t new_connection(uint32_t target);
  uint64_t user_of(uint32_t index) const;

  uint32_t flow_ = TODD_NONE;
  std::unique_ptr<Responder> responder_;
  std::vector<Target> targets_;
  std::deque<Connection> connections_;  // grows up to what is open at once; never shrinks
  std::vector<uint32_t> free_;
  std::deque<Deadline> deadlines_;                      // in order: every request has the same time
  std::deque<std::pair<uint32_t, uint64_t>> sendable_;  // connection and serial of requests to hand over
  outbox outbox_;
  uint64_t serial_ = 0;
  uint32_t active_ = 0;  // requests begun and not ended
  bool keep_alive_ = true;
};

}  // namespace todd::http
