#pragma once
// The http testlet as a responder: a small server that answers every GET with the bytes it asks for.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "plugins/http/request_reader.h"
#include "plugins/http/wish.h"
#include "todd/testlet.hpp"

namespace todd::http {

// Bounded in every direction: connections, head, body of a request, time to send a request, bytes buffered,
// what a request may ask for.
// Drives the streams of one flow; knows nothing of the host but the batch. One lane.
class Responder {
 public:
  explicit Responder(uint64_t response_bytes) : response_bytes_(response_bytes) {}

  // Puts the LISTEN, over TLS if that is a context. Call once, then step() with every batch.
  void open(uint32_t flow, uint32_t tls = 0);
  void step(todd_batch& b);

  // The port once it listens; 0 before. Throws todd::error from step() if it cannot listen.
  uint16_t port() const { return port_; }

 private:
  using Delays = std::multimap<int64_t, uint64_t>;  // when to answer -> connection
  struct Connection {
    RequestReader reader;
    std::string head;                       // of the response being sent
    Content content;                        // what follows it
    std::optional<Delays::iterator> delay;  // the response is made, but not due yet
    uint64_t left = 0;                      // bytes of head and body not handed over yet
    uint64_t offset = 0;
    uint32_t in_flight = 0;  // sends
    bool answering = false, closing = false, queued = false;
    int64_t active_ns = 0;  // when the peer last finished something
  };

  void take(todd_batch& b, const todd_done& d);
  void received(todd_batch& b, const todd_done& d, Connection& c);
  void go_on(uint64_t id, Connection& c, Read read, int64_t now_ns);
  void answer(uint64_t id, Connection& c, int64_t now_ns);
  void send(uint64_t id, Connection& c, ResponseSpec spec, Content content);
  Content content_of(const Connection& c, const Wish& wish);
  void end_delays(todd_batch& b);
  void send_all(todd_batch& b);
  bool send_piece(todd_batch& b, uint64_t id, Connection& c);
  void queue(uint64_t id, Connection& c);
  void drop(uint64_t id);
  void sweep(todd_batch& b);

  uint64_t response_bytes_;
  uint32_t flow_ = TODD_NONE;
  uint16_t port_ = 0;
  int64_t next_sweep_ns_ = 0;
  outbox outbox_;
  std::unordered_map<uint64_t, Connection> connections_;
  Delays delays_;
  std::pair<uint64_t, std::string> gzip_;  // the last size that was asked for as gzip, and that
  std::deque<uint64_t> sending_;           // connections with bytes to hand over
};

}  // namespace todd::http
