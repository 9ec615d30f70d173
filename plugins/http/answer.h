#pragma once
// What becomes of an answer while it comes, whichever version of HTTP brings it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/http/headers.h"
#include "todd/testlet.h"

namespace todd::http {

// How a body is coded (Content-Encoding).
enum class Coding : uint8_t {
  kIdentity,
  kGzip,
  kDeflate,
  kOther  // something else, or more than one
};

// The coding after one more value of Content-Encoding.
Coding coding_with(Coding so_far, std::string_view value);

// Takes the body of one answer as it comes. The views given are valid during the call only.
class BodySink {
 public:
  virtual ~BodySink() = default;
  // The head is complete. Once per answer, before anything else.
  virtual void begin(Coding coding) = 0;
  // The next bytes, without framing. nullptr, or the reason why the answer fails: "protocol", "too_large".
  virtual const char* put(std::string_view bytes) = 0;
  // The body is complete. As put().
  virtual const char* finish() = 0;
  // For people: what a refusal was about.
  virtual std::string detail() const = 0;
};

// What the caller wants of an answer. Whatever is pointed at must outlive the answer.
struct Want {
  uint64_t max_body = UINT64_MAX;  // a longer one, as it is on the wire, fails as "too_large"
  Headers* headers = nullptr;      // cleared, and filled with those of the final response; trailers are not
  BodySink* body = nullptr;        // none: bytes are only counted
  bool bodiless = false;           // the answer to a HEAD: its Content-Length announces nothing
};

// A SHA-256 that the host has open for us alone.
struct HostDigest {
  const todd_digest& table;
  const todd_lane* lane;
  uint32_t number;
};

// Keeps the first bytes of a body, for checks.
class BodyKeeper : public BodySink {
 public:
  // digest: all of it goes through this, too, for sha256().
  explicit BodyKeeper(size_t limit, std::optional<HostDigest> digest = {}) : limit_(limit), digest_(digest) {}

  void begin(Coding coding) override;
  const char* put(std::string_view bytes) override;
  const char* finish() override { return nullptr; }
  std::string detail() const override { return ""; }

  // At most `limit` bytes of it, and whether they are all.
  std::string_view text() const { return text_; }
  bool whole() const { return bytes_ == text_.size(); }
  uint64_t bytes() const { return bytes_; }
  // Of the whole body, in hexadecimal and lower case; empty without a digest. Until begin() nothing may
  // follow.
  std::string_view sha256();

 private:
  size_t limit_;
  uint64_t bytes_ = 0;
  std::string text_;
  std::optional<HostDigest> digest_;
  std::string sha256_;  // empty: the body goes on
};

}  // namespace todd::http
