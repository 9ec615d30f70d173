#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>

#include "engine/base/result.h"

namespace todd {

// Shared memory of a descriptor, unmapped with the object. Resource: move only.
class Mapping {
 public:
  enum class Access { read, write };
  // The descriptor may be closed afterwards. Requires: the file has at least so many bytes.
  static Result<Mapping> of(int fd, size_t bytes, Access access);
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  uint8_t* data() const { return data_; }  // nullptr where nothing is mapped
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace todd
