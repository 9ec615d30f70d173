#pragma once
// The event loop of everything that is not the probe path: control plane, link, API, supervisor.
// One libevent base per thread. Every method is for the loop's own thread but post() and stop().

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/base/result.h"

struct event_base;

namespace todd::io {

// A registration. Destroying it cancels; the callback never runs afterwards.
class Handle {
 public:
  virtual ~Handle() = default;
};
using HandlePtr = std::unique_ptr<Handle>;

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(). Callbacks run here, one after another.
  void run();
  void stop();                            // [any-thread]
  void post(std::function<void()> task);  // [any-thread] runs once, in order, soon
  // Runs callbacks that are ready and returns; waits for the first at most wait_ns (tests use it).
  void turn(int64_t wait_ns);

  // Once after delay_ns (0 = next turn); repeat by asking again from the callback.
  [[nodiscard]] HandlePtr after(int64_t delay_ns, std::function<void()> task);
  // While the handle lives: called whenever fd is readable (or writable). Level-triggered. fd stays the
  // caller's.
  [[nodiscard]] HandlePtr on_readable(int fd, std::function<void()> task);
  [[nodiscard]] HandlePtr on_writable(int fd, std::function<void()> task);
  [[nodiscard]] HandlePtr on_signal(int signo, std::function<void()> task);

  event_base* base() const;  // for engine/io only

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::io
