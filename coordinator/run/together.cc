// Units that begin together: that of a test, and those of the tests alongside it.
//
// The first is prepared; then the others are, for the addresses that it found, and only on the edges that it
// runs on. They all start by one clock: each of the others its `before` ahead of the first. When the sources
// of the first have ended the others go on until nothing of that time is under way any more, then for their
// `after`, and are told to end. What becomes of one of
// the others changes nothing for the rest.
#include <algorithm>

#include "coordinator/run/impl.h"

namespace todd::run {
using model::EdgeState;
namespace reason = model::reason;

std::vector<Unit*> together(Run& run, const Unit& unit) {
  const TestRun& own = run.tests[unit.test];
  TestRun& main = own.main == TestRun::kNone ? run.tests[unit.test] : run.tests[own.main];
  std::vector<Unit*> units{&main.units[unit.index]};
  for (const uint32_t t : main.alongside) units.push_back(&run.tests[t].units[unit.index]);
  return units;
}

bool can_start(const Run& run, const Unit& unit) {
  return std::any_of(unit.tasks.begin(), unit.tasks.end(), [&](uint32_t t) {
    return run.tasks[t]->source && run.tasks[t]->phase == Task::Phase::ready;
  });
}

namespace {
// Whether it may still bring those that go along with it.
bool is_before_start(const Unit& main) {
  using Phase = Unit::Phase;
  return main.phase == Phase::waiting || main.phase == Phase::responders || main.phase == Phase::sources ||
         main.phase == Phase::ready;
}
}  // namespace

// Where the name of a target was resolved for the other test, it is not asked again: there may be another
// answer.
void Runs::Impl::take_addresses(Run& run, const Unit& unit) {
  TestRun& test = run.tests[unit.test];
  if (test.main == TestRun::kNone) return;
  for (const uint32_t e : unit.edges) {
    const std::string known = run.tests[test.main].known_address(e);
    if (!known.empty()) test.slots[test.first_slot[e]].details().address = known;
  }
}

bool Runs::Impl::is_brought(Run& run, Unit& unit) {
  if (run.tests[unit.test].main == TestRun::kNone) return false;
  if (!is_before_start(*together(run, unit).front())) skip(run, unit);
  return true;
}

void Runs::Impl::skip(Run& run, Unit& unit) {
  TestRun& test = run.tests[unit.test];
  for (const uint32_t e : unit.edges)
    decide_edge(test, e, EdgeState::skipped, reason::kMainNotRun, test.plan->alongside + " did not run");
  end_unit(run, unit);
}

void Runs::Impl::ready(Run& run, Unit& unit) {
  unit.phase = Unit::Phase::ready;
  unit.deadline_ns = 0;
  const std::vector<Unit*> units = together(run, unit);
  Unit& main = *units.front();
  if (!is_before_start(main)) return skip(run, unit);
  conclude_ended(run, unit);  // none goes along on an edge that is lost already
  for (Unit* other : units) {
    if (other->phase == Unit::Phase::waiting && can_start(run, main)) begin(run, *other);
  }
  start_together(run, main);
}

void Runs::Impl::start_together(Run& run, Unit& main) {
  if (main.phase != Unit::Phase::ready) return;
  const std::vector<Unit*> units = together(run, main);
  const bool alone = !can_start(run, main);
  int64_t worst_rtt = 0, before = 0;
  for (Unit* unit : units) {
    if (alone) break;
    if (unit->phase != Unit::Phase::ready && unit->phase != Unit::Phase::done) return;
    for (const uint32_t t : unit->tasks) {
      if (run.tasks[t]->phase == Task::Phase::ready)
        worst_rtt = std::max(worst_rtt, transport.clock(run.tasks[t]->agent).worst_rtt_ns);
    }
    if (unit != &main && can_start(run, *unit))
      before = std::max(before, run.tests[unit->test].plan->test.before_ns);
  }
  const int64_t at = clock.wall_now_ns() + std::max(options.start_lead_ns, 3 * worst_rtt) + before;
  for (Unit* unit : units) {
    if (unit->phase != Unit::Phase::ready) continue;
    if (unit != &main && alone)
      skip(run, *unit);
    else
      start(run, *unit, unit == &main ? at : at - run.tests[unit->test].plan->test.before_ns);
  }
}

void Runs::Impl::outlast(Run& run, Unit& unit) {
  if (unit.phase != Unit::Phase::running) return;
  unit.phase = Unit::Phase::lasting;
  unit.deadline_ns = clock.now_ns() + model::tail_ns(*run.tests[unit.test].plan);
  check(run, unit);
}

void Runs::Impl::end_sources(Run& run, Unit& unit) {
  unit.phase = Unit::Phase::stopping;
  unit.deadline_ns = clock.now_ns() + run.tests[unit.test].plan->host.timeout_ns + options.grace_ns;
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    if (task.source && task.phase == Task::Phase::running) stop_task(task, false);
  }
}

}  // namespace todd::run
