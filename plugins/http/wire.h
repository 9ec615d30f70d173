#pragma once
// HTTP/1.1 messages as bytes arrive: Boost.Beast's parser, fed without sockets, bodies counted and thrown
// away.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace todd::http {

inline constexpr uint32_t kMaxHead = 16 * 1024;  // start line and headers together

enum class Read {
  kMore,   // the message is not complete yet
  kDone,   // complete
  kFailed  // will never be: see why()
};

// Reads one response after another from a connection; each belongs to a GET.
class ResponseReader {
 public:
  // max_body: a longer body fails with why() "too_large".
  explicit ResponseReader(uint64_t max_body);
  ~ResponseReader();
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  // Forgets everything and expects a response.
  void reset();
  // The next bytes of the connection, in pieces of any size. Interim responses (1xx) are skipped. Requires:
  // the last call returned kMore, or reset().
  Read put(std::string_view bytes);
  // The connection ended. kDone for a body that ends with it.
  Read end();

  bool got_some() const { return got_some_; }  // at least one byte since reset()
  // The rest from kDone on.
  int status() const;
  uint64_t body_bytes() const;  // without chunk framing
  // The server allows another request here, and has sent nothing past this response.
  bool reusable() const;
  // After kFailed: "protocol", "too_large", "truncated" or "closed" (before the first byte).
  const char* why() const { return why_; }
  // For people: the parser's words.
  const std::string& detail() const { return detail_; }

 private:
  class Parser;
  Read step(std::string_view& in);
  Read fail(const char* why, std::string detail);
  Read skip_interim();

  uint64_t max_body_;
  std::unique_ptr<Parser> parser_;
  std::string buffer_;  // what the parser could not use yet
  bool got_some_ = false;
  int interim_ = 0;
  const char* why_ = "";
  std::string detail_;
};

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
  // 200, or the status of the refusal: 400, 405, 413, 431, 501. After kFailed never 200.
  int status() const { return status_; }
  size_t buffered() const { return buffer_.size(); }

 private:
  class Parser;
  Read advance();
  Read fail(int status);
  bool folded(std::string_view consumed);

  std::unique_ptr<Parser> parser_;
  std::string buffer_;
  bool done_ = false;
  int status_ = 200;
};

// A complete GET request.
std::string get_request(std::string_view path, std::string_view host, std::string_view user_agent,
                        bool keep_alive);

// The head of a response whose body of `body_bytes` follows.
std::string response_head(int status, uint64_t body_bytes, bool keep_alive);

}  // namespace todd::http
