#include "engine/stats/cells.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "engine/base/check.h"

namespace todd::stats {
namespace {

using Layout = CellLayout;

size_t cell_bytes(Kind kind) {
  switch (kind) {
    case Kind::counter: return sizeof(uint64_t);
    case Kind::gauge: return sizeof(Layout::GaugeCell);
    case Kind::histogram: return sizeof(Layout::HistogramCell);
    case Kind::breakdown:
    case Kind::info: return sizeof(Layout::PooledCell);
    case Kind::ratio:
    case Kind::spread: return 0;
  }
  return 0;
}

// Flat rows are for very many edges: no buckets, no breakdown, no text.
size_t flat_bytes(Kind kind) {
  switch (kind) {
    case Kind::counter: return sizeof(Layout::FlatCounterCell);
    case Kind::gauge: return sizeof(Layout::FlatGaugeCell);
    case Kind::histogram: return sizeof(Layout::FlatHistogramCell);
    default: return 0;
  }
}

Layout::Pool pool_of(Kind kind) {
  return kind == Kind::histogram   ? Layout::kChunks
         : kind == Kind::breakdown ? Layout::kTables
                                   : Layout::kTexts;
}

size_t page_up(size_t n) { return (n + 4095) & ~size_t{4095}; }

template <class Cell>
void add_value(Cell& cell, uint64_t value) {
  if (cell.count == 0 || value < cell.min) cell.min = value;
  if (value > cell.max) cell.max = value;
  cell.count++;
  cell.sum += value;
}

template <class T>
void add_saturating(T& to, uint64_t n) {
  constexpr T kMost = std::numeric_limits<T>::max();
  to = n > kMost - to ? kMost : static_cast<T>(to + n);
}

uint64_t least_of(const Layout::FlatHistogramCell& cell) {
  return uint64_t{cell.min_high} << 32 | cell.min_low;
}
uint64_t most_of(const Layout::FlatHistogramCell& cell) {
  return uint64_t{cell.max_high} << 32 | cell.max_low;
}

void add_flat_value(Layout::FlatHistogramCell& cell, uint64_t value) {
  const uint64_t kept = std::min(value, Layout::kFlatMost);
  if (cell.count == 0 || kept < least_of(cell)) {
    cell.min_low = static_cast<uint32_t>(kept);
    cell.min_high = static_cast<uint16_t>(kept >> 32);
  }
  if (kept > most_of(cell)) {
    cell.max_low = static_cast<uint32_t>(kept);
    cell.max_high = static_cast<uint16_t>(kept >> 32);
  }
  add_saturating(cell.count, 1);
  add_saturating(cell.sum, value);
}

std::string_view text_of(const char* text, size_t cap) { return {text, strnlen(text, cap)}; }

void set_gauge(Layout::GaugeCell& cell, double value, GaugeMerge merge) {
  if (cell.set == 0 || merge == GaugeMerge::last)
    cell.value = value;
  else if (merge == GaugeMerge::sum)
    cell.value += value;
  else if (merge == GaugeMerge::min)
    cell.value = std::min(cell.value, value);
  else
    cell.value = std::max(cell.value, value);
  cell.set = 1;
}

}  // namespace

uint32_t sample_slots_for(int64_t samples) {
  return samples < 0 ? kMaxSampleSlots : static_cast<uint32_t>(std::min<int64_t>(samples, kMaxSampleSlots));
}

CellLayout::CellLayout(std::vector<Kind> kinds, uint32_t edges, uint32_t sample_slots,
                       const std::vector<bool>& only_total, bool flat)
    : kinds_(std::move(kinds)), edges_(edges), sample_slots_(sample_slots), compact_(flat) {
  for (Kind kind : kinds_) {
    cell_at_.push_back(row_stride_);
    row_stride_ += cell_bytes(kind);
    if (kind == Kind::histogram || kind == Kind::breakdown || kind == Kind::info)
      blocks_[pool_of(kind)] += uint64_t{bank_rows()} * (kind == Kind::histogram ? kChunksPerHistogram : 1);
  }
  lay_out_flat_rows(only_total);
  size_t at = page_up(sizeof(Header));
  for (int bank = 0; bank < 2; ++bank) bank_at_[bank] = at, at += page_up(row_stride_ * bank_rows());
  for (auto& bank : pool_at_) {
    for (const Pool pool : {kChunks, kTables, kTexts})
      bank[pool] = at, at += page_up(blocks_[pool] * block_bytes(pool));
  }
  flat_at_ = at;
  if (compact()) at += page_up(flat_stride_ * edges_);
  samples_at_ = at;
  at += page_up(sizeof(CellSample) * sample_slots_);
  notes_at_ = at;
  bytes_ = at + page_up(sizeof(CellNote) * kNotes);
}

// Cells of eight bytes before those of four, so that none needs filling.
void CellLayout::lay_out_flat_rows(const std::vector<bool>& only_total) {
  flat_cell_at_.assign(kinds_.size(), kNoCell);
  for (const bool counters : {false, true}) {
    for (size_t m = 0; m < kinds_.size(); ++m) {
      const size_t bytes = flat_bytes(kinds_[m]);
      if (bytes == 0 || (kinds_[m] == Kind::counter) != counters) continue;
      if (m < only_total.size() && only_total[m]) continue;
      flat_cell_at_[m] = flat_stride_;
      flat_stride_ += bytes;
    }
  }
  flat_stride_ = (flat_stride_ + 7) & ~size_t{7};
}

CellWriter::CellWriter(const CellLayout& layout, uint8_t* memory) : layout_(layout), memory_(memory) {
  header().magic = Layout::kMagic;
}

bool CellWriter::fits(uint32_t metric, uint32_t edge, Kind kind) {
  if (muted_) return false;
  const bool good =
      metric < layout_.kinds().size() && edge < layout_.edges() && layout_.kinds()[metric] == kind;
  refused_ += !good;
  return good;
}

void CellWriter::count(uint32_t metric, uint32_t edge, uint64_t n) {
  if (!fits(metric, edge, Kind::counter)) return;
  cell<uint64_t>(metric, edge) += n;
  if (auto* flat = flat_cell<Layout::FlatCounterCell>(metric, edge)) add_saturating(*flat, n);
}

void CellWriter::set(uint32_t metric, uint32_t edge, double value, GaugeMerge merge) {
  if (!fits(metric, edge, Kind::gauge)) return;
  // Within a row the newest value stands; between edges (the compact row) the metric's rule does.
  set_gauge(cell<Layout::GaugeCell>(metric, edge), value, layout_.compact() ? merge : GaugeMerge::last);
  if (auto* flat = flat_cell<Layout::FlatGaugeCell>(metric, edge)) *flat = ~std::bit_cast<uint64_t>(value);
}

void CellWriter::observe(uint32_t metric, uint32_t edge, uint64_t value) {
  if (!fits(metric, edge, Kind::histogram)) return;
  auto& all = cell<Layout::HistogramCell>(metric, edge);
  add_value(all, value);
  unsigned __int128 squares = (static_cast<unsigned __int128>(all.squares_high) << 64) | all.squares_low;
  squares += static_cast<unsigned __int128>(value) * value;
  all.squares_low = static_cast<uint64_t>(squares);
  all.squares_high = static_cast<uint64_t>(squares >> 64);
  const uint32_t bucket = bucket_of(value);
  block<uint32_t>(Layout::kChunks, all.chunk[bucket / kChunk])[bucket % kChunk]++;
  if (auto* flat = flat_cell<Layout::FlatHistogramCell>(metric, edge)) add_flat_value(*flat, value);
}

void CellWriter::tally(uint32_t metric, uint32_t edge, std::string_view key, uint64_t n) {
  if (!fits(metric, edge, Kind::breakdown)) return;
  auto& table = *block<Layout::Table>(Layout::kTables, cell<Layout::PooledCell>(metric, edge));
  key = key.substr(0, Layout::kKeyBytes - 1);
  for (uint64_t i = 0; i < table.keys; ++i) {
    if (text_of(table.tally[i].key, Layout::kKeyBytes) == key) {
      table.tally[i].n += n;
      return;
    }
  }
  if (table.keys == kBreakdownKeys) {
    table.tally[kBreakdownKeys].n += n;
    return;
  }
  memcpy(table.tally[table.keys].key, key.data(), key.size());
  table.tally[table.keys++].n = n;
}

void CellWriter::info(uint32_t metric, uint32_t edge, std::string_view text) {
  if (!fits(metric, edge, Kind::info)) return;
  auto& to = *block<Layout::Text>(Layout::kTexts, cell<Layout::PooledCell>(metric, edge));
  to.len = static_cast<uint32_t>(std::min(text.size(), sizeof to.text));
  memcpy(to.text, text.data(), to.len);
}

void CellWriter::sample(const CellSample& sample) {
  if (muted_) return;
  auto& h = header();
  if (layout_.sample_slots() == 0 || h.samples_written - samples_read_ >= layout_.sample_slots()) {
    h.samples_dropped++;
    return;
  }
  at<CellSample>(layout_.samples())[h.samples_written++ % layout_.sample_slots()] = sample;
}

void CellWriter::note(const CellNote& note) {
  if (muted_) return;
  auto& h = header();
  if (h.notes_written - notes_read_ >= Layout::kNotes) {
    h.notes_dropped++;
    return;
  }
  at<CellNote>(layout_.notes())[h.notes_written++ % Layout::kNotes] = note;
}

uint32_t CellWriter::close_period() {
  TODD_CHECK(!waiting_);
  const uint32_t closed = open_;
  auto& h = header();
  h.bank[closed].samples_end = h.samples_written;
  h.bank[closed].notes_end = h.notes_written;
  open_ = 1 - open_;
  clear(open_);
  h.open_bank.store(open_, std::memory_order_release);
  waiting_ = true;
  return closed;
}

void CellWriter::copied() {
  waiting_ = false;
  const auto& closed = header().bank[1 - open_];
  samples_read_ = closed.samples_end;
  notes_read_ = closed.notes_end;
}

void CellWriter::clear(uint32_t bank) {
  auto& state = header().bank[bank];
  memset(memory_ + layout_.row(bank, 0), 0, layout_.row_stride() * layout_.bank_rows());
  for (const auto pool : {Layout::kChunks, Layout::kTables, Layout::kTexts})
    memset(memory_ + layout_.block(pool, bank, 0), 0, state.used[pool] * Layout::block_bytes(pool));
  state = {};
}

CellReader::CellReader(const CellLayout& layout, const uint8_t* memory) : layout_(layout), memory_(memory) {}

uint32_t CellReader::open_bank() const {
  return static_cast<uint32_t>(at<Layout::Header>(0).open_bank.load(std::memory_order_acquire) & 1);
}

bool CellReader::in_testlet() const {
  return at<Layout::Header>(0).in_testlet.load(std::memory_order_relaxed) != 0;
}

uint64_t CellReader::samples_dropped() const { return at<Layout::Header>(0).samples_dropped; }

Histogram CellReader::histogram(uint32_t bank, const Layout::HistogramCell& cell) const {
  Histogram out;
  out.count = cell.count;
  out.sum = cell.sum;
  out.min = cell.min;
  out.max = cell.max;
  out.sum_squares = (static_cast<unsigned __int128>(cell.squares_high) << 64) | cell.squares_low;
  for (uint32_t c = 0; c < kChunksPerHistogram; ++c) {
    const auto* counts = block<uint32_t>(Layout::kChunks, bank, cell.chunk[c]);
    for (uint32_t i = 0; counts != nullptr && i < kChunk; ++i)
      if (counts[i] != 0) out.buckets.emplace_back(c * kChunk + i, counts[i]);
  }
  return out;
}

Value CellReader::value(uint32_t bank, Kind kind, size_t where, bool& something) const {
  Value value;
  value.kind = kind;
  if (kind == Kind::counter) {
    value.counter = at<uint64_t>(where);
    something = value.counter != 0;
  } else if (kind == Kind::gauge) {
    const auto& cell = at<Layout::GaugeCell>(where);
    value.gauge = cell.value;
    something = value.has_gauge = cell.set != 0;
  } else if (kind == Kind::histogram) {
    const auto& cell = at<Layout::HistogramCell>(where);
    something = cell.count != 0;
    if (something) value.histogram = histogram(bank, cell);
  } else if (kind == Kind::breakdown) {
    const auto* table = block<Layout::Table>(Layout::kTables, bank, at<Layout::PooledCell>(where));
    if (table == nullptr) return value;
    for (uint64_t i = 0; i < std::min<uint64_t>(table->keys, kBreakdownKeys); ++i)
      value.breakdown[std::string(text_of(table->tally[i].key, Layout::kKeyBytes))] += table->tally[i].n;
    if (table->tally[kBreakdownKeys].n != 0) value.breakdown[kOtherKey] += table->tally[kBreakdownKeys].n;
    something = !value.breakdown.empty();
  } else if (kind == Kind::info) {
    const auto* text = block<Layout::Text>(Layout::kTexts, bank, at<Layout::PooledCell>(where));
    if (text == nullptr) return value;
    value.info.assign(text->text, std::min<size_t>(text->len, sizeof text->text));
    something = !value.info.empty();
  }
  return value;
}

CellReader::Row CellReader::bank_row(uint32_t bank, uint32_t row) const {
  TODD_CHECK(bank < 2 && row < layout_.bank_rows());
  Row out;
  for (uint32_t m = 0; m < layout_.kinds().size(); ++m) {
    bool something = false;
    Value read = value(bank, layout_.kinds()[m], layout_.row(bank, row) + layout_.cell(m), something);
    if (something) out.emplace_back(m, std::move(read));
  }
  return out;
}

CellReader::Flat CellReader::flat(uint32_t edge, uint32_t metric) const {
  TODD_CHECK(layout_.compact() && edge < layout_.edges() && metric < layout_.kinds().size());
  Flat out;
  if (layout_.flat_cell(metric) == Layout::kNoCell) return out;
  const size_t where = layout_.flat_row(edge) + layout_.flat_cell(metric);
  if (layout_.kinds()[metric] == Kind::counter) {
    out.count = at<Layout::FlatCounterCell>(where);
    out.something = out.count != 0;
  } else if (layout_.kinds()[metric] == Kind::gauge) {
    const uint64_t bits = at<Layout::FlatGaugeCell>(where);
    out.gauge = std::bit_cast<double>(~bits);
    out.something = bits != 0;
  } else {
    const auto& cell = at<Layout::FlatHistogramCell>(where);
    out.count = cell.count;
    out.sum = cell.sum;
    out.min = least_of(cell);
    out.max = most_of(cell);
    out.something = cell.count != 0;
  }
  return out;
}

bool CellReader::flat_empty(uint32_t edge) const {
  TODD_CHECK(layout_.compact() && edge < layout_.edges());
  const uint64_t* words = &at<uint64_t>(layout_.flat_row(edge));
  return std::all_of(words, words + layout_.flat_stride() / sizeof *words, [](uint64_t w) { return w == 0; });
}

namespace {
// The entries [read, end) of a ring of `slots`, oldest first; a writer that lies about its indices costs at
// most one ring.
template <class T>
std::vector<T> ring_range(const T* ring, uint32_t slots, uint64_t& read, uint64_t end) {
  std::vector<T> out;
  if (slots == 0 || end <= read) return out;
  if (end - read > slots) read = end - slots;
  for (; read < end; ++read) out.push_back(ring[read % slots]);
  return out;
}
}  // namespace

std::vector<CellSample> CellReader::samples(uint32_t bank, bool everything) {
  const auto& h = at<Layout::Header>(0);
  return ring_range(&at<CellSample>(layout_.samples()), layout_.sample_slots(), samples_read_,
                    everything ? h.samples_written : h.bank[bank].samples_end);
}

std::vector<CellNote> CellReader::notes(uint32_t bank, bool everything) {
  const auto& h = at<Layout::Header>(0);
  return ring_range(&at<CellNote>(layout_.notes()), Layout::kNotes, notes_read_,
                    everything ? h.notes_written : h.bank[bank].notes_end);
}

}  // namespace todd::stats
