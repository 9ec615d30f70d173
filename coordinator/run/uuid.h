#pragma once
#include <cstdint>
#include <string>

namespace todd::run {

// A UUIDv7 (RFC 9562): ids made one after another by one process sort in that order, also within a
// millisecond.
class UuidMaker {
 public:
  std::string next(int64_t wall_ns);

 private:
  uint64_t last_ = 0;  // 48 bits of milliseconds, 12 bits of sequence
};

}  // namespace todd::run
