#pragma once
// A ring of buffers that the kernel fills with what it receives (provided buffer ring, Linux 5.19).

#include <cstdint>
#include <memory>

#include "engine/base/result.h"

struct io_uring;
struct io_uring_buf_ring;

namespace todd::io {

class UringBuffers {
 public:
  // count: a power of two. The ring must outlive the buffers, and no operation may use them when they are
  // destroyed.
  static Result<std::unique_ptr<UringBuffers>> make(io_uring& ring, uint16_t group, uint32_t count,
                                                    uint32_t bytes);
  ~UringBuffers();
  UringBuffers(const UringBuffers&) = delete;
  UringBuffers& operator=(const UringBuffers&) = delete;

  uint16_t group() const { return group_; }
  uint32_t bytes() const { return bytes_; }
  uint8_t* at(uint16_t id) const { return data_ + size_t{id} * stride_; }
  void give_back(uint16_t id);

 private:
  UringBuffers(io_uring& ring, uint16_t group, uint32_t count, uint32_t bytes);

  io_uring& ring_;
  const uint16_t group_;
  const uint32_t count_, bytes_, stride_;
  io_uring_buf_ring* entries_ = nullptr;
  uint8_t* data_ = nullptr;
  bool registered_ = false;
};

}  // namespace todd::io
