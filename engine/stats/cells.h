#pragma once
// The results of one task in shared memory, so that what a worker measured survives its death. The lane
// writes, the supervisor copies. Everything is offsets; the reader treats the content as hostile and checks
// every one.
//
// Invariants
// - Up to kTwoBankEdges edges: a row per edge in each of two banks. The lane writes the open bank; at the end
// of a period it
//   flips, and the reader copies the closed one, which is cleared when the lane flips back to it. A bank
//   holds one period's delta.
// - More edges: one flat row per edge (cumulative, packed, no buckets, and nothing of metrics of which only
// the
//   total is kept), and the two banks hold a single row merged over all edges.
// - Histogram buckets live in chunks of 128, breakdowns in tables, texts in pages of their own: handed out on
// demand, one
//   pool each per bank. What nobody records takes no memory but its place in the row.
// - Samples and notes are rings; a period's end index is stored with its bank; what the reader has not copied
// is never
//   overwritten: newer entries are dropped and counted.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "engine/stats/buckets.h"
#include "engine/stats/metric.h"

namespace todd::stats {

inline constexpr uint32_t kTwoBankEdges = 4096;
inline constexpr uint32_t kChunk = 1u << kSubBits;  // buckets per chunk: one power of two
inline constexpr uint32_t kChunksPerHistogram = kBuckets / kChunk;

// Room for single measurements of a task that wants so many of them (-1: all) kept.
inline constexpr uint32_t kMaxSampleSlots = 65536;
uint32_t sample_slots_for(int64_t samples);

struct CellSample {
  int64_t at_wall_ns, rtt_ns;
  uint64_t seq;
  uint32_t edge;
  uint8_t ttl, tx_stamp, rx_stamp, reserved;
  char outcome[16];
};
struct CellNote {
  int64_t at_wall_ns;
  uint32_t edge;
  char outcome[20];
  char text[160];
};

// Where everything lies: a pure function of the metrics and the number of edges.
class CellLayout {
 public:
  // only_total: by metric, those that have no cell in flat rows; shorter: the others have one.
  // flat: compact(), as the task is of which the edges may be a part.
  CellLayout(std::vector<Kind> kinds, uint32_t edges, uint32_t sample_slots,
             const std::vector<bool>& only_total, bool flat);
  CellLayout(std::vector<Kind> kinds, uint32_t edges, uint32_t sample_slots,
             const std::vector<bool>& only_total = {})
      : CellLayout(std::move(kinds), edges, sample_slots, only_total, edges > kTwoBankEdges) {}

  struct HistogramCell {
    uint64_t count, sum, min, max, squares_low, squares_high;
    uint32_t chunk[kChunksPerHistogram];  // 1 + index in the bank's pool, 0 = none
  };
  // Rows of very many edges. Nothing here wraps: what does not fit stays at the greatest number that does.
  using FlatCounterCell = uint32_t;
  struct FlatHistogramCell {
    uint64_t sum;
    uint32_t count, min_low, max_low;
    uint16_t min_high, max_high;  // of 48 bits
  };
  using FlatGaugeCell = uint64_t;  // the complement of the double's bits; 0: not set
  static constexpr uint64_t kFlatMost = (uint64_t{1} << 48) - 1;
  struct GaugeCell {
    double value;
    uint64_t set;
  };
  static constexpr uint32_t kKeyBytes = 24;
  struct TallyCell {
    char key[kKeyBytes];
    uint64_t n;
  };
  using PooledCell = uint64_t;  // of a breakdown or an info: 1 + index in its pool of the bank, 0 = none
  struct Table {                // a breakdown
    uint64_t keys;
    TallyCell tally[kBreakdownKeys + 1];  // the last one: kOtherKey
  };
  struct Text {  // an info
    uint32_t len;
    char text[252];
  };
  // Blocks that the rows of a bank take as they need them.
  enum Pool : uint32_t { kChunks, kTables, kTexts, kPools };
  struct Bank {
    uint64_t used[kPools], samples_end, notes_end;
  };
  struct Header {
    uint64_t magic;
    std::atomic<uint64_t> open_bank;
    Bank bank[2];
    uint64_t samples_written, notes_written, samples_dropped, notes_dropped;
    std::atomic<uint32_t> in_testlet;
  };
  static constexpr uint64_t kMagic = 0x32736c6c65436f54;
  static constexpr uint32_t kNotes = 256;

