#pragma once
#include <algorithm>
#include <cstdint>

namespace todd::worker {

// What the process used of the CPU while one task ran. Every shard of the task reads the process's CPU clock
// where its periods begin and end; these overlap, and the process is one, so no stretch counts twice.
class ProcessCpu {
 public:
  // A period from one reading of the clock to another, in the order in which they are told: what of it no
  // period before has had.
  int64_t add(int64_t from_ns, int64_t to_ns) {
    const int64_t own_from_ns = std::max(from_ns, told_to_ns_);
    told_to_ns_ = std::max(told_to_ns_, to_ns);
    return std::max<int64_t>(to_ns - own_from_ns, 0);
  }

 private:
  int64_t told_to_ns_ = 0;
};

}  // namespace todd::worker
