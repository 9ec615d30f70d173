// Any target of a request to the responder: no crash, bounds kept, redirects that end where they should, and
// bodies that are what was asked for however they are cut.

#include <algorithm>
#include <string>

#include "engine/base/check.h"
#include "plugins/http/decode.h"
#include "plugins/http/wish.h"

namespace {

using namespace todd::http;

constexpr uint64_t kSmall = 20'000;

// What the chunks hold. Requires: it is whole, and nothing stands behind it.
std::string dechunked(std::string_view wire) {
  std::string body;
  for (;;) {
    const size_t line = wire.find("\r\n");
    TODD_CHECK(line != std::string_view::npos);
    const size_t n = std::stoul(std::string(wire.substr(0, line)), nullptr, 16);
    wire.remove_prefix(line + 2);
    TODD_CHECK(wire.size() >= n + 2 && wire.substr(n, 2) == "\r\n");
    body += wire.substr(0, n);
    wire.remove_prefix(n + 2);
    if (n == 0) break;
  }
  TODD_CHECK(wire.empty());
  return body;
}

std::string copy(const Content& content, uint64_t at, size_t n) {
  std::string out(n, '\0');
  content.copy(at, out.data(), n);
  return out;
}

// The same bytes in two cuts, around `at`.
void check_cuts(const Content& content, uint64_t at, size_t cut) {
  const uint64_t all = content.wire_size();
  const uint64_t from = all == 0 ? 0 : at % all;
  const size_t n = std::min<uint64_t>(all - from, 9'000), first = std::min(cut, n);
  TODD_CHECK(copy(content, from, n) == copy(content, from, first) + copy(content, from + first, n - first));
}

void check_content(Content content, const std::string& body, bool chunked) {
  if (chunked) content.in_chunks();
  const std::string wire = copy(content, 0, content.wire_size());
  TODD_CHECK((chunked ? dechunked(wire) : wire) == body);
}

void check_gzip(const std::string& text) {
  BodyKeeper keeper(kSmall + 1);
  Decoder decoder(keeper, kSmall + 1);
  decoder.begin(Coding::kGzip);
  TODD_CHECK(decoder.put(gzipped(text)) == nullptr && decoder.finish() == nullptr && keeper.text() == text);
}

// The end of the redirects, which the words after the first lead to.
Wish followed(Wish wish) {
  std::string bad;
  for (int left = 100; !wish.location.empty(); --left) {
    TODD_CHECK(left > 0);
    wish = parse_wish(std::string(wish.location), bad);
    TODD_CHECK(bad.empty());
  }
  return wish;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 6) return 0;
  const uint64_t at = (data[0] << 24 | data[1] << 16 | data[2] << 8 | data[3]) & 0x7fffffff;
  const size_t cut = data[4] << 8 | data[5];
  const std::string_view target(reinterpret_cast<const char*>(data) + 6, size - 6);
  std::string bad;
  const Wish wish = parse_wish(target, bad);
  TODD_CHECK(bad.size() <= 64 &&
             std::all_of(bad.begin(), bad.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  if (!bad.empty()) return 0;
  const uint64_t wished = wish.size.value_or(1'000);
  TODD_CHECK(wish.status >= 200 && wish.status <= 599 && wished <= kMaxWishedSize);
  TODD_CHECK(wish.delay_ns >= 0 && wish.delay_ns <= kMaxDelayNs && !(is_echo(target) && wish.size));
  const Wish end = followed(wish);
  TODD_CHECK(end.status == wish.status && end.size == wish.size && end.delay_ns == wish.delay_ns);
  TODD_CHECK(end.chunked == wish.chunked && end.gzip == wish.gzip && end.close == wish.close);

  Content large(wished);
  if (wish.chunked) large.in_chunks();
  TODD_CHECK(large.wire_size() >= wished && large.size() == wished);
  check_cuts(large, at, cut);
  const std::string text(target.substr(0, kSmall));
  check_content(Content(text), text, wish.chunked);
  if (wish.gzip) check_gzip(text);
  if (wished <= kSmall) check_content(Content(wished), std::string(wished, 'x'), wish.chunked);
  return 0;
}
