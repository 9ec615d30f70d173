// What a worker may leave in a task's shared memory; the first byte picks the layout. Reading stays within
// the memory and brings no more than the layout holds.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/stats/cells.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::stats;
  if (size < 2) return 0;
  static const CellLayout small({Kind::counter, Kind::histogram, Kind::gauge, Kind::breakdown, Kind::info}, 2,
                                4);
  static const CellLayout compact({Kind::counter, Kind::histogram, Kind::info}, kTwoBankEdges + 1, 0);
  const CellLayout& layout = (data[0] & 1) != 0 ? compact : small;
  // Aligned as a mapping is. The input lies at the header, in both banks' first rows, in the first breakdown,
  // and where the rings begin.
  std::vector<uint64_t> memory(layout.bytes() / sizeof(uint64_t) + 1);
  auto* const bytes = reinterpret_cast<uint8_t*>(memory.data());
  for (const size_t at : {size_t{0}, layout.row(0, 0), layout.row(1, 0),
                          layout.block(CellLayout::kTables, 0, 0), layout.samples(), layout.notes()})
    memcpy(bytes + at, data + 1, std::min(size - 1, layout.bytes() - at));
  CellReader reader(layout, bytes);
  for (const uint32_t bank : {reader.open_bank(), 1 - reader.open_bank()}) {
    for (uint32_t row = 0; row < layout.bank_rows(); ++row) {
      for (const auto& [metric, value] : reader.bank_row(bank, row)) {
        if (metric >= layout.kinds().size() || value.kind != layout.kinds()[metric]) abort();
        for (const auto& [bucket, n] : value.histogram.buckets)
          if (bucket >= kBuckets || n == 0) abort();
      }
    }
    if (reader.samples(bank, false).size() > layout.sample_slots() ||
        reader.notes(bank, false).size() > CellLayout::kNotes)
      abort();
  }
  for (uint32_t m = 0; layout.compact() && m < layout.kinds().size(); ++m) (void)reader.flat(0, m);
  if (reader.samples(0, true).size() > layout.sample_slots() ||
      reader.notes(0, true).size() > CellLayout::kNotes)
    abort();
  (void)reader.in_testlet();
  return 0;
}
