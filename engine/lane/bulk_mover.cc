#include "engine/lane/bulk_mover.h"

#include <algorithm>
#include <cerrno>

#include "engine/base/clock.h"
#include "engine/lane/bulk_datagrams.h"
#include "engine/lane/bulk_stream.h"

namespace todd::lane {
namespace {

// Of all jobs of a lane together before its other work has a turn, and the least of one. Those that are left
// out then come first in the next round.
constexpr int64_t kRoundNs = 400'000, kLeastSliceNs = 50'000;

}  // namespace

// ---- a job

BulkRun::BulkRun(BulkJob& job, io::Reactor& reactor)
    : job_(job),
      readiness_(reactor.add_readiness(
          job.fd.get(),
          (job.wanted.flags & TODD_BF_SEND) != 0 ? io::ReadyFor::writing : io::ReadyFor::reading, *this)) {}

void BulkRun::end(int result) {
  over_ = true;
  result_ = result;
  readiness_.reset();
}

int64_t BulkRun::when_ready() {
  waiting_ = true;
  readiness_->await();
  return kWhenReady;
}

int64_t BulkRun::move(int64_t now_ns, int64_t slice_ns) {
  const int64_t end_ns = job_.wanted.end_ns != 0 ? job_.wanted.end_ns : INT64_MAX;
  if (job_.stop_wanted() || now_ns >= end_ns) {
    end(0);
    return now_ns;
  }
  return std::min(waiting_ ? kWhenReady : slice(now_ns, std::min(now_ns + slice_ns, end_ns)), end_ns);
}

void BulkRun::moved(uint64_t bytes, int64_t now_ns) {
  BulkCounts& counts = job_.counts;
  if (counts.bytes.get() == 0) counts.first_ns.set(static_cast<uint64_t>(now_ns));
  counts.last_ns.set(static_cast<uint64_t>(now_ns));
  counts.bytes.add(bytes);
}

bool BulkRun::limit_reached() const {
  return job_.wanted.bytes != 0 && job_.counts.bytes.get() >= job_.wanted.bytes;
}

uint32_t BulkRun::next_length() const {
  if (job_.wanted.bytes == 0) return job_.wanted.length;
  return static_cast<uint32_t>(
      std::min<uint64_t>(job_.wanted.length, job_.wanted.bytes - job_.counts.bytes.get()));
}

// ---- those of a lane

BulkMover::BulkMover(io::Reactor& reactor) : reactor_(reactor), bell_(std::make_shared<Doorbell>(reactor)) {}

BulkMover::~BulkMover() {
  bell_->disconnect();
  for (Taken& taken : jobs_) {
    taken.run->end(-ECANCELED);
    finish(taken);
  }
}

void BulkMover::take(std::shared_ptr<BulkJob> job) {
  auto run = job->datagrams ? make_datagram_run(*job, reactor_, buffers_)
                            : make_stream_run(*job, reactor_, buffers_);
  if (!run) {
    jobs_expected_.fetch_sub(1, std::memory_order_relaxed);
    return job->end(run.error().sys_errno != 0 ? -run.error().sys_errno : -ENOMEM);
  }
  jobs_.push_back({std::move(job), std::move(*run)});
}

int64_t BulkMover::work(int64_t now_ns) {
  if (jobs_.empty()) return INT64_MAX;
  const int64_t slice = std::max(kRoundNs / static_cast<int64_t>(jobs_.size()), kLeastSliceNs);
  const int64_t until = now_ns + kRoundNs;
  const size_t n = jobs_.size();
  int64_t wake = INT64_MAX;
  size_t i = 0;
  for (; i < n && now_ns < until; ++i, now_ns = monotonic_ns()) {
    Taken& taken = jobs_[(first_ + i) % n];
    const int64_t again = taken.run->move(now_ns, slice);
    if (taken.run->over())
      finish(taken);
    else
      wake = std::min(wake, again);
  }
  first_ = (first_ + i) % n;
  std::erase_if(jobs_, [](const Taken& taken) { return taken.job == nullptr; });
  if (first_ >= jobs_.size()) first_ = 0;
  return i < n ? now_ns : wake;
}

void BulkMover::finish(Taken& taken) {
  const int result = taken.run->result();
  taken.run.reset();
  jobs_expected_.fetch_sub(1, std::memory_order_relaxed);
  taken.job->end(result);
  taken.job.reset();
}

}  // namespace todd::lane
