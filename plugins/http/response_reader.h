#pragma once
// Responses of HTTP/1.x as their bytes arrive: Boost.Beast's parser, fed without sockets.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "plugins/http/answer.h"
#include "plugins/http/wire.h"

namespace todd::http {

// Reads one response after another from a connection. About 300 bytes and no more between two responses;
// a response that comes whole costs no allocation.
class ResponseReader {
 public:
  explicit ResponseReader(const Want& want = {});
  ~ResponseReader();
  ResponseReader(const ResponseReader&) = delete;
  ResponseReader& operator=(const ResponseReader&) = delete;

  // Forgets everything and expects a response, of which is wanted what was wanted before, or what is given.
  void reset();
  void reset(const Want& want);
  // The next bytes of the connection, in pieces of any size. Interim responses (1xx) are skipped. Requires:
  // the last call returned kMore, or reset().
  Read put(std::string_view bytes);
  // The connection ended. kDone for a body that ends with it.
  Read end();

  bool got_some() const { return got_some_; }  // at least one byte since reset()
  // The head of the final response is complete; the next four and the wanted headers from then on.
  bool head_done() const { return head_done_; }
  int status() const { return status_; }               // 200..999
  int version() const { return version_; }             // 10 or 11
  uint32_t head_bytes() const { return head_bytes_; }  // as on the wire, with those of interim responses
  Coding coding() const { return coding_; }
  uint64_t body_bytes() const { return body_bytes_; }  // without framing
  uint64_t wire_bytes() const { return wire_bytes_; }  // all that was read of the response
  // After kDone: the server allows another request here, and has sent nothing past this response.
  bool reusable() const;
  // After kDone: something came behind the response.
  bool has_more() const { return !buffer_.empty(); }
  // After kFailed: "protocol", "too_large", "truncated" or "closed" (before the first byte).
  const char* why() const { return why_; }
  // For people: what was wrong.
  const std::string& detail() const { return detail_; }

 private:
  class Parser;
  Parser& parser();
  const Parser& parser() const;
  void renew();
  Read step(std::string_view& in);
  Read head_complete();
  Read complete();
  Read fail(const char* why, std::string detail);

  static constexpr size_t kParserBytes = 128;

  Want want_;
  alignas(8) std::byte storage_[kParserBytes];  // the parser: made anew in place for each response
  std::string buffer_;                          // what the parser could not use yet
  const char* why_ = "";
  const char* refusal_ = nullptr;  // the sink's
  std::string detail_;
  uint64_t body_bytes_ = 0, wire_bytes_ = 0;
  uint32_t head_bytes_ = 0;
  int16_t status_ = 0;
  uint8_t version_ = 0, interim_ = 0;
  Coding coding_ = Coding::kIdentity;
  bool got_some_ = false, head_done_ = false;
};

}  // namespace todd::http
