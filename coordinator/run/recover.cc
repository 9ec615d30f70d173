// What agents say of tasks, and how it is taken up again after a restart.
#include <algorithm>
#include <functional>
#include <utility>

#include "coordinator/run/impl.h"
#include "coordinator/run/merge.h"
#include "engine/base/log.h"
#include "todd/v1/journal.pb.h"
#include "todd/v1/task.pb.h"

namespace todd::run {

namespace {
// What is to be written of slots, in entries of bounded size.
class SlotWriter {
 public:
  SlotWriter(uint32_t test, std::function<void(const v1::JournalEntry&)> write)
      : test_(test), write_(std::move(write)) {}

  void decided(uint32_t index, model::EdgeState as, const EdgeTable::Why& said) {
    const auto state = static_cast<uint32_t>(as);
    if (last_ != nullptr && last_->slot() + last_->count() == index && last_->state() == state &&
        last_->reason() == said.reason && last_->detail() == said.detail) {
      last_->set_count(last_->count() + 1);
      return;
    }
    make_room(said.reason.size() + said.detail.size());
    last_ = slots().add_failures();
    last_->set_slot(index);
    last_->set_count(1);
    last_->set_state(state);
    last_->set_reason(said.reason);
    last_->set_detail(said.detail);
  }

  void resolved(uint32_t index, const std::string& address, uint64_t resolve_ns) {
    make_room(address.size());
    v1::Endpoint* endpoint = slots().add_endpoints();
    endpoint->set_edge(index);
    endpoint->set_address(address);
    endpoint->set_resolve_ns(resolve_ns);
  }

  void flush() {
    if (bytes_ == 0) return;
    slots().set_test(test_);
    write_(entry_);
    entry_.Clear();
    last_ = nullptr;
    bytes_ = 0;
  }

 private:
  static constexpr size_t kEntryBytes = 1u << 20;
  static constexpr size_t kAround = 32;  // numbers, tags and lengths of one

  v1::JournalSlots& slots() { return *entry_.mutable_slots(); }
  void make_room(size_t text) {
    if (bytes_ + text + kAround > kEntryBytes) flush();
    bytes_ += text + kAround;
  }

