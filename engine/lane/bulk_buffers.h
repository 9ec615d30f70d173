#pragma once
// What the jobs of one lane send, made once and shared, and where they put what they receive.

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/fd.h"
#include "engine/base/mapping.h"
#include "engine/base/result.h"

namespace todd::lane {

class BulkBuffers {
 public:
  struct Source {
    UniqueFd fd;  // a memfd, for sendfile
    Mapping bytes;
    bool random = false;
  };
  // At least so many bytes, random or a repeating pattern. Stays as long as this object. Errors: system.
  Result<const Source*> source(bool random, uint32_t bytes);
  uint8_t* scratch(uint32_t bytes);  // at least so many, until the next call

 private:
  std::vector<std::unique_ptr<Source>> sources_;
  std::unique_ptr<uint8_t[]> scratch_;
  uint32_t scratch_bytes_ = 0;
};

}  // namespace todd::lane
