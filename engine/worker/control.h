#pragma once
// The worker's control thread: takes tasks from the supervisor, prepares them and hands them to the lane,
// passes on what the lane says. [control] calls of testlets (check, create, destroy) happen here.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/fd.h"
#include "engine/base/mapping.h"
#include "engine/host/library.h"
#include "engine/io/channel.h"
#include "engine/io/loop.h"
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
    io::Backend backend = io::Backend::automatic;
    std::vector<std::string> libraries;  // paths of the testlets the supervisor found good
  };
  Control(io::Loop& loop, Options options);
  ~Control();
  // Starts the lane and says hello. Errors: the forced back end cannot run.
  Status start();

 private:
  struct Pending;  // a task being prepared

  void on_message(const v1::ToWorker& message);
  Result<Mapping> receive_cells();
  void prepare(const v1::Prepare& prepare);
  void stop(const v1::Stop& stop);
  void resolve_names(const std::shared_ptr<Pending>& pending);
  void need_sockets(const std::shared_ptr<Pending>& pending);
  void on_socket(const v1::GotSocket& got);
  void hand_over(const std::shared_ptr<Pending>& pending);
  void failed(const std::string& task, const std::string& reason, const std::string& detail);
  void send(const v1::FromWorker& message);
  lane::Lane::Events lane_events();
  void ended(std::unique_ptr<lane::TaskSetup> setup);

  io::Loop& loop_;
  Options options_;
  io::ChannelPtr channel_;
  io::Resolver resolver_;
  host::Libraries libraries_;
  std::unique_ptr<lane::Lane> lane_;
  std::map<std::string, std::string> library_of_;  // testlet id -> path
  // By task, until handed to the lane. Shared with what they wait for: look-ups and sockets.
  std::map<std::string, std::shared_ptr<Pending>> preparing_;
  std::map<uint32_t, std::shared_ptr<Pending>> waiting_sockets_;
  std::map<std::string, std::shared_ptr<Pending>>
      endpoints_;  // prepared, until READY has told what names resolved to
  uint32_t next_socket_ = 0;
};

}  // namespace todd::worker
