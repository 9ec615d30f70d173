#pragma once
// Moves the bytes of the jobs that a lane was given: plain system calls as long as the socket takes or has
// some, the reactor's readiness when it does not. Between two turns of the lane each job has a slice of its
// time, so that what else the lane does goes on.
//
// A mover belongs to its lane's thread.

#include <atomic>
#include <memory>
#include <vector>

#include "engine/io/reactor.h"
#include "engine/lane/bulk_buffers.h"
#include "engine/lane/bulk_job.h"

namespace todd::lane {

// A job under way.
class BulkRun : public io::ReadinessSink {
 public:
  static constexpr int64_t kWhenReady = INT64_MAX;

  BulkRun(BulkJob& job, io::Reactor& reactor);
  // Moves for about so long. Returns when to go on: a time (the past: at once) or kWhenReady.
  int64_t move(int64_t now_ns, int64_t slice_ns);
  bool over() const { return over_; }  // then move() is not called any more
  int result() const { return result_; }
  void end(int result);

 protected:
  virtual int64_t slice(int64_t now_ns, int64_t until_ns) = 0;
  int64_t when_ready();  // what slice() returns when the socket has no room, or nothing
  void moved(uint64_t bytes, int64_t now_ns);
  bool limit_reached() const;
  uint32_t next_length() const;  // of a send or a read: within the limit

  BulkJob& job_;

 private:
  void on_ready() override { waiting_ = false; }

  std::unique_ptr<io::Readiness> readiness_;
  bool waiting_ = false, over_ = false;
  int result_ = 0;
};

class BulkMover {
 public:
  explicit BulkMover(io::Reactor& reactor);
  ~BulkMover();  // ends what is under way with -ECANCELED
  BulkMover(const BulkMover&) = delete;
  BulkMover& operator=(const BulkMover&) = delete;

  // [any-thread] A job is on its way: counts it from now on.
  void expect() { jobs_expected_.fetch_add(1, std::memory_order_relaxed); }
  size_t jobs() const {
    return jobs_expected_.load(std::memory_order_relaxed);
  }                                         // [any-thread] until they have ended
  void take(std::shared_ptr<BulkJob> job);  // after expect()
  // A slice for each job that can go on; returns when to call again at the latest.
  int64_t work(int64_t now_ns);
  const std::shared_ptr<Doorbell>& bell() const { return bell_; }  // of its lane

 private:
  struct Taken {
    std::shared_ptr<BulkJob> job;
    std::unique_ptr<BulkRun> run;
  };
  void finish(Taken& taken);

  io::Reactor& reactor_;
  std::shared_ptr<Doorbell> bell_;
  BulkBuffers buffers_;
  std::vector<Taken> jobs_;
  size_t first_ = 0;  // of the next round
  std::atomic<size_t> jobs_expected_{0};
};

}  // namespace todd::lane
