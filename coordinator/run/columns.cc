#include "coordinator/run/columns.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "coordinator/proto/block.h"

namespace todd::run {

void Numbers::set(size_t slot, uint64_t value, size_t slots) {
  if (!wide_.empty()) {
    wide_[slot] = value;
  } else if (value > UINT32_MAX) {
    wide_.assign(small_.begin(), small_.end());
    wide_.resize(slots);
    std::vector<uint32_t>().swap(small_);
    wide_[slot] = value;
  } else if (!small_.empty()) {
    small_[slot] = static_cast<uint32_t>(value);
  } else if (value != 0) {
    small_.resize(slots);
    small_[slot] = static_cast<uint32_t>(value);
  }
}

void Columns::add(const manifest::Testlet& testlet, const v1::Block& block, std::span<const uint32_t> slots,
                  size_t all_slots) {
  if (block.first() >= slots.size()) return;
  slots = slots.subspan(block.first());
  const auto rows = static_cast<uint32_t>(std::min<size_t>(block.n(), slots.size()));
  columns_.resize(testlet.metrics.size());
  for (const v1::Column& in : block.columns()) {
    if (in.metric() >= columns_.size()) continue;
    const manifest::Metric& metric = testlet.metrics[in.metric()];
    Column& to = columns_[in.metric()];
    to.kind = metric.kind;
    const wire::ColumnView from(in, block.n());
    if (metric.kind == stats::Kind::counter) {
      for (uint32_t r = 0; r < rows; ++r)
        to.count.set(slots[r], to.count[slots[r]] + from.count(r), all_slots);
    } else if (metric.kind == stats::Kind::gauge) {
      to.gauge.resize(all_slots, std::numeric_limits<double>::quiet_NaN());
      for (uint32_t r = 0; r < rows; ++r) {
        double& gauge = to.gauge[slots[r]];
        const double now = from.gauge(r);
        if (!std::isnan(now)) gauge = std::isnan(gauge) ? now : stats::merge_gauges(gauge, now, metric.merge);
      }
    } else if (metric.kind == stats::Kind::histogram) {
      for (uint32_t r = 0; r < rows; ++r) {
        const size_t slot = slots[r];
        const uint64_t had = to.count[slot], more = from.count(r);
        if (more == 0) continue;
        to.least.set(slot, had == 0 ? from.least(r) : std::min(to.least[slot], from.least(r)), all_slots);
        to.most.set(slot, std::max(to.most[slot], from.most(r)), all_slots);
        to.sum.set(slot, to.sum[slot] + from.sum(r), all_slots);
        to.count.set(slot, had + more, all_slots);
      }
    }
  }
}

bool Columns::read(uint32_t metric, size_t slot, stats::Value& out) const {
  out.counter = 0;
  out.has_gauge = false;
  out.histogram.count = 0;
  if (metric >= columns_.size()) return false;
  const Column& column = columns_[metric];
  out.kind = column.kind;
  switch (column.kind) {
    case stats::Kind::counter: out.counter = column.count[slot]; return out.counter != 0;
    case stats::Kind::gauge:
      out.gauge = column.gauge.empty() ? 0 : column.gauge[slot];
      out.has_gauge = !column.gauge.empty() && !std::isnan(out.gauge);
      return out.has_gauge;
    case stats::Kind::histogram:
      out.histogram.count = column.count[slot];
      out.histogram.sum = column.sum[slot];
      out.histogram.min = column.least[slot];
      out.histogram.max = column.most[slot];
      return out.histogram.count != 0;
    default: return false;
  }
}

size_t Columns::bytes() const {
  size_t bytes = 0;
  for (const Column& c : columns_)
    bytes += c.count.bytes() + c.sum.bytes() + c.least.bytes() + c.most.bytes() +
             c.gauge.capacity() * sizeof(double);
  return bytes;
}

}  // namespace todd::run
