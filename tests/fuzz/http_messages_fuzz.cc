// Any bytes, in any pieces, to the readers of responses and of requests: no crash, no endless buffer, and
// what they say of a message does not depend on how it was cut.

#include <algorithm>
#include <string>

#include "engine/base/check.h"
#include "plugins/http/request_reader.h"
#include "plugins/http/response_reader.h"

namespace {

using namespace todd::http;

std::string_view cut(std::string_view& bytes, size_t piece) {
  const std::string_view front = bytes.substr(0, piece);
  bytes.remove_prefix(front.size());
  return front;
}

// What became of a response: its status, its body, the bytes of its head, its fields.
struct Seen {
  Read read = Read::kMore;
  int status = 0;
  std::string body, fields;
  uint32_t head = 0;
  bool operator==(const Seen&) const = default;
};

Seen response(std::string_view bytes, size_t piece, bool bodiless) {
  Headers headers;
  BodyKeeper body(20'000);
  ResponseReader reader(Want{10'000, &headers, &body, bodiless});
  Seen seen;
  while (!bytes.empty() && seen.read == Read::kMore) {
    seen.read = reader.put(cut(bytes, piece));
    if (seen.read == Read::kFailed) TODD_CHECK(*reader.why() != '\0' && !reader.detail().empty());
  }
  if (seen.read == Read::kMore) seen.read = reader.end();
  TODD_CHECK(seen.read != Read::kMore && reader.body_bytes() <= 10'000 && reader.head_bytes() <= 20'000);
  if (seen.read != Read::kDone) return seen;
  TODD_CHECK(reader.head_done() && reader.status() >= 200 && reader.status() <= 999);
  TODD_CHECK(reader.head_bytes() <= kMaxHead && body.whole() && body.bytes() == reader.body_bytes());
  TODD_CHECK(reader.wire_bytes() >= reader.head_bytes() + reader.body_bytes());
  seen.status = reader.status();
  seen.body = body.text();
  for (size_t i = 0; i < headers.size(); ++i)
    seen.fields.append(headers[i].name).append("=").append(headers[i].value).append("\n");
  seen.head = reader.head_bytes();
  return seen;
}

// How many requests there were, and the status of the refusal that ended them.
std::pair<size_t, int> requests(std::string_view bytes, size_t piece) {
  RequestReader reader;
  size_t n = 0;
  while (!bytes.empty()) {
    Read read = reader.put(cut(bytes, piece));
    for (; read == Read::kDone; read = reader.next()) ++n;
    TODD_CHECK((read == Read::kFailed) == (reader.status() != 200));
    if (read == Read::kFailed) return {n, reader.status()};
  }
  return {n, 200};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + data[0] % 16;
  const bool bodiless = data[0] & 0x80;
  const auto whole = response(bytes, bytes.size() + 1, bodiless), pieces = response(bytes, piece, bodiless);
  if (whole.read == Read::kDone) TODD_CHECK(whole == pieces);
  const auto asked = requests(bytes, bytes.size() + 1), cut_up = requests(bytes, piece);
  if (asked.second == 200) TODD_CHECK(asked == cut_up);
  return 0;
}
