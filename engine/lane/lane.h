#pragma once
// One thread, one reactor, and the testlet instances of its tasks. Everything else in the worker talks to it
// by posting.

#include <compare>
#include <functional>
#include <memory>
#include <string>

#include "engine/base/result.h"
#include "engine/io/reactor.h"
#include "engine/lane/instance.h"
#include "engine/lane/setup.h"

namespace todd::lane {

class Lane {
 public:
  // Starts the thread and makes its reactor there. Events are called on the lane's thread; `ended` hands the
  // set-up back after the instance let go of it.
  struct Events {
    InstanceEvents instance;
    std::function<void(std::unique_ptr<TaskSetup>)> ended;
  };
  static Result<std::unique_ptr<Lane>> start(const io::EngineChoice& engine, Events events);
  ~Lane();  // ends every task without a word and joins the thread
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  const std::string& engine() const { return engine_; }
  const std::string& why() const { return why_; }
  const todd_host& host() const;  // what testlets get in check() and create()

  // [any-thread] all of these; unknown tasks are ignored.
  void prepare(std::unique_ptr<TaskSetup> setup);
  void start_task(const std::string& id, int64_t at_wall_ns);
  void stop(const std::string& id, bool cancel);
  void copied(const std::string& id);
  void echo(std::function<void()> answer);  // calls answer on the lane's thread, between two of its turns
  void resolved(const std::string& id, uint64_t token, std::vector<std::string> addresses, int error);
  void move(const std::shared_ptr<BulkJob>& job);  // takes it over, until it has ended
  // What it has to do: jobs that it moves, and tasks.
  struct Load {
    size_t jobs, tasks;
    auto operator<=>(const Load&) const = default;
  };
  Load load() const;

 private:
  struct Impl;
  explicit Lane(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
  std::string engine_, why_;
};

}  // namespace todd::lane
