#pragma once
// The values of very many slots, metric by metric. Internal to this folder.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/manifest/manifest.h"
#include "engine/stats/metric.h"

namespace todd::v1 {
class Block;
}

namespace todd::run {

// One number per slot, 0 at first. Takes nothing while all are 0, and four bytes each while all fit.
class Numbers {
 public:
  uint64_t operator[](size_t slot) const {
    if (!small_.empty()) return small_[slot];
    return wide_.empty() ? 0 : wide_[slot];
  }
  // slots: how many there are.
  void set(size_t slot, uint64_t value, size_t slots);
  size_t bytes() const { return small_.capacity() * sizeof(uint32_t) + wide_.capacity() * sizeof(uint64_t); }

 private:
  std::vector<uint32_t> small_;
  std::vector<uint64_t> wide_;  // once one was too large; then small_ is empty
};

// What flat rows hold of the slots of a test. Value type.
class Columns {
 public:
  // Adds a block: its row r is of slot slots[block.first() + r]. Rows beyond and metrics that are not the
  // testlet's, or have no place in flat rows, are passed over.
  void add(const manifest::Testlet& testlet, const v1::Block& block, std::span<const uint32_t> slots,
           size_t all_slots);

  // 0 where there is none.
  uint64_t counter(uint32_t metric, size_t slot) const {
    return metric < columns_.size() ? columns_[metric].count[slot] : 0;
  }
  // Whether something was recorded, and then it is in `out`, which had been empty or of the same metric.
  bool read(uint32_t metric, size_t slot, stats::Value& out) const;
  size_t bytes() const;

 private:
  struct Column {
    stats::Kind kind = stats::Kind::counter;
    Numbers count, sum, least, most;
    std::vector<double> gauge;  // NaN: not set
  };
  std::vector<Column> columns_;  // by metric; empty: no block came
};

}  // namespace todd::run
