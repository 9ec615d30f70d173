// Any bytes in any coding, in any pieces, to the decoder of bodies: no crash, never more than the bound, and
// what comes of them does not depend on how they were cut.

#include <algorithm>
#include <cstring>
#include <string>

#include "engine/base/check.h"
#include "plugins/http/decode.h"

namespace {

using namespace todd::http;

constexpr uint64_t kMax = 100'000;

struct Seen {
  std::string why = "complete", text;
  bool operator==(const Seen&) const = default;
};

Seen decoded(Decoder& decoder, const BodyKeeper& keeper, Coding coding, std::string_view bytes,
             size_t piece) {
  const char* why = nullptr;
  decoder.begin(coding);
  for (; !bytes.empty() && why == nullptr; bytes.remove_prefix(std::min(piece, bytes.size())))
    why = decoder.put(bytes.substr(0, piece));
  if (why == nullptr) why = decoder.finish();
  TODD_CHECK(keeper.bytes() <= kMax && keeper.whole());
  if (why == nullptr) return {.text = std::string(keeper.text())};
  TODD_CHECK(!decoder.detail().empty());
  return {why, ""};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto coding = static_cast<Coding>(data[0] & 3);
  BodyKeeper keeper(kMax + 1);
  Decoder decoder(keeper, kMax);
  const Seen whole = decoded(decoder, keeper, coding, bytes, SIZE_MAX);
  // The same decoder again: nothing is left of the first time.
  const Seen pieces = decoded(decoder, keeper, coding, bytes, 1 + (data[0] >> 2));
  TODD_CHECK(whole == pieces);
  return 0;
}
