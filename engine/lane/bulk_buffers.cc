#include "engine/lane/bulk_buffers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <random>

namespace todd::lane {
namespace {

constexpr uint32_t kLeast = 128 * 1024;

void fill(uint8_t* data, size_t bytes, bool random) {
  if (!random) {
    for (size_t i = 0; i < bytes; ++i) data[i] = static_cast<uint8_t>('0' + i % 10);
    return;
  }
  std::mt19937_64 numbers(std::random_device{}());
  for (size_t i = 0; i < bytes; i += 8) {  // a power of two
    const uint64_t number = numbers();
    memcpy(data + i, &number, sizeof number);
  }
}

}  // namespace

Result<const BulkBuffers::Source*> BulkBuffers::source(bool random, uint32_t bytes) {
  for (const auto& source : sources_)
    if (source->random == random && source->bytes.size() >= bytes) return source.get();
  const size_t size = std::bit_ceil(std::max(bytes, kLeast));
  auto made = std::make_unique<Source>();
  made->random = random;
  made->fd = UniqueFd(memfd_create("todd-bulk", MFD_CLOEXEC));
  if (!made->fd || ftruncate(made->fd.get(), static_cast<off_t>(size)) != 0)
    return fail_errno(errno, "memory to send from");
  auto mapped = Mapping::of(made->fd.get(), size, Mapping::Access::write);
  if (!mapped) return tl::unexpected(mapped.error());
  made->bytes = std::move(*mapped);
  fill(made->bytes.data(), size, random);
  sources_.push_back(std::move(made));
  return sources_.back().get();
}

uint8_t* BulkBuffers::scratch(uint32_t bytes) {
  if (bytes > scratch_bytes_) {
    scratch_.reset(new uint8_t[bytes]);  // not zeroed
    scratch_bytes_ = bytes;
  }
  return scratch_.get();
}

}  // namespace todd::lane
