#pragma once
// One todd-worker process and its two sockets.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/fd.h"
#include "engine/io/channel.h"
#include "engine/io/loop.h"

namespace todd::v1 {
class FromWorker;
class ToWorker;
}  // namespace todd::v1

namespace todd::supervise {

class WorkerProcess {
 public:
  struct Events {
    std::function<void(const v1::FromWorker&)> message;
    std::function<void(const std::string& why)> died;  // "was killed by signal 11 (Segmentation fault)", "exited with 3". Once.
  };
  static Result<std::unique_ptr<WorkerProcess>> spawn(io::Loop& loop, const std::string& binary, const std::string& backend,
                                                      const std::vector<std::string>& libraries, Events events);
  ~WorkerProcess();  // kills and reaps
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  void send(const v1::ToWorker& message);
  void kill(const std::string& why);  // died() follows, with this reason
  int pid() const { return pid_; }
  int descriptors() const { return descriptors_.get(); }

 private:
  WorkerProcess() = default;
  size_t on_data(std::string_view bytes);
  void reap();

  int pid_ = 0;
  UniqueFd descriptors_, pidfd_;
  io::ChannelPtr channel_;
  io::HandlePtr exit_watch_;
  Events events_;
  std::string killed_why_;
};

}  // namespace todd::supervise
