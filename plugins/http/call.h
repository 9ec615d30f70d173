#pragma once
// A request under way, from when it is taken up until its answer, behind redirects too, is judged.

#include <cstdint>
#include <memory>
#include <optional>

#include "plugins/http/answer.h"
#include "plugins/http/headers.h"
#include "plugins/http/redirect.h"
#include "plugins/http/request.h"
#include "todd/testlet.h"

namespace todd::http {

struct Due {
  int64_t due_ns = 0;
  uint32_t round = 0;
};

// What is kept of an answer that is looked at, and where it leads. A call that only counts has none.
struct Inquiry {
  Headers headers;
  std::unique_ptr<BodyKeeper> keeper;
  std::unique_ptr<BodySink> decoder;  // writes to the keeper
  std::optional<Redirects> redirects;
  std::optional<Request> request;  // of the hop, where it is not the target's own
};

struct Call {
  // For the next request of the same call.
  void begin_again() { sent_ns = left_ns = first_ns = 0; }

  uint64_t serial = 0;  // 0: free
  uint32_t target = 0;  // of the run
  uint32_t connection = TODD_NONE;
  Due due;
  int64_t start_ns = 0;
  int64_t sent_ns = 0;   // handed to the connection, 0: not yet
  int64_t left_ns = 0;   // its last byte taken by the system, 0: not yet
  int64_t first_ns = 0;  // first byte of the answer, 0: not yet
  bool retried = false;
  bool fetches = false;                    // a token, for other calls: no edge counts it
  uint32_t token_number = 0;               // that it goes with; 0: none
  std::shared_ptr<const Request> request;  // with that token
  bool on_stream = false;                  // of HTTP/2, which has not ended
  std::unique_ptr<Inquiry> inquiry;        // kept from one use to the next
};

}  // namespace todd::http
