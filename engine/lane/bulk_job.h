#pragma once
// A job of todd.bulk/1, shared by the instance that wants it and the lane that moves its bytes, which may be
// two threads. The instance reads the counts and may stop it; everything else belongs to the mover until it
// has ended.

#include <todd/testlet.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "engine/base/fd.h"
#include "engine/lane/doorbell.h"

namespace todd::lane {

// One thread writes it, others read it.
class BulkCounter {
 public:
  void add(uint64_t n) { set(get() + n); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct BulkCounts {
  BulkCounter bytes, datagrams, calls, first_ns, last_ns, zero_copied, stalls, refused, late_ns;
  BulkCounter lost, out_of_order, duplicates, dropped, highest, jitter_ns, bursts, longest_burst;
};

class BulkJob {
 public:
  // owner: rung when the job has ended.
  BulkJob(const todd_bulk_job& what, UniqueFd socket, std::shared_ptr<Doorbell> owner)
      : wanted(what), fd(std::move(socket)), owner_(std::move(owner)) {}

  const todd_bulk_job wanted;
  bool datagrams = false;  // said before it is given to a mover
  UniqueFd fd;  // the mover's; a descriptor of its own of the socket
  BulkCounts counts;

  // Of the instance.
  void stop();  // ended() follows, if a mover has it
  bool ended() const { return ended_.load(std::memory_order_acquire); }
  int result() const { return result_; }  // once it has ended: 0 or -errno

  // Of whoever gives it to a mover, before.
  void set_mover(std::shared_ptr<Doorbell> mover) { mover_ = std::move(mover); }
  // Of the mover.
  bool stop_wanted() const { return stop_.load(std::memory_order_relaxed); }
  void end(int result);  // closes the descriptor

 private:
  std::shared_ptr<Doorbell> owner_, mover_;  // each other's lanes
  std::atomic<bool> stop_{false}, ended_{false};
  int result_ = 0;  // written before ended_
};

// As todd_bulk.count tells them; `running` is 0. Final once the job has ended.
todd_bulk_count read_counts(const BulkJob& job);

}  // namespace todd::lane
