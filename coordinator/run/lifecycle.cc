// How runs move from step to step, and end.
#include <algorithm>
#include <utility>

#include "coordinator/run/assemble.h"
#include "coordinator/run/impl.h"
#include "engine/base/check.h"
#include "engine/base/log.h"
#include "todd/v1/journal.pb.h"

namespace todd::run {

Runs::Impl::Impl(io::Loop& on, Transport& through, const Clock& by, RunsOptions with, Stores into)
    : loop(on),
      transport(through),
      clock(by),
      options(with),
      stores(into),
      memory(std::move(*store::FinishedRuns::open(""))) {
  if (stores.sinks == nullptr) return;
  stores.sinks->on_settled([this](const std::string& run, const std::vector<model::Delivery>& delivery) {
    if (stores.finished != nullptr && stores.finished->set_delivery(run, delivery)) return;
    // A run that was evicted meanwhile needs no note of it.
    (void)memory.set_delivery(run, delivery);
  });
}

void Runs::Impl::settle() {
  while (!dirty.empty()) {
    // Oldest first: a turn that came free goes to the run that has waited longest.
    const std::string id = *dirty.begin();
    dirty.erase(dirty.begin());
    if (const auto found = open.find(id); found != open.end()) advance(*found->second);
  }
  arm();
}

// After a restart nothing new begins before the agents have had time to return.
bool Runs::Impl::held(const Run& run) const {
  if (run.hold_until_ns <= clock.now_ns()) return false;
  return std::any_of(run.request.agents.begin(), run.request.agents.end(),
                     [&](const model::Facts& facts) { return !transport.connected(facts.agent); });
}

// Those that go along with a test look at what is known of its edges, until they are over too.
static bool is_over(const Run& run, const TestRun& test) {
  const auto done = [](const TestRun& one) {
    return std::all_of(one.units.begin(), one.units.end(),
                       [](const Unit& u) { return u.phase == Unit::Phase::done; });
  };
  return done(test) && std::all_of(test.alongside.begin(), test.alongside.end(),
                                   [&](uint32_t t) { return done(run.tests[t]); });
}

void Runs::Impl::advance(Run& run) {
  for (;;) {
    bool busy = false, waits = false;
    const std::string waited = std::exchange(run.waiting, "");
    const bool hold = held(run);
    for (TestRun& test : run.tests) {
      if (test.plan->step != run.step || test.report) continue;
      for (Unit& unit : test.units) {
        if (unit.phase == Unit::Phase::waiting && run.cancelled) cancel_unit(run, unit);
        if (unit.phase == Unit::Phase::waiting && !is_brought(run, unit) && !hold && !try_begin(run, unit))
          waits = true;
        busy = busy || unit.phase != Unit::Phase::done;
      }
      if (is_over(run, test)) end_test(run, test);
    }
    if (hold && busy) run.waiting = "waiting for agents after a restart";
    if (busy) {
      if (waits && run.waiting != waited && !run.waiting.empty()) emit(Event::Kind::run_waiting, run, {});
      return;
    }
    size_t next = SIZE_MAX;
    for (const TestRun& test : run.tests) {
      if (!test.report) next = std::min(next, test.plan->step);
    }
    if (next == SIZE_MAX) return end_run(run);
    run.step = next;
  }
}

void Runs::Impl::end_test(Run& run, TestRun& test) {
  test.done = test.slots.size();
  test.report = conclude_test(run, test);
  emit(Event::Kind::test_finished, run, {progress_of(test)}, test.report->verdict);
}

std::shared_ptr<const model::Report> Runs::Impl::finished_report(Run& run) {
  auto kept = std::make_shared<model::Report>(assemble_ended(run));
  model::Report& report = *kept;
  conclude(run, report);
  report.finished_at_ns = clock.wall_now_ns();
  for (model::AgentReport& agent : report.agents) {
    const ClockQuality quality = transport.clock(agent.name);
    agent.connected = transport.connected(agent.name);
    agent.clock_offset_s = static_cast<double>(quality.offset_ns) / 1e9;
    agent.clock_error_s = static_cast<double>(quality.error_ns) / 1e9;
  }
  if (stores.sinks != nullptr) report.delivery = stores.sinks->delivery(run.id);
  return kept;
}

void Runs::Impl::end_run(Run& run) {
  // Before the report, so that the state of delivery in it counts every line.
  if (stores.sinks != nullptr) stores.sinks->close_run(run.id);
  std::vector<TestProgress> tests;
  for (const TestRun& test : run.tests) tests.push_back(progress_of(test));
  const auto report = finished_report(run);
  Status kept = stores.finished != nullptr ? stores.finished->put(report) : memory.put(report);
  if (!kept) {
    log(LogLevel::error, "run", "run " + run.id + " is kept in memory only: " + kept.error().detail);
    (void)memory.put(report);
  }
  emit(Event::Kind::run_finished, run, std::move(tests), report->verdict, report->state);
  const std::string id = run.id;
  // Only now: what happened in between is in the report, and repeated records find no task.
  if (stores.journal != nullptr) stores.journal->end(id);
  open.erase(id);
}

void Runs::Impl::write_down(const Run& run, const v1::JournalEntry& entry, std::function<void(bool)> done) {
  if (stores.journal == nullptr) {
    if (done) done(true);
    return;
  }
  stores.journal->append(run.id, entry.SerializeAsString(), [done = std::move(done)](const Status& status) {
    if (!status) log(LogLevel::error, "run", status.error().detail);
    if (done) done(status.has_value());
  });
}

void Runs::Impl::emit(Event::Kind kind, const Run& run, std::vector<TestProgress> tests,
                      model::Verdict verdict, model::RunState state) {
  ++event_id;
  if (listeners.empty()) return;
  events.push_back({kind, event_id, run.id, run.request.suite, clock.wall_now_ns(), std::move(tests),
                    kind == Event::Kind::run_waiting ? run.waiting : "", state, verdict});
  if (!events_due) events_due = loop.after(0, [this] { deliver_events(); });
}

void Runs::Impl::deliver_events() {
  events_due.reset();
  const std::deque<Event> now = std::exchange(events, {});
  for (const Event& event : now) {
    // A listener may unsubscribe itself or others, or subscribe more.
    const std::vector<Listener*> heard(listeners.begin(), listeners.end());
    for (Listener* listener : heard) {
      if (std::find(listeners.begin(), listeners.end(), listener) == listeners.end()) continue;
      const auto call = listener->call;
      call(event);
    }
  }
}

void Runs::Impl::progress(Run& run) {
  const int64_t now = clock.now_ns();
  if (run.progress_due_ns != 0 || listeners.empty()) return;
  run.progress_due_ns = std::max(now, run.progress_last_ns + options.progress_ns);
}

void Runs::Impl::arm() {
  int64_t next = INT64_MAX;
  const auto sooner = [&](int64_t at) {
    if (at != 0) next = std::min(next, at);
  };
  for (const auto& [id, run] : open) {
    sooner(run->progress_due_ns);
    sooner(run->hold_until_ns);
    for (const TestRun& test : run->tests) {
      if (test.report || test.plan->step != run->step) continue;
      for (const Unit& unit : test.units) sooner(unit.deadline_ns);
    }
  }
  timer.reset();
  if (next == INT64_MAX) return;
  timer = loop.after(std::max<int64_t>(next - clock.now_ns(), 0), [this] { expire(); });
}

void Runs::Impl::expire() {
  const int64_t now = clock.now_ns();
  for (const auto& [id, run] : open) {
    if (run->hold_until_ns != 0 && run->hold_until_ns <= now) {
      run->hold_until_ns = 0;
      touch(*run);
    }
    if (run->progress_due_ns != 0 && run->progress_due_ns <= now) {
      run->progress_due_ns = 0;
      run->progress_last_ns = now;
      std::vector<TestProgress> tests;
      for (const TestRun& test : run->tests) tests.push_back(progress_of(test));
      emit(Event::Kind::run_progress, *run, std::move(tests));
    }
    for (TestRun& test : run->tests) {
      if (test.report) continue;
      for (Unit& unit : test.units) {
        if (unit.deadline_ns != 0 && unit.deadline_ns <= now) deadline_passed(*run, unit);
      }
    }
  }
  settle();
}

}  // namespace todd::run