  const std::vector<Kind>& kinds() const { return kinds_; }
  uint32_t edges() const { return edges_; }
  bool compact() const { return compact_; }
  uint32_t bank_rows() const { return compact() ? 1 : edges_; }
  uint32_t sample_slots() const { return sample_slots_; }
  size_t bytes() const { return bytes_; }

  size_t row(uint32_t bank, uint32_t row) const { return bank_at_[bank] + size_t{row} * row_stride_; }
  size_t flat_row(uint32_t edge) const { return flat_at_ + size_t{edge} * flat_stride_; }
  size_t cell(uint32_t metric) const { return cell_at_[metric]; }
  // Of kinds that have none in flat rows, and of metrics of which only the total is kept: kNoCell.
  static constexpr size_t kNoCell = SIZE_MAX;
  size_t flat_cell(uint32_t metric) const { return flat_cell_at_[metric]; }
  size_t block(Pool pool, uint32_t bank, uint64_t index) const {
    return pool_at_[bank][pool] + index * block_bytes(pool);
  }
  static constexpr size_t block_bytes(Pool pool) {
    return pool == kChunks ? kChunk * sizeof(uint32_t) : pool == kTables ? sizeof(Table) : sizeof(Text);
  }
  uint64_t blocks(Pool pool) const { return blocks_[pool]; }
  size_t row_stride() const { return row_stride_; }
  size_t flat_stride() const { return flat_stride_; }
  size_t samples() const { return samples_at_; }
  size_t notes() const { return notes_at_; }

 private:
  std::vector<Kind> kinds_;
  void lay_out_flat_rows(const std::vector<bool>& only_total);

  std::vector<size_t> cell_at_, flat_cell_at_;
  uint32_t edges_, sample_slots_;
  bool compact_;
  uint64_t blocks_[kPools] = {};
  size_t row_stride_ = 0, flat_stride_ = 0, bank_at_[2], pool_at_[2][kPools], flat_at_, samples_at_,
         notes_at_, bytes_;
};

// While it lives the memory says that a call into the task's testlet is under way: whose fault a death is.
// [one at a time]
class InTestlet {
 public:
  // memory: at least a Header.
  explicit InTestlet(uint8_t* memory) : flag_(reinterpret_cast<CellLayout::Header*>(memory)->in_testlet) {
    set(1);
  }
  ~InTestlet() { set(0); }
  InTestlet(const InTestlet&) = delete;
  InTestlet& operator=(const InTestlet&) = delete;

 private:
  void set(uint32_t inside) { flag_.store(inside, std::memory_order_relaxed); }
  std::atomic<uint32_t>& flag_;
};

// The lane's side. memory: zeroed, layout.bytes() long, outlives the writer. [one thread]
class CellWriter {
 public:
  CellWriter(const CellLayout& layout, uint8_t* memory);

  // Unknown metrics, edges and kinds that do not fit are ignored and counted in refused().
  void count(uint32_t metric, uint32_t edge, uint64_t n);
  void set(uint32_t metric, uint32_t edge, double value, GaugeMerge merge);
  void observe(uint32_t metric, uint32_t edge, uint64_t value);
  void tally(uint32_t metric, uint32_t edge, std::string_view key, uint64_t n);
  void info(uint32_t metric, uint32_t edge, std::string_view text);
  void sample(const CellSample& sample);
  void note(const CellNote& note);
  uint64_t refused() const { return refused_; }
  // While it is muted nothing is written, and nothing counted in refused().
  void mute(bool muted) { muted_ = muted; }
  // The edge is recorded of soon: its row may be fetched into the cache meanwhile. Changes nothing.
  void expect(uint32_t edge) const {
    if (layout_.compact() && edge < layout_.edges()) __builtin_prefetch(memory_ + layout_.flat_row(edge), 1);
  }

