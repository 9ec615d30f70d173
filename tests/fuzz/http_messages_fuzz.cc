// Any bytes, in any pieces, to the readers of responses and of requests: no crash, no endless buffer, and
// what they say of a message does not depend on how it was cut.

#include <algorithm>
#include <string>
#include <tuple>

#include "engine/base/check.h"
#include "plugins/http/wire.h"

namespace {

using namespace todd::http;

std::string_view cut(std::string_view& bytes, size_t piece) {
  const std::string_view front = bytes.substr(0, piece);
  bytes.remove_prefix(front.size());
  return front;
}

// What became of the response, its status, its body.
std::tuple<Read, int, uint64_t> response(std::string_view bytes, size_t piece) {
  ResponseReader reader(10'000);
  while (!bytes.empty()) {
    const Read read = reader.put(cut(bytes, piece));
    if (read == Read::kFailed) TODD_CHECK(*reader.why() != '\0' && !reader.detail().empty());
    if (read != Read::kMore) return {read, reader.status(), reader.body_bytes()};
  }
  const Read read = reader.end();
  TODD_CHECK(read != Read::kMore && reader.body_bytes() <= 10'000);
  return {read, reader.status(), reader.body_bytes()};
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
  const auto whole = response(bytes, bytes.size() + 1), pieces = response(bytes, piece);
  if (std::get<0>(whole) == Read::kDone) TODD_CHECK(whole == pieces);
  const auto asked = requests(bytes, bytes.size() + 1), cut_up = requests(bytes, piece);
  if (asked.second == 200) TODD_CHECK(asked == cut_up);
  return 0;
}
