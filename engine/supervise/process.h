#pragma once
// One todd-worker process and its two sockets: frames and descriptors. Nothing it does can block or crash
// this side.

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/fd.h"
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
    // "was killed by signal 11 (Segmentation fault)", "exited with 3". Once, after every message the worker
    // had sent.
    std::function<void(const std::string& why)> died;
  };
  struct Engine {
    std::string name;  // as io::parse_engine reads it
    uint32_t lanes = 1;
  };
  static Result<std::unique_ptr<WorkerProcess>> spawn(io::Loop& loop, const std::string& binary,
                                                      const Engine& engine,
                                                      const std::vector<std::string>& libraries,
                                                      Events events);
  ~WorkerProcess();  // kills and reaps
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // What the worker does not take now waits here; one that leaves 128 MiB lying is killed.
  void send(const v1::ToWorker& message);
  // To be followed by the frame that announces it.
  void send_descriptor(UniqueFd fd);
  void kill(const std::string& why);  // died() follows, with this reason
  int pid() const { return pid_; }

 private:
  explicit WorkerProcess(io::Loop& loop) : loop_(loop) {}
  void on_readable();
  bool receive();
  void take_frames();
  void flush_frames();
  void flush_descriptors();
  void reap();

  io::Loop& loop_;
  int pid_ = 0;
  UniqueFd control_, descriptors_, pidfd_;
  std::string in_, out_;
  size_t written_ = 0;  // of out_
  std::deque<UniqueFd> descriptors_out_;
  io::HandlePtr exit_watch_, readable_, writable_, descriptors_writable_;
  Events events_;
  std::string killed_why_;
};

}  // namespace todd::supervise
