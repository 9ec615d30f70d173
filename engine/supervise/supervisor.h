#pragma once
// Runs tasks in a todd-worker process and outlives it. Loads no testlet and parses no packet: it reads
// manifests, spawns the worker, opens privileged sockets for it, copies closed periods out of shared memory,
// and says why a worker died.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/io/loop.h"
#include "engine/io/reactor.h"
#include "engine/manifest/scan.h"
#include "engine/supervise/secrets.h"

namespace todd::v1 {
class Task;
class Ready;
class Failed;
class Record;
}  // namespace todd::v1

namespace todd::supervise {

struct SupervisorOptions {
  std::string worker_binary;  // default: todd-worker beside this program
  std::vector<std::string>
      testlet_folders;   // scanned for *.so; default: ../lib/todd/testlets beside this program
  SecretPlaces secrets;  // default: the credentials of systemd alone
  io::EngineChoice engine;
  uint32_t lanes = 0;  // of the worker, at most; 0: one for each core this process may use
  int64_t hang_limit_ns =
      10'000'000'000;  // a worker with tasks that gives no sign of life for so long is killed
};
// Defaults from the place of the running program.
SupervisorOptions default_options();

// All on the loop's thread. Callbacks may call back into the supervisor.
class Supervisor {
 public:
  struct Events {
    std::function<void(const v1::Ready&)> ready;
    std::function<void(const v1::Failed&)> failed;  // could not be prepared; nothing follows for the task
    std::function<void(v1::Record&&)> record;       // seq 1.. per task; the one with last ends the task
    std::function<void()> changed;  // what engine(), engine_why() or quarantined() say; may be empty
  };
  Supervisor(io::Loop& loop, SupervisorOptions options, Events events);
  ~Supervisor();  // kills the worker

  // Scans the folders and spawns the worker. Errors: no worker binary, no socketpair.
  Status start();
  // What lies in the folders: manifests, or why a file is refused.
  const std::vector<manifest::Found>& testlets() const;
  // Those that are not started again: the worker died three times within ten minutes in their code.
  struct Quarantined {
    std::string testlet, path, why;
  };
  std::vector<Quarantined> quarantined() const;
  const std::string& engine() const;  // "uring" | "event", "" until the worker said hello
  const std::string& engine_why() const;
  int worker_pid() const;  // 0 while there is none

  // Every prepare is answered by ready or failed; every start by records, the last with last=true and state.
  // A worker's death ends its tasks with what shared memory held: partial, last, state "error", reason
  // "testlet_crashed", the signal in detail. Reasons of failed: name_resolution, permission, unsupported
  // (also: the task's manifest is not this host's), bad_param, testlet_missing, local_resource,
  // testlet_crashed, quarantined, secret_missing, cancelled (stopped before it was ready). The names of
  // secrets among the params are replaced by their values here.
  void prepare(const v1::Task& task);
  void start_task(const std::string& task, int64_t at_wall_ns);
  void stop_task(const std::string& task, bool cancel);
  size_t open_tasks() const;
  // Nothing more is wanted of it: kills the worker, whose end takes its time (the kernel closes its sockets)
  // and is waited for by the destructor alone. Nothing may be called after.
  void end();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::supervise
