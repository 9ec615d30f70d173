#include "engine/base/mapping.h"

#include <sys/mman.h>

#include <cerrno>
#include <string>

namespace todd {

Result<Mapping> Mapping::of(int fd, size_t bytes, Access access) {
  const int protection = access == Access::write ? PROT_READ | PROT_WRITE : PROT_READ;
  void* const memory = mmap(nullptr, bytes, protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED)
    return fail_errno(errno, "mapping " + std::to_string(bytes) + " bytes of shared memory");
  Mapping made;
  made.data_ = static_cast<uint8_t*>(memory);
  made.size_ = bytes;
  return made;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace todd
