#include "engine/lane/bulk_jobs.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "engine/base/clock.h"
#include "engine/lane/stream_base.h"

namespace todd::lane {
namespace {

constexpr uint32_t kMostAtOnce = 4u << 20;  // bytes of a system call

// Of a job on a connection.
bool sensible(const todd_bulk_job& wanted) {
  constexpr uint32_t kOfSenders = TODD_BF_SEND | TODD_BF_ZERO_COPY | TODD_BF_RANDOM,
                     kOfReceivers = TODD_BF_DISCARD;
  const uint32_t known = (wanted.flags & TODD_BF_SEND) != 0 ? kOfSenders : kOfReceivers;
  return (wanted.flags & ~known) == 0 && wanted.length != 0 && wanted.length <= kMostAtOnce;
}

// Of one of datagrams: what the host writes or reads must fit into them.
bool sensible_datagrams(const todd_bulk_job& wanted) {
  constexpr uint32_t kOfSenders = TODD_BF_SEND | TODD_BF_OFFLOAD | TODD_BF_RANDOM,
                     kOfReceivers = TODD_BF_OFFLOAD, kLongest = 65'507;
  const uint32_t known = (wanted.flags & TODD_BF_SEND) != 0 ? kOfSenders : kOfReceivers;
  const auto fits = [&](uint16_t at, uint32_t bytes) { return at == 0xffff || at + bytes <= wanted.length; };
  const bool numbered = wanted.sequence_at != 0xffff;
  return (wanted.flags & ~known) == 0 && wanted.length != 0 && wanted.length <= kLongest &&
         (!numbered || wanted.sequence_bytes == 4 || wanted.sequence_bytes == 8) &&
         fits(wanted.seconds_at, 4) && fits(wanted.micros_at, 4) &&
         fits(wanted.sequence_at, wanted.sequence_bytes);
}

}  // namespace

BulkJobs::~BulkJobs() {
  bell_->disconnect();
  for (auto& [number, entry] : jobs_) entry.job->stop();
}

bool BulkJobs::running(uint64_t stream, bool sending) const {
  return std::ranges::any_of(jobs_, [&](const auto& one) {
    const Entry& entry = one.second;
    return entry.stream == stream && !entry.told &&
           ((entry.job->wanted.flags & TODD_BF_SEND) != 0) == sending;
  });
}

todd_status BulkJobs::begin(StreamBase& flow, uint64_t stream, const todd_bulk_job& wanted,
                            const Place& place, uint64_t& number) {
  if (!place) return TODD_E_UNSUPPORTED;
  // A testlet built before the struct grew gives as much as it knows of.
  todd_bulk_job whole{};
  if (wanted.size < offsetof(todd_bulk_job, seconds_at)) return -EINVAL;
  memcpy(&whole, &wanted, std::min<size_t>(wanted.size, sizeof whole));
  const bool datagrams = flow.datagrams();
  if (datagrams ? wanted.size < sizeof whole || !sensible_datagrams(whole) : !sensible(whole)) return -EINVAL;
  const bool sending = (whole.flags & TODD_BF_SEND) != 0;
  if (running(stream, sending)) return -EBUSY;
  Entry entry{.stream = stream};
  UniqueFd fd;
  if (const int refused = flow.lend(stream, sending, fd, entry.flow, entry.target); refused != 0)
    return refused;
  entry.job = std::make_shared<BulkJob>(whole, std::move(fd), bell_);
  entry.job->datagrams = datagrams;
  if (!place(entry.job)) return -ECANCELED;
  number = ++last_number_;
  jobs_.emplace(number, std::move(entry));
  ++untold_;
  return 0;
}

todd_status BulkJobs::count(uint64_t number, todd_bulk_count& out) const {
  const auto it = jobs_.find(number);
  if (it == jobs_.end()) return -ENOENT;
  if (out.size < offsetof(todd_bulk_count, lost)) return -EINVAL;
  todd_bulk_count whole = read_counts(*it->second.job);
  whole.size = out.size;
  whole.running = it->second.told ? 0 : 1;
  memcpy(&out, &whole, std::min<size_t>(out.size, sizeof whole));
  return 0;
}

void BulkJobs::stop(uint64_t number) {
  const auto it = jobs_.find(number);
  if (it != jobs_.end()) it->second.job->stop();
}

todd_done BulkJobs::tell(Entry& entry, int result) {
  entry.told = true;
  return {.user = entry.job->wanted.user,
          .result = result,
          .code = TODD_OP_BULK,
          .flow = entry.flow,
          .target = entry.target,
          .slot = TODD_NONE,
          .rx_ns = monotonic_ns(),
          .rx_src = TODD_TS_USER,
          .arg = entry.stream};
}

void BulkJobs::close(uint64_t stream, std::vector<todd_done>& done) {
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    Entry& entry = it->second;
    if (entry.stream != stream) {
      ++it;
      continue;
    }
    if (!entry.told) {
      entry.job->stop();
      done.push_back(tell(entry, entry.job->ended() ? entry.job->result() : 0));
      --untold_;
    }
    it = jobs_.erase(it);
  }
}

void BulkJobs::tend(std::vector<todd_done>& done) {
  if (untold_ == 0) return;
  for (auto& [number, entry] : jobs_) {
    if (entry.told || !entry.job->ended()) continue;
    done.push_back(tell(entry, entry.job->result()));
    --untold_;
  }
}

}  // namespace todd::lane
