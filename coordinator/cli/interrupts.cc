#include "coordinator/cli/interrupts.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "engine/base/check.h"

namespace todd::cli {

Interrupts::Interrupts() {
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGINT);
  sigaddset(&ours, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &ours, &before_);
  fd_.reset(::signalfd(-1, &ours, SFD_NONBLOCK | SFD_CLOEXEC));
  TODD_CHECK(fd_);
}

Interrupts::~Interrupts() {
  // One that was acted on without being taken would end the process now, and its exit code be lost.
  while (take()) continue;
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

bool Interrupts::take() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return false;
  signal_ = static_cast<int>(info.ssi_signo);
  return true;
}

}  // namespace todd::cli
