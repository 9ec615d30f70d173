#pragma once
// The jobs of todd.bulk/1 that an instance has begun: their numbers, and telling of their end.

#include <todd/testlet.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/lane/bulk_job.h"

namespace todd::lane {

class StreamBase;

class BulkJobs {
 public:
  // Gives a job to a lane; false: there is none any more.
  using Place = std::function<bool(const std::shared_ptr<BulkJob>&)>;
  explicit BulkJobs(io::Reactor& reactor) : bell_(std::make_shared<Doorbell>(reactor)) {}
  ~BulkJobs();  // stops them all
  BulkJobs(const BulkJobs&) = delete;
  BulkJobs& operator=(const BulkJobs&) = delete;

  // As todd_bulk's.
  todd_status begin(StreamBase& flow, uint64_t stream, const todd_bulk_job& wanted, const Place& place,
                    uint64_t& number);
  todd_status count(uint64_t number, todd_bulk_count& out) const;
  void stop(uint64_t number);
  bool running(uint64_t stream, bool sending) const;
  // The stream is being closed: stops its jobs and forgets them. What is to be told of that is appended.
  void close(uint64_t stream, std::vector<todd_done>& done);
  // Takes note of those that have ended; the same.
  void tend(std::vector<todd_done>& done);

 private:
  struct Entry {
    std::shared_ptr<BulkJob> job;  // with the lane that moves it
    uint64_t stream = 0;
    uint32_t flow = 0, target = TODD_NONE;
    bool told = false;
  };
  static todd_done tell(Entry& entry, int result);

  std::shared_ptr<Doorbell> bell_;  // with the jobs, which may outlive us
  std::map<uint64_t, Entry> jobs_;  // by number, until CLOSE of the stream
  size_t untold_ = 0;
  uint64_t last_number_ = 0;
};

}  // namespace todd::lane
