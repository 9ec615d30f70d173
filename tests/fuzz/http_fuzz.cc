// HTTP messages from hostile peers. The first byte chooses the size of the pieces: a message must read the
// same in pieces as in one.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plugins/http/wire.h"

namespace {

using todd::http::Read;

constexpr uint64_t kMaxBody = 100'000;

Read feed(todd::http::ResponseReader& reader, std::string_view text, size_t step) {
  Read read = Read::kMore;
  for (size_t i = 0; i < text.size() && read == Read::kMore; i += step)
    read = reader.put(text.substr(i, step));
  return read == Read::kMore ? reader.end() : read;
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t step = 1 + data[0] % 64;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);

  todd::http::ResponseReader whole(kMaxBody), pieces(kMaxBody);
  const Read read = feed(whole, text, text.size());
  const Read again = feed(pieces, text, step);
  if (read == Read::kDone && again == Read::kDone) {
    require(whole.status() == pieces.status());
    require(whole.body_bytes() == pieces.body_bytes());
    require(whole.body_bytes() <= kMaxBody);
  }
  if (read == Read::kFailed) require(*whole.why() != '\0');

  todd::http::RequestReader requests;
  for (size_t i = 0; i < text.size(); i += step) {
    Read request = requests.put(text.substr(i, step));
    while (request == Read::kDone) request = requests.next();
    if (request == Read::kFailed) {
      require(requests.status() != 200);
      break;
    }
  }
  return 0;
}
