#pragma once
#include "engine/base/fd.h"

#include <csignal>

namespace todd::cli {

// While it lives, Ctrl-C and SIGTERM do not end the process but make fd() readable. One per process.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  int fd() const { return fd_.get(); }
  // Whether one came; it is used up.
  bool take();
  // Of the last one taken: 130 for Ctrl-C, 143 for SIGTERM.
  int exit_code() const { return 128 + signal_; }

 private:
  sigset_t before_{};
  UniqueFd fd_;
  int signal_ = SIGINT;
};

}  // namespace todd::cli
