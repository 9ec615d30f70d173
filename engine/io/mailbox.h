#pragma once
// Tasks handed to a reactor's thread by others, with the eventfd that wakes it.

#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "engine/base/fd.h"

namespace todd::io {

class Mailbox {
 public:
  enum class Mode { blocking, non_blocking };  // of the eventfd, as the back end's read needs it
  explicit Mailbox(Mode mode);

  void post(std::function<void()> task);  // [any-thread]
  // Runs, in order, what was posted before the call, and says how many.
  uint64_t run();
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;  // under mutex_
};

}  // namespace todd::io
