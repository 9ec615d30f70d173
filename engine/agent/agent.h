#pragma once
// One agent: its link, spool and supervisor tied together.

#include <cstdint>
#include <functional>
#include <memory>

#include "engine/agent/config.h"
#include "engine/agent/identity.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::agent {

inline constexpr int64_t kLeaseNs = 600'000'000'000;  // tasks go on that long without a link

// Resource, on the loop's thread.
class Agent {
 public:
  // ended is called once, from the loop: with a value after shut_down(), or the error that makes going on
  // useless. Tasks that end because the agent stops, or because no link came back within lease_ns, say so in
  // their last record: state "cancelled", and why.
  Agent(io::Loop& loop, const Clock& clock, Config config, Identity identity,
        std::function<void(Status)> ended, int64_t lease_ns = kLeaseNs);
  ~Agent();

  Status start();
  // Stops the tasks, waits a little for their last records to be taken, then calls ended.
  void shut_down();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::agent
