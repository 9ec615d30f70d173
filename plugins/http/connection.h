#pragma once
// A connection of the http testlet as a source.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "plugins/http/h2.h"
#include "plugins/http/response_reader.h"
#include "todd/testlet.h"

namespace todd::http {

// Where connections go.
struct Endpoint {
  uint32_t target = TODD_NONE;  // the host's number of it
  uint16_t port = 0;            // 0: the target's
  bool https = false;
  bool resolves = false, named = false;  // named: by no address
  bool foreign = false;                  // of another origin than the target's
  bool for_token = false;                // of who has tokens: no edge counts what happens there
  std::string server_name;               // for TLS
  std::string way;                       // what a proxy is asked for the way there; empty: it is not asked
};

bool is_literal(const std::string& host);  // an address, no name

// The closed word for an errno of CONNECT, SEND, RECV or TLS.
const char* reason_of(int positive_errno);

// A request whose last byte is in that SEND of its connection.
struct Leaving {
  uint32_t send = 0, call = 0;
  uint64_t serial = 0;  // of the call
};

struct Connection {
  enum class Phase : uint8_t { free, resolving, connecting, asking, shaking, ready };

  ResponseReader reader;                // HTTP/1.1
  std::unique_ptr<H2Session> h2;        // HTTP/2, once it is known to be that
  std::vector<uint32_t> calls;          // that wait for it, or are on it
  std::vector<Leaving> leaving;         // in order
  std::unique_ptr<Endpoint> elsewhere;  // of a redirect; none: the target's own
  uint64_t stream = 0;                  // 0: not open
  int64_t heard_ns = 0;                 // when it last brought something
  int64_t not_after_s = 0;              // of the certificate, where checks want it
  int64_t phase_ns = 0;                 // when its phase began
  uint32_t target = 0;                  // of the run
  uint32_t generation = 0;
  uint32_t puts = 0, sends = 0;  // SENDs so far; of them those that have not left
  uint16_t tls_version = 0;
  Phase phase = Phase::free;
  bool pooled = true;       // counts among the target's connections
  bool used = false;        // has carried a request
  bool served = false;      // has carried a complete answer
  bool last = false;        // takes no further request
  bool greets = false;      // the TLS handshake is to be begun
  bool reading = false;     // HTTP/1.1: a request is out, of the proxy too
  bool in_session = false;  // what happens now, its session calls
  bool spare = false;       // is among the target's spare ones
  bool writing = false;     // is among those with something to send
};

}  // namespace todd::http
