#pragma once
// Requests of HTTP/1.x as their bytes arrive at the responder: Boost.Beast's parser, fed without sockets.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "plugins/http/wire.h"

namespace todd::http {

// Reads requests for the responder, stricter than Beast alone: a missing or double Host, a folded header and
// an unknown transfer coding are refused.
class RequestReader {
 public:
  RequestReader();
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // Adds bytes and reads on if no complete request is waiting.
  Read put(std::string_view bytes);
  // Goes on to the next request, which may be buffered already. Requires: the last call returned kDone.
  Read next();

  // After kDone.
  bool keep_alive() const;
  bool head() const;
  bool http11() const;                // not of 1.0, which knows no chunks
  const std::string& target() const;  // as it came
  bool echo() const;                  // a POST to /echo
  const std::string& body() const;    // of that; any other is discarded
  // GET and HEAD, and POST to /echo. 200, or the status of the refusal: 400, 405, 413, 431, 501. After
  // kFailed never 200.
  int status() const { return status_; }
  size_t buffered() const { return buffer_.size(); }

 private:
  class Parser;
  Read advance();
  Read fail(int status);
  bool folded(std::string_view consumed);

  std::unique_ptr<Parser> parser_;
  std::string buffer_;
  size_t head_bytes_ = 0;  // of this request, read so far
  bool done_ = false;
  int status_ = 200;
};

struct ResponseSpec {
  int status = 200;
  uint64_t body_bytes = 0;
  bool keep_alive = true, chunked = false, gzip = false;
  std::string_view location;  // empty: none
};
// The head of a response whose body follows; a 204 or 304 has none.
std::string response_head(const ResponseSpec& spec);

}  // namespace todd::http
