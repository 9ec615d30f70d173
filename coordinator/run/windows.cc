#include "coordinator/run/windows.h"

#include <algorithm>

namespace todd::run {
namespace {

// Behind the time that it was to last a test only waits for what is still to come.
int64_t planned_end_ns(const model::TestPlan& plan, int64_t started_ns) {
  if (plan.host.duration_ns == 0) return INT64_MAX;
  return started_ns + plan.host.uncounted_ns() + plan.host.duration_ns;
}

}  // namespace

Work work_beside(const Run& run, const TestRun& test, size_t slot) {
  Work work;
  const TestRun& main = run.tests[test.main];
  const uint32_t source = main.slots[slot].source_task;
  if (source == Slot::kNoTask) return work;
  const Unit& unit = main.units[run.tasks[source]->unit];
  if (unit.started_wall_ns == 0) return work;
  work.from_ns = unit.started_wall_ns;
  if (run.tasks[source]->to_ns != 0)
    work.sure_to_ns = std::min(run.tasks[source]->to_ns, planned_end_ns(*main.plan, work.from_ns));
  work.over = sources_ended(run, unit);
  if (!work.over) return work;
  int64_t last_ns = 0;
  for (const uint32_t t : unit.tasks) {
    const Task& task = *run.tasks[t];
    // When one ended of which nothing came is not known.
    if (task.source) last_ns = std::max(last_ns, task.to_ns != 0 ? task.to_ns : INT64_MAX);
  }
  if (last_ns != INT64_MAX) work.idle_from_ns = last_ns + model::settle_ns(*test.plan);
  return work;
}

void sort_held(const manifest::Testlet& testlet, const Work& work, Windows& windows) {
  std::erase_if(windows.held, [&](const Windows::Held& held) {
    if (held.to_ns <= work.from_ns || held.from_ns >= work.idle_from_ns) {
      windows.idle.merge(testlet, held.cells);
      return true;
    }
    if (held.from_ns >= work.from_ns && held.to_ns <= work.sure_to_ns) {
      windows.loaded.merge(testlet, held.cells);
      return true;
    }
    return work.over || held.from_ns < work.from_ns;
  });
}

void sort_held(const Run& run, TestRun& test, const Unit& unit) {
  for (const uint32_t e : unit.edges) {
    for (uint32_t s = test.first_slot[e]; s < test.first_slot[e + 1]; ++s) {
      if (test.slots[s].more)
        sort_held(test.plan->testlet, work_beside(run, test, s), test.slots[s].more->windows);
    }
  }
}

}  // namespace todd::run
