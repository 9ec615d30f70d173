// What it costs to record something of an edge, and how that grows with the number of edges. Edges come in
// the order in which a schedule visits them.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "engine/schedule/schedule.h"
#include "engine/stats/cells.h"

namespace {

using todd::stats::CellLayout;
using todd::stats::CellWriter;
using todd::stats::GaugeMerge;
using todd::stats::Kind;

enum Metric : uint32_t { kCounter, kGauge, kHistogram };

// The cells of a task as wide as ping's, and the order of its edges.
struct Task {
  explicit Task(uint32_t edges)
      : layout(kinds(), edges, 0),
        memory(static_cast<uint8_t*>(std::calloc(layout.bytes(), 1)), std::free),
        writer(layout, memory.get()) {
    const todd::schedule::Schedule schedule({.targets = edges, .interval_ns = 1'000'000'000, .seed = 1});
    order.resize(edges);
    for (uint32_t i = 0; i < edges; ++i) order[i] = schedule.target(i);
  }

  static std::vector<Kind> kinds() {
    std::vector<Kind> out{Kind::counter, Kind::gauge, Kind::histogram, Kind::histogram, Kind::histogram};
    for (int i = 0; i < 10; ++i) out.push_back(Kind::counter);
    for (int i = 0; i < 9; ++i) out.push_back(Kind::gauge);
    return out;
  }

  uint32_t next() {
    if (at == order.size()) at = 0;
    return order[at++];
  }

  CellLayout layout;
  std::unique_ptr<uint8_t, void (*)(void*)> memory;
  CellWriter writer;
  std::vector<uint32_t> order;
  size_t at = 0;
};

template <class Record>
void record(benchmark::State& state, Record what) {
  Task task(static_cast<uint32_t>(state.range(0)));
  for (size_t i = 0; i < task.order.size(); ++i) what(task.writer, task.next(), i);  // memory is touched
  uint64_t n = 0;
  for (auto _ : state) what(task.writer, task.next(), n++);
  if (task.writer.refused() != 0) state.SkipWithError("the cells refused something");
  state.SetItemsProcessed(state.iterations());
  state.counters["B/edge"] = double(task.layout.bytes()) / double(task.order.size());
}

void count(benchmark::State& state) {
  record(state, [](CellWriter& cells, uint32_t edge, uint64_t) { cells.count(kCounter, edge, 1); });
}
void set(benchmark::State& state) {
  record(state, [](CellWriter& cells, uint32_t edge, uint64_t n) {
    cells.set(kGauge, edge, double(n), GaugeMerge::last);
  });
}
// Round trips between 20 and 28 us: some buckets of two powers of two.
void observe(benchmark::State& state) {
  record(state, [](CellWriter& cells, uint32_t edge, uint64_t n) {
    cells.observe(kHistogram, edge, 20'000 + (n * 2654435761u) % 8192);
  });
}

BENCHMARK(count)->Arg(100)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(set)->Arg(100)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(observe)->Arg(100)->Arg(10'000)->Arg(1'000'000);

}  // namespace

BENCHMARK_MAIN();
