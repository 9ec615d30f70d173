#pragma once
// The lanes of a worker that may move the bytes of jobs, and which of them gets the next one: the one with
// the fewest jobs, among those the one with the fewest tasks.

#include <memory>
#include <mutex>
#include <vector>

#include "engine/lane/lane.h"

namespace todd::lane {

class BulkLanes {
 public:
  void add(Lane& lane);  // which stays until clear()
  void clear();          // from now on nothing is placed
  // [any-thread] False: there is no lane any more.
  bool place(const std::shared_ptr<BulkJob>& job);

 private:
  std::mutex mutex_;
  std::vector<Lane*> lanes_;  // under mutex_
};

}  // namespace todd::lane
