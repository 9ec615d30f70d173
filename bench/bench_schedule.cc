// What it costs to know which target is due: a ticket's arithmetic, the order of a round, and the pacer that
// hands tickets out.
#include <benchmark/benchmark.h>

#include <array>
#include <cmath>

#include "engine/schedule/schedule.h"

namespace {

using todd::schedule::Pacer;
using todd::schedule::Plan;
using todd::schedule::Schedule;
using todd::schedule::Shape;
using todd::schedule::Ticket;

constexpr int64_t kSpacing = 1000;  // ns between two tickets of the task

Plan paced(benchmark::State& state, Shape shape = Shape::periodic) {
  const auto targets = static_cast<uint32_t>(state.range(0));
  return {.targets = targets, .interval_ns = targets * kSpacing, .seed = 1, .shape = shape};
}

void target_of_ticket(benchmark::State& state) {
  const Schedule schedule(paced(state));
  uint64_t n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(schedule.target(n++));
  state.SetItemsProcessed(state.iterations());
}

void due_time_of_ticket(benchmark::State& state) {
  const Schedule schedule(paced(state));
  uint64_t n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(schedule.due_ns(n++));
  state.SetItemsProcessed(state.iterations());
}

// Time goes on by 48 spacings a call, so that a call that is full because chance wants it is no backlog.
void take(benchmark::State& state, Plan plan) {
  Pacer pacer{Schedule(plan)};
  std::array<Ticket, Pacer::kBurst> tickets;
  int64_t now = 0;
  uint64_t taken = 0;
  for (auto _ : state) taken += pacer.take(now += 48 * kSpacing, 0, tickets);
  if (pacer.skipped() != 0 || taken == 0) state.SkipWithError("tickets were skipped");
  state.SetItemsProcessed(static_cast<int64_t>(taken));
}

void take_periodic(benchmark::State& state) { take(state, paced(state)); }
void take_poisson(benchmark::State& state) { take(state, paced(state, Shape::poisson)); }
void take_unpaced(benchmark::State& state) {
  take(state, {.targets = static_cast<uint32_t>(state.range(0)), .rate = HUGE_VAL, .seed = 1});
}

BENCHMARK(target_of_ticket)->Arg(100)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(due_time_of_ticket)->Arg(1'000'000);
BENCHMARK(take_periodic)->Arg(100)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(take_poisson)->Arg(100)->Arg(10'000)->Arg(1'000'000);
BENCHMARK(take_unpaced)->Arg(1'000'000);

}  // namespace

BENCHMARK_MAIN();
