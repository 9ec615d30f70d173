// Any bytes as a message of the iperf testlet: what is accepted is in range, and is written as it was read.

#include <cstring>

#include "engine/base/check.h"
#include "plugins/iperf/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::iperf;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  uint8_t out[kMessage];
  const std::string_view written(reinterpret_cast<const char*>(out), kMessage);
  if (const auto header = decode_header(bytes)) {
    TODD_CHECK(header->stream < 128 && header->length >= kMessage && header->kind != Kind::kSummary);
    TODD_CHECK(header->duration_ns > 0 && header->duration_ns <= kMaxDurationNs);
    encode(*header, out);
    const auto again = decode_header(written);
    TODD_CHECK(again && again->kind == header->kind && again->session == header->session &&
               again->cookie == header->cookie);
    // All but the flags' unused bits and the reserved word at the end.
    TODD_CHECK(std::memcmp(out, data, 6) == 0 && std::memcmp(out + 7, data + 7, kMessage - 11) == 0);
  }
  if (const auto summary = decode_summary(bytes)) {
    TODD_CHECK(summary->stream < 128 && summary->time_ns >= 0 && summary->lost <= summary->packets);
    encode(*summary, out);
    const auto again = decode_summary(written);
    TODD_CHECK(again && again->bytes == summary->bytes && again->jitter_ns == summary->jitter_ns);
  }
  return 0;
}
