#pragma once
// The http testlet as a responder: a small server that answers every GET with bytes.

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

#include "plugins/http/request_reader.h"
#include "todd/testlet.hpp"

namespace todd::http {

// Bounded in every direction: connections, head, body of a request, time to send a request, bytes buffered.
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
  struct Connection {
    RequestReader reader;
    std::string head;   // of the response being sent
    uint64_t left = 0;  // bytes of head and body not handed over yet
    uint64_t offset = 0;
    uint32_t in_flight = 0;  // sends
    bool answering = false, closing = false, queued = false;
    int64_t active_ns = 0;  // when the peer last finished something
  };

  void take(todd_batch& b, const todd_done& d);
  void received(todd_batch& b, const todd_done& d, Connection& c);
  void answer(uint64_t id, Connection& c, int status, bool keep_alive, bool body);
  void go_on(uint64_t id, Connection& c, Read read);
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
  std::deque<uint64_t> sending_;  // connections with bytes to hand over
};

}  // namespace todd::http
