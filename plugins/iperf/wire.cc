#include "plugins/iperf/wire.h"

#include <cstring>

namespace todd::iperf {

namespace {

constexpr uint32_t kMagic = 0x74646970;  // "tdip"
constexpr uint8_t kVersion = 1;
constexpr uint32_t kMaxStreams = 128;
constexpr uint32_t kMaxLength = 16 * 1024 * 1024;

// Writes and reads big-endian integers one after another; the caller keeps count of the bytes.
template <class T>
void write(uint8_t*& out, T value) {
  for (int shift = 8 * (static_cast<int>(sizeof(T)) - 1); shift >= 0; shift -= 8) {
    *out++ = static_cast<uint8_t>(static_cast<uint64_t>(value) >> shift);
  }
}
template <class T>
T read(const uint8_t*& in) {
  uint64_t value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value = value << 8 | *in++;
  return static_cast<T>(value);
}

void write_start(uint8_t*& out, Kind kind, uint8_t flags, uint32_t stream) {
  write(out, kMagic);
  write(out, kVersion);
  write(out, static_cast<uint8_t>(kind));
  write(out, flags);
  write(out, static_cast<uint8_t>(stream));
}

}  // namespace

void encode(const Header& h, uint8_t* out) {
  write_start(out, h.kind, h.reverse ? 1 : 0, h.stream);
  write(out, h.token);
  write(out, h.session);
  write(out, h.bitrate);
  write(out, h.duration_ns);
  write(out, h.sequence);
  write(out, h.sent_ns);
  write(out, h.length);
  write(out, uint32_t{0});
}

void encode(const Summary& s, uint8_t* out) {
  write_start(out, Kind::kSummary, s.recorded ? 1 : 0, s.stream);
  write(out, s.session);
  write(out, s.bytes);
  write(out, s.time_ns);
  write(out, s.packets);
  write(out, s.lost);
  write(out, uint64_t{0});
  write(out, s.out_of_order);
  write(out, s.jitter_ns);
}

std::optional<Kind> kind_of(std::string_view bytes) {
  if (bytes.size() < kMessage) return std::nullopt;
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data());
  if (read<uint32_t>(in) != kMagic || read<uint8_t>(in) != kVersion) return std::nullopt;
  const auto kind = read<uint8_t>(in);
  if (kind < 1 || kind > static_cast<uint8_t>(Kind::kSummary)) return std::nullopt;
  return static_cast<Kind>(kind);
}

std::optional<Header> decode_header(std::string_view bytes) {
  const auto kind = kind_of(bytes);
  if (!kind || *kind == Kind::kSummary) return std::nullopt;
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data()) + 6;
  Header h;
  h.kind = *kind;
  h.reverse = (read<uint8_t>(in) & 1) != 0;
  h.stream = read<uint8_t>(in);
  h.token = read<uint64_t>(in);
  h.session = read<uint64_t>(in);
  h.bitrate = read<uint64_t>(in);
  h.duration_ns = read<int64_t>(in);
  h.sequence = read<uint64_t>(in);
  h.sent_ns = read<int64_t>(in);
  h.length = read<uint32_t>(in);
  const bool sane = h.stream < kMaxStreams && h.length >= kMessage && h.length <= kMaxLength &&
                    h.duration_ns > 0 && h.duration_ns <= kMaxDurationNs && h.sequence < UINT64_MAX / 2;
  return sane ? std::optional(h) : std::nullopt;
}

std::optional<Summary> decode_summary(std::string_view bytes) {
  if (kind_of(bytes) != Kind::kSummary) return std::nullopt;
  const auto* in = reinterpret_cast<const uint8_t*>(bytes.data()) + 6;
  Summary s;
  s.recorded = (read<uint8_t>(in) & 1) != 0;
  s.stream = read<uint8_t>(in);
  s.session = read<uint64_t>(in);
  s.bytes = read<uint64_t>(in);
  s.time_ns = read<int64_t>(in);
  s.packets = read<uint64_t>(in);
  s.lost = read<uint64_t>(in);
  read<uint64_t>(in);
  s.out_of_order = read<uint32_t>(in);
  s.jitter_ns = read<uint32_t>(in);
  if (s.stream >= kMaxStreams || s.time_ns < 0 || s.lost > s.packets) return std::nullopt;
  return s;
}

}  // namespace todd::iperf