  // Ends the period: returns the bank just closed, which is the reader's until copied() is called. Requires:
  // the bank closed before was copied.
  uint32_t close_period();
  void copied();
  bool waiting_for_copy() const { return waiting_; }

 private:
  template <class T>
  T* at(size_t offset) {
    return reinterpret_cast<T*>(memory_ + offset);
  }
  bool fits(uint32_t metric, uint32_t edge, Kind kind);
  uint32_t row_of(uint32_t edge) const { return layout_.compact() ? 0 : edge; }
  // The metric's cell in the open bank's row of the edge.
  template <class T>
  T& cell(uint32_t metric, uint32_t edge) {
    return *at<T>(layout_.row(open_, row_of(edge)) + layout_.cell(metric));
  }
  // Its cell in the edge's flat row; nullptr if there is none.
  template <class T>
  T* flat_cell(uint32_t metric, uint32_t edge) {
    if (!layout_.compact() || layout_.flat_cell(metric) == CellLayout::kNoCell) return nullptr;
    return at<T>(layout_.flat_row(edge) + layout_.flat_cell(metric));
  }
  // The block that the row's cell names, taken from the pool if it has none yet.
  template <class T, class Index>
  T* block(CellLayout::Pool pool, Index& cell) {
    if (cell == 0) cell = static_cast<Index>(++header().bank[open_].used[pool]);
    return at<T>(layout_.block(pool, open_, cell - 1));
  }
  CellLayout::Header& header() { return *at<CellLayout::Header>(0); }
  void clear(uint32_t bank);

  const CellLayout& layout_;
  uint8_t* memory_;
  uint32_t open_ = 0;
  bool waiting_ = false, muted_ = false;
  uint64_t samples_read_ = 0, notes_read_ = 0, refused_ = 0;
};

// The supervisor's side. Copies what it reads. [one thread]
class CellReader {
 public:
  CellReader(const CellLayout& layout, const uint8_t* memory);

  using Row = std::vector<std::pair<uint32_t, Value>>;  // metrics with something in them
  // One row of a bank: an edge, or with compact() row 0 for all edges together.
  Row bank_row(uint32_t bank, uint32_t row) const;
  // One metric of a flat row: `count` is a counter, or the number of a histogram's values.
  struct Flat {
    bool something = false;
    uint64_t count = 0, sum = 0, min = 0, max = 0;
    double gauge = 0;
  };
  Flat flat(uint32_t edge, uint32_t metric) const;
  bool flat_empty(uint32_t edge) const;  // nothing was recorded of it
  uint32_t open_bank() const;
  // What the closed bank's period (or, after a crash, everything) added; at most what the rings hold.
  std::vector<CellSample> samples(uint32_t bank, bool everything);
  std::vector<CellNote> notes(uint32_t bank, bool everything);
  uint64_t samples_dropped() const;
  bool in_testlet() const;  // a call into the testlet has begun and not returned

 private:
  template <class T>
  const T& at(size_t offset) const {
    return *reinterpret_cast<const T*>(memory_ + offset);
  }
  Value value(uint32_t bank, Kind kind, size_t where, bool& something) const;
  Histogram histogram(uint32_t bank, const CellLayout::HistogramCell& cell) const;
  // The block with that number, or nullptr.
  template <class T>
  const T* block(CellLayout::Pool pool, uint32_t bank, uint64_t number) const {
    if (number == 0 || number > layout_.blocks(pool)) return nullptr;
    return &at<T>(layout_.block(pool, bank, number - 1));
  }

  const CellLayout& layout_;
  const uint8_t* memory_;
  uint64_t samples_read_ = 0, notes_read_ = 0;
};

}  // namespace todd::stats
