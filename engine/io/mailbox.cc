#include "engine/io/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/base/check.h"

namespace todd::io {

Mailbox::Mailbox(Mode mode) : fd_(eventfd(0, EFD_CLOEXEC | (mode == Mode::non_blocking ? EFD_NONBLOCK : 0))) {
  TODD_CHECK(fd_);
}

void Mailbox::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    if (tasks_.size() > 1)
      return;  // whoever queued the first has woken the thread, and it has not taken them yet
  }
  const uint64_t one = 1;
  TODD_CHECK(write(fd_.get(), &one, sizeof one) == sizeof one);
}

uint64_t Mailbox::run() {
  std::vector<std::function<void()>> taken;
  {
    std::lock_guard lock(mutex_);
    taken.swap(tasks_);
  }
  for (auto& task : taken) task();
  return taken.size();
}

}  // namespace todd::io
