#include "engine/io/uring_buffers.h"

#include <liburing.h>
#include <sys/mman.h>

#include <cerrno>

namespace todd::io {
namespace {
void* map(size_t bytes) {
  void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}
}  // namespace

UringBuffers::UringBuffers(io_uring& ring, uint16_t group, uint32_t count, uint32_t bytes)
    : ring_(ring), group_(group), count_(count), bytes_(bytes), stride_((bytes + 63) & ~63u) {}

Result<std::unique_ptr<UringBuffers>> UringBuffers::make(io_uring& ring, uint16_t group, uint32_t count,
                                                         uint32_t bytes) {
  std::unique_ptr<UringBuffers> made(new UringBuffers(ring, group, count, bytes));
  made->entries_ = static_cast<io_uring_buf_ring*>(map(count * sizeof(io_uring_buf)));
  made->data_ = static_cast<uint8_t*>(map(size_t{count} * made->stride_));
  if (!made->entries_ || !made->data_) return fail_errno(ENOMEM, "io_uring: receive buffers");
  io_uring_buf_reg reg{};
  reg.ring_addr = reinterpret_cast<uintptr_t>(made->entries_);
  reg.ring_entries = count;
  reg.bgid = group;
  if (const int error = io_uring_register_buf_ring(&ring, &reg, 0); error < 0) {
    auto failed = fail_errno(-error, "io_uring: buffer rings (Linux 5.19) are missing");
    failed.value().code = Errc::unsupported;
    return failed;
  }
  made->registered_ = true;
  io_uring_buf_ring_init(made->entries_);
  for (uint32_t id = 0; id < count; ++id) made->give_back(static_cast<uint16_t>(id));
  return made;
}

UringBuffers::~UringBuffers() {
  if (registered_) io_uring_unregister_buf_ring(&ring_, group_);
  if (entries_) munmap(entries_, count_ * sizeof(io_uring_buf));
  if (data_) munmap(data_, size_t{count_} * stride_);
}

void UringBuffers::give_back(uint16_t id) {
  io_uring_buf_ring_add(entries_, at(id), bytes_, id, io_uring_buf_ring_mask(count_), 0);
  io_uring_buf_ring_advance(entries_, 1);
}

}  // namespace todd::io
