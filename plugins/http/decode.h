#pragma once
// Bodies that came compressed (RFC 9110 section 8.4.1), as a stream: zlib, hidden in decode.cc.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "plugins/http/answer.h"

namespace todd::http {

// Gives another sink what a body decodes to; one that is not coded goes through as it is. gzip may have
// several members; deflate is in the wrapper of zlib, or bare, as some servers send it. A body of no bytes
// decodes to none whatever its coding, since the answer to a HEAD names one too.
//
// Fails with "too_large" beyond the bound, "truncated" where the coded data ends too early, and "protocol"
// for data that is damaged or goes on past its end, and for a coding we do not know. After a failure only
// begin() may be called. Memory: about 40 KiB from the first byte of a coded body to finish(), a failure, or
// the next begin(); 16 KiB of stack in put().
class Decoder : public BodySink {
 public:
  // At most `max` bytes go to `to`, which must outlive the decoder.
  Decoder(BodySink& to, uint64_t max);
  ~Decoder() override;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  void begin(Coding coding) override;
  const char* put(std::string_view bytes) override;
  const char* finish() override;
  std::string detail() const override;

 private:
  struct Stream;

  const char* decode(std::string_view bytes);
  const char* give(std::string_view decoded);
  const char* fail(const char* why, std::string detail);

  BodySink& to_;
  uint64_t max_;
  uint64_t given_ = 0;
  Coding coding_ = Coding::kIdentity;
  std::unique_ptr<Stream> stream_;  // none: no byte of a coded body has come
  std::string detail_;              // of our own refusals; empty: it is the other sink's
};

}  // namespace todd::http
