#pragma once
// What a request asks of the responder, in the words of its query, and the body that makes of it. No sockets.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace todd::http {

// A value type.
struct Wish {
  int status = 200;              // 200..599
  std::optional<uint64_t> size;  // bytes of the body before compression; none: the responder's own
  int64_t delay_ns = 0;          // before the first byte of the answer
  bool chunked = false, gzip = false, close = false;
  std::string location;  // not empty: answer 302 and this instead
};

constexpr uint64_t kMaxWishedSize = 1'000'000'000, kMaxGzipSize = 4'000'000;
constexpr int64_t kMaxDelayNs = 20'000'000'000;

// True for what a POST may ask for, /echo: its body comes back.
bool is_echo(std::string_view target);

// Reads the words after the "?" of a request's target: size=10k, delay=50ms, status=503, chunked=1, gzip=1,
// close=1, redirect=3, in any order, separated by "&". redirect=N leads to the same target with N-1, and at 0
// to the rest of the words. `bad`: set to the first word that is unknown, out of range or makes no sense
// here, printable and of at most 64 characters; the rest is then not to be used.
Wish parse_wish(std::string_view target, std::string& bad);

// `text` as gzip. A bounded piece of work for up to kMaxGzipSize.
std::string gzipped(std::string_view text);

// The bytes after the head of an answer: a text, or so many of 'x', in one piece or in chunks. A value type.
class Content {
 public:
  Content() = default;
  explicit Content(uint64_t size) : size_(size) {}
  explicit Content(std::string text) : size_(text.size()), text_(std::move(text)) {}

  void in_chunks() { chunked_ = true; }
  bool chunked() const { return chunked_; }
  uint64_t size() const { return size_; }  // without framing
  uint64_t wire_size() const;
  // Writes bytes [offset, offset + size) of what is on the wire. Requires: they are within wire_size().
  void copy(uint64_t offset, char* out, size_t size) const;

 private:
  size_t copy_some(uint64_t offset, char* out, size_t size) const;
  void copy_content(uint64_t at, char* out, size_t size) const;

  uint64_t size_ = 0;
  std::string text_;  // empty: all 'x'
  bool chunked_ = false;
};

}  // namespace todd::http
