#include "engine/stats/cells.h"

#include <algorithm>
#include <cstring>

#include "engine/base/check.h"

namespace todd::stats {
namespace {

using Layout = CellLayout;

size_t cell_bytes(Kind kind) {
  switch (kind) {
    case Kind::counter: return sizeof(uint64_t);
    case Kind::gauge: return sizeof(Layout::GaugeCell);
    case Kind::histogram: return sizeof(Layout::HistogramCell);
    case Kind::breakdown: return sizeof(Layout::BreakdownCell);
    case Kind::info: return sizeof(Layout::InfoCell);
    case Kind::ratio: return 0;
  }
  return 0;
}

// Flat rows are for very many edges: no buckets, no breakdown, no text.
size_t flat_bytes(Kind kind) {
  if (kind == Kind::histogram) return sizeof(Layout::FlatHistogramCell);
  return kind == Kind::breakdown || kind == Kind::info ? 0 : cell_bytes(kind);
}

size_t page_up(size_t n) { return (n + 4095) & ~size_t{4095}; }

template <class Cell>
void add_value(Cell& cell, uint64_t value) {
  if (cell.count == 0 || value < cell.min) cell.min = value;
  if (value > cell.max) cell.max = value;
  cell.count++;
  cell.sum += value;
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

CellLayout::CellLayout(std::vector<Kind> kinds, uint32_t edges, uint32_t sample_slots)
    : kinds_(std::move(kinds)), edges_(edges), sample_slots_(sample_slots) {
  uint32_t histograms = 0;
  for (Kind kind : kinds_) {
    cell_at_.push_back(row_stride_);
    row_stride_ += cell_bytes(kind);
    flat_cell_at_.push_back(flat_stride_);
    flat_stride_ += flat_bytes(kind);
    histograms += kind == Kind::histogram;
  }
  pool_chunks_ = bank_rows() * histograms * kChunksPerHistogram;
  size_t at = page_up(sizeof(Header));
  for (int bank = 0; bank < 2; ++bank) bank_at_[bank] = at, at += page_up(row_stride_ * bank_rows());
  for (int bank = 0; bank < 2; ++bank)
    pool_at_[bank] = at, at += page_up(size_t{pool_chunks_} * kChunk * sizeof(uint32_t));
  flat_at_ = at;
  if (compact()) at += page_up(flat_stride_ * edges_);
  samples_at_ = at;
  at += page_up(sizeof(CellSample) * sample_slots_);
  notes_at_ = at;
  bytes_ = at + page_up(sizeof(CellNote) * kNotes);
}

CellWriter::CellWriter(const CellLayout& layout, uint8_t* memory) : layout_(layout), memory_(memory) {
  header().magic = Layout::kMagic;
}

bool CellWriter::fits(uint32_t metric, uint32_t edge, Kind kind) {
  const bool good =
      metric < layout_.kinds().size() && edge < layout_.edges() && layout_.kinds()[metric] == kind;
  refused_ += !good;
  return good;
}

void CellWriter::count(uint32_t metric, uint32_t edge, uint64_t n) {
  if (!fits(metric, edge, Kind::counter)) return;
  *at<uint64_t>(layout_.row(open_, row_of(edge)) + layout_.cell(metric)) += n;
  if (layout_.compact()) *at<uint64_t>(layout_.flat_row(edge) + layout_.flat_cell(metric)) += n;
}

void CellWriter::set(uint32_t metric, uint32_t edge, double value, GaugeMerge merge) {
  if (!fits(metric, edge, Kind::gauge)) return;
  // Within a row the newest value stands; between edges (the compact row) the metric's rule does.
  set_gauge(*at<Layout::GaugeCell>(layout_.row(open_, row_of(edge)) + layout_.cell(metric)), value,
            layout_.compact() ? merge : GaugeMerge::last);
  if (layout_.compact())
    set_gauge(*at<Layout::GaugeCell>(layout_.flat_row(edge) + layout_.flat_cell(metric)), value,
              GaugeMerge::last);
}

void CellWriter::observe(uint32_t metric, uint32_t edge, uint64_t value) {
  if (!fits(metric, edge, Kind::histogram)) return;
  auto& cell = *at<Layout::HistogramCell>(layout_.row(open_, row_of(edge)) + layout_.cell(metric));
  add_value(cell, value);
  unsigned __int128 squares = (static_cast<unsigned __int128>(cell.squares_high) << 64) | cell.squares_low;
  squares += static_cast<unsigned __int128>(value) * value;
  cell.squares_low = static_cast<uint64_t>(squares);
  cell.squares_high = static_cast<uint64_t>(squares >> 64);
  const uint32_t bucket = bucket_of(value);
  uint32_t& chunk = cell.chunk[bucket / kChunk];
  if (chunk == 0) chunk = static_cast<uint32_t>(++header().bank[open_].chunks_used);
  at<uint32_t>(layout_.chunk(open_, chunk - 1))[bucket % kChunk]++;
  if (layout_.compact())
    add_value(*at<Layout::FlatHistogramCell>(layout_.flat_row(edge) + layout_.flat_cell(metric)), value);
}

void CellWriter::tally(uint32_t metric, uint32_t edge, std::string_view key, uint64_t n) {
  if (!fits(metric, edge, Kind::breakdown)) return;
  auto& cell = *at<Layout::BreakdownCell>(layout_.row(open_, row_of(edge)) + layout_.cell(metric));
  key = key.substr(0, Layout::kKeyBytes - 1);
  for (uint64_t i = 0; i < cell.keys; ++i) {
    if (text_of(cell.tally[i].key, Layout::kKeyBytes) == key) {
      cell.tally[i].n += n;
      return;
    }
  }
  if (cell.keys == kBreakdownKeys) {
    cell.tally[kBreakdownKeys].n += n;
    return;
  }
  memcpy(cell.tally[cell.keys].key, key.data(), key.size());
  cell.tally[cell.keys++].n = n;
}

void CellWriter::info(uint32_t metric, uint32_t edge, std::string_view text) {
  if (!fits(metric, edge, Kind::info)) return;
  auto& cell = *at<Layout::InfoCell>(layout_.row(open_, row_of(edge)) + layout_.cell(metric));
  cell.len = static_cast<uint32_t>(std::min(text.size(), sizeof cell.text));
  memcpy(cell.text, text.data(), cell.len);
}

void CellWriter::sample(const CellSample& sample) {
  auto& h = header();
  if (layout_.sample_slots() == 0 || h.samples_written - samples_read_ >= layout_.sample_slots()) {
    h.samples_dropped++;
    return;
  }
  at<CellSample>(layout_.samples())[h.samples_written++ % layout_.sample_slots()] = sample;
}

void CellWriter::note(const CellNote& note) {
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
  memset(memory_ + layout_.chunk(bank, 0), 0, state.chunks_used * kChunk * sizeof(uint32_t));
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
    const uint32_t chunk = cell.chunk[c];
    if (chunk == 0 || chunk > layout_.pool_chunks()) continue;
    const uint32_t* counts = &at<uint32_t>(layout_.chunk(bank, chunk - 1));
    for (uint32_t i = 0; i < kChunk; ++i)
      if (counts[i] != 0) out.buckets.emplace_back(c * kChunk + i, counts[i]);
  }
  return out;
}

CellReader::Row CellReader::bank_row(uint32_t bank, uint32_t row) const {
  TODD_CHECK(bank < 2 && row < layout_.bank_rows());
  Row out;
  for (uint32_t m = 0; m < layout_.kinds().size(); ++m) {
    const size_t where = layout_.row(bank, row) + layout_.cell(m);
    Value value;
    value.kind = layout_.kinds()[m];
    bool something = false;
    if (value.kind == Kind::counter) {
      value.counter = at<uint64_t>(where);
      something = value.counter != 0;
    } else if (value.kind == Kind::gauge) {
      const auto& cell = at<Layout::GaugeCell>(where);
      value.gauge = cell.value;
      something = value.has_gauge = cell.set != 0;
    } else if (value.kind == Kind::histogram) {
      const auto& cell = at<Layout::HistogramCell>(where);
      something = cell.count != 0;
      if (something) value.histogram = histogram(bank, cell);
    } else if (value.kind == Kind::breakdown) {
      const auto& cell = at<Layout::BreakdownCell>(where);
      for (uint64_t i = 0; i < std::min<uint64_t>(cell.keys, kBreakdownKeys); ++i)
        value.breakdown[std::string(text_of(cell.tally[i].key, Layout::kKeyBytes))] += cell.tally[i].n;
      if (cell.tally[kBreakdownKeys].n != 0) value.breakdown[kOtherKey] += cell.tally[kBreakdownKeys].n;
      something = !value.breakdown.empty();
    } else if (value.kind == Kind::info) {
      const auto& cell = at<Layout::InfoCell>(where);
      value.info.assign(cell.text, std::min<size_t>(cell.len, sizeof cell.text));
      something = !value.info.empty();
    }
    if (something) out.emplace_back(m, std::move(value));
  }
  return out;
}

CellReader::Row CellReader::flat_row(uint32_t edge) const {
  TODD_CHECK(layout_.compact() && edge < layout_.edges());
  Row out;
  for (uint32_t m = 0; m < layout_.kinds().size(); ++m) {
    const size_t where = layout_.flat_row(edge) + layout_.flat_cell(m);
    Value value;
    value.kind = layout_.kinds()[m];
    bool something = false;
    if (value.kind == Kind::counter) {
      value.counter = at<uint64_t>(where);
      something = value.counter != 0;
    } else if (value.kind == Kind::gauge) {
      const auto& cell = at<Layout::GaugeCell>(where);
      value.gauge = cell.value;
      something = value.has_gauge = cell.set != 0;
    } else if (value.kind == Kind::histogram) {
      const auto& cell = at<Layout::FlatHistogramCell>(where);
      value.histogram.count = cell.count;
      value.histogram.sum = cell.sum;
      value.histogram.min = cell.min;
      value.histogram.max = cell.max;
      something = cell.count != 0;
    }
    if (something) out.emplace_back(m, std::move(value));
  }
  return out;
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
