#pragma once
// What a lane needs to run one task, made by the worker's control thread and then owned by the lane.

#include <todd/testlet.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/egress.h"
#include "engine/base/mapping.h"
#include "engine/io/networks.h"
#include "engine/io/reactor.h"
#include "engine/manifest/manifest.h"
#include "engine/manifest/params.h"
#include "engine/schedule/schedule.h"
#include "engine/schedule/shards.h"
#include "engine/schedule/targets.h"
#include "engine/stats/cells.h"

namespace todd::lane {

// One target: address (family 0 until resolved), the spec it came from, and the edge of the task it reports
// as.
struct Target {
  io::Address address{};
  uint32_t spec = 0;
  uint32_t offset = 0;  // within the spec
  uint32_t edge = 0;
};

// What all the shards of a task have in common. A copy is a shard's own but for what is shared and only read.
struct TaskCommon {
  std::string id, run_id;
  const todd_testlet* testlet = nullptr;
  manifest::Testlet manifest;
  std::vector<todd_value> values;
  std::shared_ptr<std::vector<std::string>> texts;  // behind the values
  int64_t timeout_ns = 0, period_ns = 0, deadline_ns = 0;
  int64_t warm_up_ns = 0;  // of a source: what it probes first for so long does not count
  int64_t samples = 0;
  manifest::Stamps stamps = manifest::Stamps::exact;
  Egress egress;
  std::shared_ptr<std::vector<schedule::TargetSpec>> specs;
  std::shared_ptr<const std::vector<io::Network>> refused;  // where this host sends nothing
  std::vector<uint64_t> peer_tokens;
  uint16_t listen_first = 0, listen_last = 0, listen_port = 0;
};

// The part of a task that one lane runs: all of it, unless it is worth several lanes.
struct TaskSetup : TaskCommon {
  void* instance = nullptr;  // of create(); destroyed by whoever owns the setup, after the lane has let go
  todd_run run{};            // its pointers point into this struct
  uint64_t serial = 0;       // the worker's number of the task
  schedule::Plan plan;       // of what counts; a ramp is in the warm-up, if there is one
  int64_t phase_ns = 0;      // how much later than START its schedule begins
  schedule::Shard shard;     // edges below are counted from its first
  std::vector<Target> targets;
  // ICMP sockets from the supervisor, by family (0: v4, 1: v6), or why there is none.
  struct Icmp {
    UniqueFd fd;
    bool raw = false;
    std::string error;
    bool bad_param = false;  // the error is of the egress
  } icmp[2];
  UniqueFd packet;  // to send frames through; none: not wanted, or not to be had
  std::unique_ptr<stats::CellLayout> layout;
  uint8_t* cells = nullptr;  // layout->bytes()
  Mapping shared;            // where they lie
};

// manifest::host_metrics() in their order; a testlet with tickets alone has the first two.
enum HostMetric : uint32_t {
  kPlanned,
  kUnsent,
  kSent,
  kReceived,
  kLost,
  kLate,
  kDuplicate,
  kUndetermined,
  kLossRatio,
  kSentBytes,
  kReceivedBytes,
  kHostMetrics
};

// What a closed period says besides its cells.
struct Closed {
  uint32_t shard = 0;
  uint32_t bank = 0;
  int64_t from_wall_ns = 0, to_wall_ns = 0;
  bool last = false;
  std::string state, reason, detail;  // with last
  std::string tx_stamp, rx_stamp;
  uint64_t local_drops = 0, unmatched = 0;
  uint64_t received = 0;    // ACCEPT and RECV completions
  int64_t lane_cpu_ns = 0;  // that the lane's thread used meanwhile, for whatever it runs
  int64_t worker_cpu_from_ns = 0,
          worker_cpu_to_ns = 0;  // of the whole process, when the period began and ended
  stats::Histogram lateness;
};

}  // namespace todd::lane
