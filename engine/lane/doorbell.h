#pragma once
// A way to a lane's reactor for who may outlive it: posts to it as long as it is there.

#include <functional>
#include <mutex>

#include "engine/io/reactor.h"

namespace todd::lane {

class Doorbell {
 public:
  explicit Doorbell(io::Reactor& reactor) : reactor_(&reactor) {}
  // [any-thread] False: the lane is gone.
  bool post(std::function<void()> task) {
    const std::lock_guard lock(mutex_);
    if (reactor_ != nullptr) reactor_->post(std::move(task));
    return reactor_ != nullptr;
  }
  bool ring() {
    return post([] {});
  }
  void disconnect() {  // on the lane's thread, before the reactor goes
    const std::lock_guard lock(mutex_);
    reactor_ = nullptr;
  }

 private:
  std::mutex mutex_;
  io::Reactor* reactor_;
};

}  // namespace todd::lane
