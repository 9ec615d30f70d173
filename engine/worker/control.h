#pragma once
// The worker's control thread: takes tasks from the supervisor, prepares them and hands them to lanes, passes
// on what the lanes say. [control] calls of testlets (check, create, destroy) happen here.
//
// A task has as many shards as the supervisor says, each on a lane of its own. Lanes are started when they
// are first needed; a task of one shard goes to the lane with the fewest tasks. One that uses todd.bulk/1 needs them
// all, for its jobs.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/fd.h"
#include "engine/base/mapping.h"
#include "engine/host/library.h"
#include "engine/io/channel.h"
#include "engine/io/loop.h"
#include "engine/lane/bulk_lanes.h"
#include "engine/lane/lane.h"

namespace todd::v1 {
class FromWorker;
class GotSocket;
class Prepare;
class Stop;
class ToWorker;
}  // namespace todd::v1

namespace todd::worker {

class Control {
 public:
  struct Options {
    UniqueFd control;      // frames, see worker.proto
    UniqueFd descriptors;  // SCM_RIGHTS, in the order of the frames that announce them
    io::EngineChoice engine;
    uint32_t lanes = 1;                  // at most so many
    std::vector<std::string> libraries;  // paths of the testlets the supervisor found good
  };
  Control(io::Loop& loop, Options options);
  ~Control();
  // Starts the first lane and says hello. Errors: the forced back end cannot run.
  Status start();

 private:
  struct Pending;  // a task being prepared
  struct Running;  // a task that lanes have

  void on_message(const v1::ToWorker& message);
  Result<std::vector<Mapping>> receive_cells(uint32_t shards);
  void prepare(const v1::Prepare& prepare);
  void start_task(const std::string& task, int64_t at_wall_ns);
  void stop(const v1::Stop& stop);
  void resolve_names(const std::shared_ptr<Pending>& pending);
  void need_sockets(const std::shared_ptr<Pending>& pending);
  void need_socket(const std::shared_ptr<Pending>& pending, uint32_t shard, int family, bool packet);
  void on_socket(const v1::GotSocket& got);
  void hand_over(const std::shared_ptr<Pending>& pending);
  Status create(lane::TaskSetup& setup, bool check, std::string& reason);
  Result<std::vector<uint32_t>> choose_lanes(size_t shards, bool all);
  void failed(const std::string& task, const std::string& reason, const std::string& detail);
  void send(const v1::FromWorker& message);
  void answer_beat(size_t lane);
  Status add_lane();
  lane::Lane::Events lane_events(uint32_t lane);
  void on_ready(const std::string& task, uint16_t port);
  void on_refused(const std::string& task, uint32_t lane, const lane::InstanceEvents::Refused& refused);
  void on_failed(const std::string& task, uint32_t lane, const std::string& reason,
                 const std::string& detail);
  void on_closed(const std::string& task, const lane::Closed& closed);
  void count_company();
  void on_ended(uint32_t lane, std::unique_ptr<lane::TaskSetup> setup);

  io::Loop& loop_;
  Options options_;
  io::ChannelPtr channel_;
  io::Resolver resolver_;
  host::Libraries libraries_;
  struct LaneSlot {
    std::unique_ptr<lane::Lane> lane;
    uint32_t tasks = 0;
  };
  std::vector<LaneSlot> lanes_;
  lane::BulkLanes bulk_lanes_;                     // those of lanes_
  std::map<std::string, std::string> library_of_;  // testlet id -> path
  // By task, until handed to its lanes. Shared with what they wait for: look-ups and sockets.
  std::map<std::string, std::shared_ptr<Pending>> preparing_;
  struct SocketWanted {
    std::shared_ptr<Pending> pending;
    uint32_t shard = 0;
  };
  std::map<uint32_t, SocketWanted> waiting_sockets_;
  std::map<std::string, Running> running_;
  uint32_t next_socket_ = 0;
  uint64_t next_serial_ = 0;
};

}  // namespace todd::worker
