#include "plugins/ping/block.h"

#include <array>
#include <cstdio>
#include <cstring>

#include "plugins/ping/bytes.h"

namespace todd::ping {

namespace {

constexpr uint64_t kMagic = 0x7dd1;
constexpr uint8_t kVersion = 1;
enum Flags : uint8_t { kAnswered = 1, kWhole = 2 };
constexpr size_t kCheckAt = 4;

uint32_t hash(std::span<const uint8_t> bytes) {  // FNV-1a
  uint32_t value = 2166136261u;
  for (const uint8_t byte : bytes) value = (value ^ byte) * 16777619u;
  return value;
}

uint16_t check_of(Block block) {
  put_number(block.data() + kCheckAt, 2, 0);
  const uint32_t value = hash(block);
  return static_cast<uint16_t>(value ^ value >> 16);
}

Block begin(const BlockRequest& request, uint8_t flags) {
  Block block{};
  put_number(block.data(), 2, kMagic);
  block[2] = kVersion;
  block[3] = flags;
  put_number(block.data() + 8, 4, request.stream);
  put_number(block.data() + 12, 4, request.number);
  return block;
}

// The block, if it is one and its check is right.
std::optional<Block> block_of(std::span<const uint8_t> bytes) {
  if (bytes.size() < kBlockBytes || get_number(bytes.data(), 2) != kMagic || bytes[2] != kVersion) return {};
  Block block;
  std::memcpy(block.data(), bytes.data(), block.size());
  if (get_number(block.data() + kCheckAt, 2) != check_of(block)) return {};
  return block;
}

BlockRequest request_of(const Block& block) {
  return {static_cast<uint32_t>(get_number(block.data() + 8, 4)),
          static_cast<uint32_t>(get_number(block.data() + 12, 4))};
}

}  // namespace

Block write_request(const BlockRequest& request) {
  Block block = begin(request, 0);
  put_number(block.data() + kCheckAt, 2, check_of(block));
  return block;
}

Block write_answer(const BlockAnswer& answer) {
  Block block = begin(answer.of, static_cast<uint8_t>(kAnswered | (answer.heard.whole ? kWhole : 0)));
  put_number(block.data() + 6, 2, answer.heard.epoch);
  put_number(block.data() + 16, 4, answer.heard.latest);
  put_number(block.data() + 20, 4, answer.heard.missing);
  put_number(block.data() + 24, 8, answer.heard.window);
  put_number(block.data() + 32, 8, static_cast<uint64_t>(answer.received_ns));
  put_number(block.data() + 40, 4, answer.processing_ns);
  put_number(block.data() + 44, 4, answer.clock);
  put_number(block.data() + kCheckAt, 2, check_of(block));
  return block;
}

std::optional<BlockRequest> read_request(std::span<const uint8_t> bytes) {
  const auto block = block_of(bytes);
  if (!block || ((*block)[3] & kAnswered) != 0) return {};
  return request_of(*block);
}

std::optional<BlockAnswer> read_answer(std::span<const uint8_t> bytes) {
  const auto block = block_of(bytes);
  if (!block || ((*block)[3] & kAnswered) == 0) return {};
  const uint8_t* at = block->data();
  return BlockAnswer{.of = request_of(*block),
                     .heard = {.latest = static_cast<uint32_t>(get_number(at + 16, 4)),
                               .missing = static_cast<uint32_t>(get_number(at + 20, 4)),
                               .window = get_number(at + 24, 8),
                               .epoch = static_cast<uint16_t>(get_number(at + 6, 2)),
                               .whole = (at[3] & kWhole) != 0},
                     .received_ns = static_cast<int64_t>(get_number(at + 32, 8)),
                     .processing_ns = static_cast<uint32_t>(get_number(at + 40, 4)),
                     .clock = static_cast<uint32_t>(get_number(at + 44, 4))};
}

uint32_t clock_number() {
  // Made anew by the kernel at each boot, and the same in all its namespaces: those of time leave the wall
  // clock alone.
  // Not by a stream: one would bring a megabyte of locales into the library.
  std::FILE* file = std::fopen("/proc/sys/kernel/random/boot_id", "re");
  if (file == nullptr) return 0;
  std::array<uint8_t, 36> id;  // a UUID
  const bool whole = std::fread(id.data(), 1, id.size(), file) == id.size();
  std::fclose(file);
  return whole ? hash(id) : 0;
}

}  // namespace todd::ping
