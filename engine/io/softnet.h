#pragma once
// Packets that this host dropped between a driver and its stack, because a CPU's backlog was full (as happens
// with veth, loopback and receive packet steering). Counted for the whole host: the kernel does not say
// whose.

#include <cstdint>
#include <string_view>

#include "engine/base/fd.h"

namespace todd::io {

// The sum over all CPUs in the text of /proc/net/softnet_stat: a line for each, the second word of it, in
// hex.
uint64_t softnet_drops(std::string_view text);

// [one thread]
class SoftnetDrops {
 public:
  explicit SoftnetDrops(const char* path = "/proc/net/softnet_stat");
  // Since the last call, or since this began to be; 0 where the kernel does not tell. A system call of some
  // 10 us.
  uint64_t take();

 private:
  uint64_t read() const;

  UniqueFd fd_;
  uint64_t seen_ = 0;
};

}  // namespace todd::io
