#pragma once
// Bytes to one HTTP/1 request, strictly: what two readers could understand differently is refused.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "coordinator/api/http.h"

namespace todd::api {

struct ParseLimits {
  size_t head_bytes = 16 * 1024;
  size_t header_count = 100;
  size_t body_bytes = 1 << 20;  // unless set_body_limit says otherwise
};

// For one request; a new one for the next. Neither socket nor clock.
class RequestParser {
 public:
  // need_more: offer the unconsumed rest again with more behind it. head: everything of request() but the
  // body is known; call feed again for the body. failed: error_status() and error_detail() say how to answer;
  // the connection is unusable.
  enum class State { need_more, head, done, failed };
  struct Step {
    State state;
    size_t consumed;
  };

  explicit RequestParser(const ParseLimits& limits);
  ~RequestParser();

  Step feed(std::string_view bytes);

  // After State::head. A request whose announced length is above fails at once.
  void set_body_limit(size_t bytes);

  Request& request();
  bool keep_alive() const;      // after State::head
  bool takes_chunks() const;    // after State::head: a response may be chunked
  bool wants_continue() const;  // after State::head: the client waits for 100 Continue
  int error_status() const;     // 400, 413, 417, 431 or 505
  const std::string& error_detail() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::api
