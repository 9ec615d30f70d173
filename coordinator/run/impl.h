#pragma once
// The parts of Runs, cut by what they do: runs.cc is its face, units.cc drives edges that run together,
// together.cc those of tests alongside others, endings.cc says what became of them, lifecycle.cc begins and
// ends runs, recover.cc takes them up after a restart.

#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "coordinator/run/codec.h"
#include "coordinator/run/runs.h"
#include "coordinator/run/state.h"
#include "coordinator/run/uuid.h"
#include "coordinator/sink/sink_set.h"
#include "coordinator/store/finished_runs.h"
#include "coordinator/store/journal.h"

namespace todd::v1 {
class JournalEntry;
class JournalSlots;
class JournalStarted;
}  // namespace todd::v1

namespace todd::run {

struct Runs::Impl {
  Impl(io::Loop& on, Transport& through, const Clock& by, RunsOptions with, Stores into);

  // ---- lifecycle.cc
  // Every entry from outside changes states, marks runs dirty, and calls this at its end: it moves all dirty
  // runs on as far as they go. Nothing else begins or ends anything, so that no caller's run vanishes under
  // it.
  void settle();
  void advance(Run& run);
  bool held(const Run& run) const;
  void end_test(Run& run, TestRun& test);
  void end_run(Run& run);
  std::shared_ptr<const model::Report> finished_report(Run& run);  // takes the reports of its tests
  void touch(const Run& run) { dirty.insert(run.id); }
  void emit(Event::Kind kind, const Run& run, std::vector<TestProgress> tests,
            model::Verdict verdict = model::Verdict::none, model::RunState state = model::RunState::running);
  void deliver_events();
  void progress(Run& run);
  void arm();
  void expire();
  // Appends to the run's journal; done is called when it is durable, at once without a journal.
  void write_down(const Run& run, const v1::JournalEntry& entry,
                  std::function<void(bool durable)> done = nullptr);

  // ---- runs.cc
  // A record that is written down, or cannot be: tells its agent, merges it, and moves its run on.
  void accept(const std::string& agent, const v1::Record& record, int64_t offset_ns, bool durable);

  // ---- units.cc
  bool try_begin(Run& run, Unit& unit);
  bool take_turn(Run& run, Unit& unit);
  void give_turn_back(Run& run, Unit& unit);
  void begin(Run& run, Unit& unit);
  void prepare_sources(Run& run, Unit& unit);
  void start(Run& run, Unit& unit, int64_t at_wall_ns);
  void drain(Run& run, Unit& unit);
  void cancel_unit(Run& run, Unit& unit);
  void end_unit(Run& run, Unit& unit);
  // Does what is due when a task of the unit has changed.
  void check(Run& run, Unit& unit);
  void deadline_passed(Run& run, Unit& unit);
  Task& add_task(Run& run, Unit& unit, const std::string& agent, bool source, std::vector<uint32_t> edges);
  void send_prepare(Run& run, Unit& unit, Task& task);
  void end_task(Run& run, Task& task);
  void stop_task(Task& task, bool cancel);
  void decide(TestRun& test, Slot& slot, model::EdgeState state, const char* reason, std::string detail);
  void decide_edge(TestRun& test, uint32_t edge, model::EdgeState state, const char* reason,
                   const std::string& detail);
  Unit& unit_of(Run& run, const Task& task) { return run.tests[task.test].units[task.unit]; }
  bool answers(const Run& run, const Unit& unit, uint32_t edge) const;
  int64_t running_ns(const Run& run, const Unit& unit) const;

  // ---- together.cc
  // Both ends of the unit are as ready as they will be: it starts with those it begins together with, which
  // are prepared now if it is the first of them.
  void ready(Run& run, Unit& unit);
  void start_together(Run& run, Unit& main);
  // Of a unit alongside another:
  void take_addresses(Run& run, const Unit& unit);
  void outlast(Run& run, Unit& unit);  // that other one is over: it goes on for a while, and is ended
  void end_sources(Run& run, Unit& unit);
  void skip(Run& run, Unit& unit);
  // Whether it is for another unit to begin this one. Where that will not do so any more, this one is ended.
  bool is_brought(Run& run, Unit& unit);

  // ---- endings.cc
  // Decides the edges of a source that has ended, as far as they are undecided.
  void conclude_slots(Run& run, Unit& unit, Task& source);
  // Of every source that has.
  void conclude_ended(Run& run, Unit& unit);

  // ---- recover.cc
  size_t recover();
  bool take_up(const std::string& id);
  Run* reopen(const std::string& id, std::string_view first);
  // Writes down what is known of the unit's slots and does not follow from the plan, in as many entries as it
  // takes: a run may have two million of them.
  void write_slots(const Run& run, const Unit& unit);
  void replay_slots(Run& run, const v1::JournalSlots& slots);
  void replay_started(Run& run, const v1::JournalStarted& started);
  bool replay(Run& run, const v1::JournalEntry& entry);
  // What became known of a task, live or replayed.
  void task_failed(Run& run, Task& task, const v1::Failed& failed);
  void take_record(Run& run, Task& task, const v1::Record& record, int64_t offset_ns);

  struct Turn {  // of an agent, for heavy tests
    std::string run;
    uint32_t test = 0;
    uint32_t edges = 0;
  };
  struct Known {
    Run* run = nullptr;
    Task* task = nullptr;
  };
  struct Listener : io::Handle {
    explicit Listener(Impl& on) : impl(on) {}
    ~Listener() override { impl.listeners.remove(this); }
    Impl& impl;
    std::function<void(const Event&)> call;
  };

  io::Loop& loop;
  Transport& transport;
  const Clock& clock;
  const RunsOptions options;
  const Stores stores;
  store::FinishedRuns memory;  // where there is no other store, or the other one failed
  UuidMaker uuids;
  std::map<std::string, std::unique_ptr<Run>> open;
  std::map<std::string, Known> tasks;
  std::map<std::string, Turn> turns;
  std::set<std::string> dirty;
  std::list<Listener*> listeners;
  std::deque<Event> events;
  uint64_t event_id = 0;
  io::HandlePtr events_due;
  io::HandlePtr timer;
};

}  // namespace todd::run
