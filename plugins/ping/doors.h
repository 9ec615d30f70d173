#pragma once
// TCP connections that are opened only to see that they can be: who accepts them, and how they end.

#include <cstdint>
#include <vector>

#include "todd/testlet.hpp"

namespace todd::ping {

class Doors {
 public:
  // A responder: asks for a port to listen on. take() says when it is there.
  void listen() { to_listen_ = true; }
  // A completion of the flow. True once, when `port` of it is the one where connections are accepted. Throws
  // todd::error if there is none.
  bool take(const todd_done& d);
  void close(uint64_t stream) { closing_.push_back(stream); }
  // As many operations as the batch has room for; the others wait for the next step.
  void flush(todd_batch& b, uint32_t flow);

 private:
  bool to_listen_ = false;
  std::vector<uint64_t> closing_;
};

}  // namespace todd::ping
