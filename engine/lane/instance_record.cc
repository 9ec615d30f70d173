// What an instance writes down: samples, examples, lateness, and the quality of a period.
#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/base/cpu_time.h"
#include "engine/lane/instance.h"

namespace todd::lane {
namespace {

const char* stamp_name(uint8_t source) {
  return source == TODD_TS_NIC ? "nic" : source == TODD_TS_KERNEL ? "kernel" : "user";
}

}  // namespace

void Instance::stamps(uint8_t tx_src, uint8_t rx_src) {
  answered_ = true;
  worst_tx_src_ = std::min(worst_tx_src_, tx_src);
  worst_rx_src_ = std::min(worst_rx_src_, rx_src);
}

void Instance::sent_late(int64_t late_ns) {
  const auto value = static_cast<uint64_t>(std::max<int64_t>(0, late_ns));
  lateness_[stats::bucket_of(value)]++;
  lateness_count_++;
  lateness_sum_ += value;
  lateness_max_ = std::max(lateness_max_, value);
  lateness_min_ = std::min(lateness_min_, value);
}

void Instance::sample(const Target& target, uint64_t seq, int64_t at_ns, int64_t rtt_ns, const char* outcome,
                      uint8_t ttl, uint8_t tx_src, uint8_t rx_src) {
  if (setup_.samples == 0 || (setup_.samples > 0 && samples_taken_ >= static_cast<uint64_t>(setup_.samples)))
    return;
  ++samples_taken_;
  stats::CellSample out{.at_wall_ns = clock_.to_wall(at_ns),
                        .rtt_ns = rtt_ns,
                        .seq = seq,
                        .edge = target.edge,
                        .ttl = ttl,
                        .tx_stamp = tx_src,
                        .rx_stamp = rx_src,
                        .reserved = 0,
                        .outcome = {}};
  memcpy(out.outcome, outcome, strnlen(outcome, sizeof out.outcome));
  cells_.sample(out);
}

void Instance::note(uint32_t target, std::string_view outcome, std::string_view text) {
  auto it = noted_.find(outcome);
  if (it == noted_.end()) {
    if (noted_.size() >= 64) return;
    it = noted_.emplace(outcome, 0).first;
  }
  if (it->second >= kExamples) return;
  ++it->second;
  stats::CellNote out{};
  out.at_wall_ns = clock_.to_wall(now_ns_);
  out.edge = edge_of(target);
  memcpy(out.outcome, outcome.data(), std::min(outcome.size(), sizeof out.outcome - 1));
  memcpy(out.text, text.data(), std::min(text.size(), sizeof out.text - 1));
  cells_.note(out);
}

void Instance::begin_periods() {
  period_from_ns_ = start_ns_;
  period_end_ns_ = setup_.period_ns > 0 && !warming_up_ ? start_ns_ + setup_.period_ns : INT64_MAX;
  read_cpu();
}

void Instance::read_cpu() {
  lane_cpu_from_ns_ = thread_cpu_ns();
  worker_cpu_from_ns_ = process_cpu_ns();
}

void Instance::forget_counts() {
  if (lateness_count_ != 0) lateness_.fill(0);
  lateness_count_ = lateness_sum_ = lateness_max_ = 0;
  lateness_min_ = UINT64_MAX;
  local_drops_ = unmatched_ = received_ = 0;
  worst_tx_src_ = worst_rx_src_ = TODD_TS_NIC;
  answered_ = false;
}

void Instance::close_period(bool last) {
  Closed closed;
  closed.shard = setup_.shard.index;
  closed.bank = cells_.close_period();
  closed.from_wall_ns = clock_.to_wall(period_from_ns_);
  closed.to_wall_ns = clock_.to_wall(now_ns_);
  closed.last = last;
  if (answered_) {
    const bool corrected = worst_tx_src_ == TODD_TS_USER && setup_.stamps == manifest::Stamps::sampled;
    closed.tx_stamp = corrected ? "sampled" : stamp_name(worst_tx_src_);
    closed.rx_stamp = stamp_name(worst_rx_src_);
  }
  closed.local_drops = local_drops_;
  closed.unmatched = unmatched_;
  closed.received = received_;
  const int64_t lane_cpu_from_ns = lane_cpu_from_ns_;
  closed.worker_cpu_from_ns = worker_cpu_from_ns_;
  read_cpu();
  closed.lane_cpu_ns = lane_cpu_from_ns_ - lane_cpu_from_ns;
  closed.worker_cpu_to_ns = worker_cpu_from_ns_;
  closed.lateness.count = lateness_count_;
  closed.lateness.sum = lateness_sum_;
  closed.lateness.max = lateness_max_;
  closed.lateness.min = lateness_min_;
  for (uint32_t i = 0; lateness_count_ != 0 && i < stats::kBuckets; ++i)
    if (lateness_[i] != 0) closed.lateness.buckets.emplace_back(i, lateness_[i]);
  forget_counts();
  if (last) {
    closed.state = state_;
    closed.reason = reason_;
    closed.detail = detail_;
    phase_ = Phase::closing;
  }
  period_from_ns_ = now_ns_;
  // Periods keep to their grid; one that the reader made longer is followed by the next whole one.
  if (setup_.period_ns > 0)
    while (period_end_ns_ <= now_ns_) period_end_ns_ += setup_.period_ns;
  events_.closed(setup_.id, closed);
}

}  // namespace todd::lane
