// Columns of an agent's records: whatever comes, what is read back is of the slots there are.
#include <cstdlib>
#include <numeric>

#include "coordinator/run/columns.h"
#include "todd/v1/task.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd;
  static const manifest::Testlet testlet = [] {
    manifest::Testlet out;
    for (const auto kind :
         {stats::Kind::counter, stats::Kind::gauge, stats::Kind::histogram, stats::Kind::info})
      out.metrics.emplace_back().kind = kind;
    return out;
  }();
  constexpr size_t kSlots = 50;
  std::vector<uint32_t> slots(kSlots - 10);
  std::iota(slots.begin(), slots.end(), 10u);
  v1::Block block;
  if (!block.ParseFromArray(data, static_cast<int>(size))) return 0;
  run::Columns columns;
  for (int twice = 0; twice < 2; ++twice) columns.add(testlet, block, slots, kSlots);
  for (size_t slot = 0; slot < kSlots; ++slot) {
    for (uint32_t m = 0; m < testlet.metrics.size(); ++m) {
      stats::Value value;
      if (!columns.read(m, slot, value)) continue;
      if (slot < 10 || value.kind != testlet.metrics[m].kind) abort();
    }
  }
  return 0;
}
