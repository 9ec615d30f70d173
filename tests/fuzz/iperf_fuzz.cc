// Messages of the iperf testlet from strangers: whatever is accepted is in range and reads back the same.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plugins/iperf/meter.h"
#include "plugins/iperf/wire.h"

namespace {

std::string_view view(const uint8_t* bytes) {
  return {reinterpret_cast<const char*>(bytes), todd::iperf::kMessage};
}

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  todd::iperf::Sequence sequence;
  for (size_t at = 0; at < size; at += todd::iperf::kMessage) {
    const std::string_view text(reinterpret_cast<const char*>(data) + at, size - at);
    uint8_t bytes[todd::iperf::kMessage];
    if (const auto header = todd::iperf::decode_header(text)) {
      require(header->stream < 128 && header->length >= todd::iperf::kMessage && header->duration_ns > 0);
      encode(*header, bytes);
      const auto back = todd::iperf::decode_header(view(bytes));
      require(back && back->token == header->token && back->sequence == header->sequence);
      sequence.arrived(header->sequence, header->sent_ns, header->duration_ns);
      require(sequence.lost() <= sequence.packets());
    }
    if (const auto summary = todd::iperf::decode_summary(text)) {
      require(summary->lost <= summary->packets && summary->time_ns >= 0);
      encode(*summary, bytes);
      const auto back = todd::iperf::decode_summary(view(bytes));
      require(back && back->bytes == summary->bytes && back->jitter_ns == summary->jitter_ns);
    }
  }
  return 0;
}
