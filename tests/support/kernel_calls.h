#pragma once
// System calls of the calling thread as the kernel counts them (the tracepoint raw_syscalls:sys_enter), for
// tests of what the code says of itself. Reading the count is itself a call and is not counted.

#include <cstdint>
#include <optional>
#include <string>

#include "engine/base/fd.h"

namespace todd::test {

class KernelCalls {
 public:
  // Nothing, and the reason in why, without root, tracefs or that tracepoint.
  static std::optional<KernelCalls> of_this_thread(std::string& why);

  uint64_t so_far();

 private:
  explicit KernelCalls(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  uint64_t readings_ = 0;
};

}  // namespace todd::test