  uint32_t test_;
  std::function<void(const v1::JournalEntry&)> write_;
  v1::JournalEntry entry_;
  v1::JournalFailure* last_ = nullptr;
  size_t bytes_ = 0;  // of entry_, at most
};

// The set of reasons is closed; a word that an agent of another version invents is kept for people.
void note_failure(Task& task, const std::string& reason, const std::string& detail) {
  const bool known = model::is_reason(reason);
  task.failed_reason = known ? reason : model::reason::kInternal;
  task.failed_detail = known && !detail.empty() ? detail : detail.empty() ? reason : reason + ": " + detail;
}
}  // namespace

void Runs::Impl::task_failed(Run& run, Task& task, const v1::Failed& failed) {
  note_failure(task, failed.reason(), failed.detail());
  if (task.failed_reason == model::reason::kSecretMissing) {
    run.lacking[task.failed_detail].insert(task.agent);
    run.agent_reasons.try_emplace(task.agent, task.failed_detail);
  }
  end_task(run, task);
}

void Runs::Impl::take_record(Run& run, Task& task, const v1::Record& record, int64_t offset_ns) {
  merge_record(run, task, record, offset_ns, options, stores.sinks);
  if (!record.last() || task.phase == Task::Phase::ended) return;
  if (record.state() == "error") note_failure(task, record.reason(), record.detail());
  if (record.state() == "cancelled") {
    // A responder whose sources have ended has done its part.
    const bool early = task.source || !sources_ended(run, unit_of(run, task));
    task.cancelled = run.cancelled;
    task.stopped = !run.cancelled && early;
    task.stopped_why = record.detail();
  }
  end_task(run, task);
}

size_t Runs::Impl::recover() {
  if (stores.journal == nullptr) return 0;
  size_t taken = 0;
  for (const std::string& id : stores.journal->left_open()) taken += take_up(id) ? 1 : 0;
  settle();
  return taken;
}

void Runs::Impl::write_slots(const Run& run, const Unit& unit) {
  if (stores.journal == nullptr) return;
  const TestRun& test = run.tests[unit.test];
  SlotWriter writer(unit.test, [&](const v1::JournalEntry& entry) { write_down(run, entry); });
  for (const uint32_t e : unit.edges) {
    const uint32_t first = test.first_slot[e], end = test.first_slot[e + 1];
    for (uint32_t s = first; s < end; ++s) {
      const Slot& slot = test.slots[s];
      if (slot.decided) {
        writer.decided(s, slot.state, test.why(s));
      } else if (end - first == 1 && slot.more && !slot.more->address.empty() &&
                 slot.more->address != test.plan->edges[e].address) {
        writer.resolved(s, slot.more->address, slot.more->resolve_ns);
      }
    }
  }
  writer.flush();
}

// The run that the first entry of a journal describes, added to the open ones; nullptr where it cannot be.
Run* Runs::Impl::reopen(const std::string& id, std::string_view first) {
  v1::JournalEntry entry;
  if (!entry.ParseFromArray(first.data(), static_cast<int>(first.size())) || !entry.has_opened()) {
    log(LogLevel::error, "run", "the journal of run " + id + " has no beginning; the run is lost");
    return nullptr;
  }
  auto made = decode_opened(entry.opened());
  if (!made) {
    log(LogLevel::error, "run", "run " + id + " cannot be taken up: " + made.error().detail);
    return nullptr;
  }
  Run& run = *(open[id] = std::move(*made));
  if (stores.sinks != nullptr) stores.sinks->open_run(run.id);
  for (const TestRun& test : run.tests) run.step = std::min(run.step, test.plan->step);
  run.hold_until_ns = clock.now_ns() + options.return_ns;
  return &run;
}

bool Runs::Impl::take_up(const std::string& id) {
  Run* reopened = nullptr;
  uint64_t count = 0;
  v1::JournalEntry entry;
  const auto replay_one = [&](std::string_view bytes) {
    if (count++ == 0) {
      // It may have ended: only its journal was still there.
      if (stores.finished != nullptr && stores.finished->list().count(id) != 0) return false;
      return (reopened = reopen(id, bytes)) != nullptr;
    }
    if (!entry.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !replay(*reopened, entry)) {
      log(LogLevel::warn, "run",
          "run " + id + ": entry " + std::to_string(count - 1) +
              " of its journal makes no sense, passed over");
    }
    return true;
  };
  if (Status read = stores.journal->recover(id, replay_one); !read) {
    log(LogLevel::error, "run", read.error().detail + "; run " + id + " is lost");
    return false;
  }
  if (reopened == nullptr) {
    stores.journal->end(id);
    return false;
  }
  Run& run = *reopened;
  for (TestRun& test : run.tests) {
    for (Unit& unit : test.units) {
      if (unit.phase == Unit::Phase::running) check(run, unit);
    }
  }
  if (run.cancelled) {
    for (TestRun& test : run.tests) {
      for (Unit& unit : test.units) cancel_unit(run, unit);
    }
  }
  touch(run);
  log(LogLevel::info, "run", "run " + run.id + " of suite " + run.request.suite + " taken up again");
  return true;
}

void Runs::Impl::replay_slots(Run& run, const v1::JournalSlots& slots) {
  TestRun& test = run.tests[slots.test()];
  for (const v1::JournalFailure& failure : slots.failures()) {
    if (failure.state() > static_cast<uint32_t>(model::EdgeState::cancelled)) continue;
    const uint64_t count = std::max(failure.count(), 1u);
    const uint64_t end = std::min<uint64_t>(test.slots.size(), failure.slot() + count);
    for (uint64_t s = failure.slot(); s < end; ++s) {
      decide(test, test.slots[s], static_cast<model::EdgeState>(failure.state()), failure.reason().c_str(),
             failure.detail());
    }
  }
  for (const v1::Endpoint& endpoint : slots.endpoints()) {
    if (endpoint.edge() >= test.slots.size()) continue;
    SlotDetails& details = test.slots[endpoint.edge()].details();
    details.address = endpoint.address();
    details.resolve_ns = endpoint.resolve_ns();
  }
}

void Runs::Impl::replay_started(Run& run, const v1::JournalStarted& started) {
  TestRun& test = run.tests[started.test()];
  Unit& unit = test.units[started.unit()];
  for (const v1::JournalTask& written : started.tasks()) {
    std::vector<uint32_t> edges;
    for (const uint32_t e : written.edges()) {
      if (e < test.plan->edges.size()) edges.push_back(e);
    }
    Task& task = add_task(run, unit, written.agent(), written.role() == v1::SOURCE, std::move(edges));
    tasks.erase(task.id);
    task.id = written.id();
    tasks[task.id] = {&run, &task};
    task.phase = Task::Phase::running;
    task.clock_error_ns = written.clock_error_ns();
    task.idle = written.idle();
  }
  unit.started_wall_ns = started.at_wall_ns();
  if (unit.started_wall_ns == 0) {
    unit.phase = Unit::Phase::done;
    return;
  }
  unit.phase = Unit::Phase::running;
  // The deadline goes on by the wall clock; at least agents get the time to come back and deliver.
  const int64_t passed = clock.wall_now_ns() - unit.started_wall_ns;
  const int64_t left = std::max(running_ns(run, unit) - passed, int64_t{0}) + options.return_ns;
  unit.deadline_ns = clock.now_ns() + left;
  unit.holds_turn = false;
  take_turn(run, unit);
}

// False where the entry does not fit the run.
bool Runs::Impl::replay(Run& run, const v1::JournalEntry& entry) {
  const auto task_of = [&](const std::string& id) -> Task* {
    const auto found = tasks.find(id);
    return found != tasks.end() && found->second.run == &run ? found->second.task : nullptr;
  };
  switch (entry.m_case()) {
    case v1::JournalEntry::kStarted: {
      const v1::JournalStarted& started = entry.started();
      if (started.test() >= run.tests.size() || started.unit() >= run.tests[started.test()].units.size())
        return false;
      if (run.tests[started.test()].units[started.unit()].phase != Unit::Phase::waiting) return false;
      replay_started(run, started);
      return true;
    }
    case v1::JournalEntry::kSlots:
      if (entry.slots().test() >= run.tests.size()) return false;
      replay_slots(run, entry.slots());
      return true;
    case v1::JournalEntry::kAccepted: {
      const v1::Record& record = entry.accepted().record();
      Task* task = task_of(record.task());
      if (task == nullptr || record.seq() <= task->seq) return false;
      task->missing += record.seq() - task->seq - 1;
      task->seq = task->durable = record.seq();
      take_record(run, *task, record, entry.accepted().offset_ns());
      return true;
    }
    case v1::JournalEntry::kFailed: {
      Task* task = task_of(entry.failed().failed().task());
      if (task == nullptr || task->phase == Task::Phase::ended) return false;
      task_failed(run, *task, entry.failed().failed());
      return true;
    }
    case v1::JournalEntry::kCancelled: run.cancelled = true; return true;
    case v1::JournalEntry::kOverdue: run.cancelled = run.overdue = true; return true;
    default: return false;
  }
}

}  // namespace todd::run
