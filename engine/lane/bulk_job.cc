#include "engine/lane/bulk_job.h"

namespace todd::lane {

void BulkJob::stop() {
  stop_.store(true, std::memory_order_relaxed);
  if (mover_ != nullptr) mover_->ring();
}

void BulkJob::end(int result) {
  fd.reset();
  result_ = result;
  ended_.store(true, std::memory_order_release);
  owner_->ring();
}

todd_bulk_count read_counts(const BulkJob& job) {
  const BulkCounts& c = job.counts;
  return {.size = sizeof(todd_bulk_count),
          .bytes = c.bytes.get(),
          .datagrams = c.datagrams.get(),
          .calls = c.calls.get(),
          .first_ns = static_cast<int64_t>(c.first_ns.get()),
          .last_ns = static_cast<int64_t>(c.last_ns.get()),
          .zero_copied = c.zero_copied.get(),
          .stalls = c.stalls.get(),
          .refused = c.refused.get(),
          .late_ns = static_cast<int64_t>(c.late_ns.get()),
          .lost = c.lost.get(),
          .out_of_order = c.out_of_order.get(),
          .duplicates = c.duplicates.get(),
          .dropped = c.dropped.get(),
          .highest = c.highest.get(),
          .jitter_ns = c.jitter_ns.get(),
          .bursts = c.bursts.get(),
          .longest_burst = c.longest_burst.get()};
}

}  // namespace todd::lane
