// Any bytes, in any pieces: the parser never crashes, never consumes more than it was offered, always gets
// on, and what it says does not depend on how the bytes were cut.

#include <algorithm>
#include <string>

#include "coordinator/api/request_parser.h"
#include "engine/base/check.h"

namespace {

using todd::api::RequestParser;

struct Outcome {
  bool done = false;
  int error_status = 0;
  std::string method, path, body;
  bool operator==(const Outcome&) const = default;
};

Outcome parse(std::string_view bytes, size_t piece) {
  RequestParser parser({.head_bytes = 1024, .header_count = 20, .body_bytes = 2048});
  std::string in;
  while (true) {
    const auto step = parser.feed(in);
    TODD_CHECK(step.consumed <= in.size());
    in.erase(0, step.consumed);
    if (step.state == RequestParser::State::failed) {
      TODD_CHECK(parser.error_status() >= 400);
      return {false, parser.error_status(), "", "", ""};
    }
    if (step.state == RequestParser::State::done) {
      return {true, 0, parser.request().method, parser.request().path, parser.request().body};
    }
    if (step.state == RequestParser::State::head || step.consumed > 0) continue;
    if (bytes.empty()) return {};
    const size_t n = std::min(piece, bytes.size());
    in.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = parse(bytes, bytes.size() + 1);
  const auto pieces = parse(bytes, 1 + data[0] % 16);
  TODD_CHECK(whole.done == pieces.done);
  if (whole.done) TODD_CHECK(whole == pieces);
  return 0;
}
