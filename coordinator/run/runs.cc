#include "coordinator/run/runs.h"

#include <algorithm>
#include <utility>

#include "coordinator/run/assemble.h"
#include "coordinator/run/impl.h"
#include "coordinator/run/merge.h"
#include "todd/v1/journal.pb.h"
#include "todd/v1/task.pb.h"

namespace todd::run {

Runs::Runs(io::Loop& loop, Transport& transport, const Clock& clock, RunsOptions options, Stores stores)
    : impl_(std::make_unique<Impl>(loop, transport, clock, options, stores)) {}

Runs::~Runs() {
  if (impl_->stores.sinks != nullptr) impl_->stores.sinks->on_settled(nullptr);
}

size_t Runs::recover() { return impl_->recover(); }

Result<std::string> Runs::create(Request request) {
  Impl& impl = *impl_;
  if (impl.open.size() >= impl.options.max_open) {
    return fail(Errc::unavailable,
                std::to_string(impl.open.size()) + " runs are under way; wait for one or cancel one");
  }
  const std::string id = impl.uuids.next(impl.clock.wall_now_ns());
  auto made = make_run(id, std::move(request), impl.clock.wall_now_ns());
  if (!made) return tl::unexpected(made.error());
  Run& run = **made;
  run.step = SIZE_MAX;
  for (const TestRun& test : run.tests) run.step = std::min(run.step, test.plan->step);
  if (impl.stores.journal != nullptr) {
    v1::JournalEntry entry;
    *entry.mutable_opened() = encode_opened(run);
    if (Status begun = impl.stores.journal->begin(id, entry.SerializeAsString()); !begun)
      return tl::unexpected(begun.error());
  }
  impl.open[id] = std::move(*made);
  if (impl.stores.sinks != nullptr) impl.stores.sinks->open_run(id);
  std::vector<TestProgress> tests;
  for (const TestRun& test : run.tests) tests.push_back(progress_of(test));
  impl.emit(Event::Kind::run_started, run, std::move(tests));
  impl.touch(run);
  impl.settle();
  return id;
}

Status Runs::cancel(const std::string& id, Because because) {
  const auto found = impl_->open.find(id);
  if (found == impl_->open.end()) {
    for (const RunSummary& summary : list()) {
      if (summary.id == id) return fail(Errc::exists, "run " + id + " has ended");
    }
    return fail(Errc::not_found, "no run " + id);
  }
  Run& run = *found->second;
  if (std::exchange(run.cancelled, true)) return {};
  run.overdue = because == Because::deadline;
  v1::JournalEntry entry;
  if (run.overdue)
    entry.set_overdue(true);
  else
    entry.set_cancelled(true);
  impl_->write_down(run, entry);
  for (TestRun& test : run.tests) {
    for (Unit& unit : test.units) impl_->cancel_unit(run, unit);
  }
  impl_->touch(run);
  impl_->settle();
  return {};
}

Status Runs::remove(const std::string& id) {
  if (impl_->open.count(id) != 0) {
    return fail(Errc::exists, "run " + id + " is under way; end it with `todd runs cancel " + id + "` first");
  }
  if (impl_->memory.list().count(id) != 0) return impl_->memory.remove(id);
  if (impl_->stores.finished != nullptr) return impl_->stores.finished->remove(id);
  return fail(Errc::not_found, "no run " + id);
}

std::vector<RunSummary> Runs::list() const {
  std::vector<RunSummary> all;
  for (const auto& [id, run] : impl_->open) {
    all.push_back({id, run->request.suite, model::RunState::running, model::Verdict::none,
                   run->started_wall_ns, 0, run->waiting});
  }
  const auto add = [&](const store::FinishedRuns& from) {
    for (const auto& [id, run] : from.list()) {
      all.push_back({id, run.suite, run.state, run.verdict, run.started_at_ns, run.finished_at_ns, ""});
    }
  };
  add(impl_->memory);
  if (impl_->stores.finished != nullptr) add(*impl_->stores.finished);
  std::sort(all.begin(), all.end(), [](const RunSummary& a, const RunSummary& b) { return a.id > b.id; });
  return all;
}

Result<std::string> Runs::resolve(const std::string& text) const {
  const std::vector<RunSummary> all = list();
  if (text == "last") {
    if (all.empty()) return fail(Errc::not_found, "there is no run yet");
    return all.front().id;
  }
  if (const size_t tilde = text.rfind('~'); tilde != std::string::npos) {
    const std::string suite = text.substr(0, tilde), number = text.substr(tilde + 1);
    if (number.empty() || number.size() > 6 || number.find_first_not_of("0123456789") != std::string::npos ||
        std::stoul(number) == 0) {
      return fail(Errc::invalid, "\"" + text + "\": after ~ comes a number from 1, as in branch-health~1");
    }
    size_t left = std::stoul(number);
    for (const RunSummary& run : all) {
      if (run.suite == suite && run.state != model::RunState::running && --left == 0) return run.id;
    }
    return fail(Errc::not_found, "suite \"" + suite + "\" has no " + number + " finished runs");
  }
  std::vector<std::string> fits;
  for (const RunSummary& run : all) {
    if (run.id == text) return run.id;
    if (text.size() >= 4 && run.id.rfind(text, 0) == 0) fits.push_back(run.id);
  }
  if (fits.size() == 1) return fits.front();
  if (fits.empty()) return fail(Errc::not_found, "no run \"" + text + "\"; todd runs lists them");
  std::string candidates;
  for (size_t i = 0; i < fits.size() && i < 5; ++i) candidates += (i > 0 ? ", " : "") + fits[i];
  return fail(Errc::invalid, "\"" + text + "\" fits " + std::to_string(fits.size()) + " runs: " + candidates +
                                 (fits.size() > 5 ? ", ..." : ""));
}

Result<std::shared_ptr<const model::Report>> Runs::report(const std::string& id, bool periods) const {
  Result<std::shared_ptr<const model::Report>> report = fail(Errc::not_found, "no run " + id);
  if (const auto found = impl_->open.find(id); found != impl_->open.end()) {
    report = std::make_shared<const model::Report>(assemble_run(*found->second));
  } else if (impl_->memory.list().count(id) != 0) {
    report = impl_->memory.get(id);
  } else if (impl_->stores.finished != nullptr) {
    report = impl_->stores.finished->get(id);
  }
  if (!report) return report;
  const std::string warning = periods_warning(impl_->options);
  const auto& warnings = (*report)->warnings;
  const bool warned = !periods && std::find(warnings.begin(), warnings.end(), warning) != warnings.end();
  auto delivery =
      impl_->stores.sinks == nullptr ? std::vector<model::Delivery>() : impl_->stores.sinks->delivery(id);
  if (!warned && delivery.empty()) return report;
  auto fresh = std::make_shared<model::Report>(**report);
  if (warned) std::erase(fresh->warnings, warning);
  if (!delivery.empty()) fresh->delivery = std::move(delivery);
  return fresh;
}

Result<Event> Runs::standing(const std::string& id) const {
  Event event;
  event.run = id;
  if (const auto found = impl_->open.find(id); found != impl_->open.end()) {
    const Run& run = *found->second;
    event.kind = run.waiting.empty() ? Event::Kind::run_progress : Event::Kind::run_waiting;
    event.suite = run.request.suite;
    event.at_ns = impl_->clock.wall_now_ns();
    event.waiting = run.waiting;
    for (const TestRun& test : run.tests) event.tests.push_back(progress_of(test));
    return event;
  }
  for (const RunSummary& summary : list()) {
    if (summary.id != id) continue;
    event.kind = Event::Kind::run_finished;
    event.suite = summary.suite;
    event.at_ns = summary.finished_at_ns;
    event.state = summary.state;
    event.verdict = summary.verdict;
    return event;
  }
  return fail(Errc::not_found, "no run " + id);
}

io::HandlePtr Runs::subscribe(std::function<void(const Event&)> listener) {
  auto handle = std::make_unique<Impl::Listener>(*impl_);
  handle->call = std::move(listener);
  impl_->listeners.push_back(handle.get());
  return handle;
}

void Runs::on_ready(const std::string& agent, const v1::Ready& ready) {
  const auto found = impl_->tasks.find(ready.task());
  if (found == impl_->tasks.end()) return impl_->transport.stop(agent, ready.task(), true);
  auto [run, task] = found->second;
  if (task->agent != agent || task->phase != Task::Phase::preparing) return;
  task->phase = Task::Phase::ready;
  task->port = static_cast<uint16_t>(ready.port());
  task->idle = !task->source && task->port == 0;
  TestRun& test = run->tests[task->test];
  for (const v1::Endpoint& endpoint : ready.endpoints()) {
    if (!task->source || endpoint.edge() >= task->slots.size()) continue;
    Slot& slot = test.slots[task->slots[endpoint.edge()]];
    if (!endpoint.address().empty()) {
      slot.details().address = endpoint.address();
      slot.details().resolve_ns = endpoint.resolve_ns();
    }
    if (endpoint.error().empty()) continue;
    const char* why = model::reason::kNameResolution;
    for (const char* known : {model::reason::kBadParam, model::reason::kDenied})
      if (endpoint.reason() == known) why = known;
    const size_t left = task->slots.size() - endpoint.edge();
    const size_t edges = std::min<size_t>(std::max(endpoint.edges(), 1u), left);
    for (size_t i = 0; i < edges; ++i)
      impl_->decide(test, test.slots[task->slots[endpoint.edge() + i]], model::EdgeState::error, why,
                    endpoint.error());
  }
  impl_->check(*run, impl_->unit_of(*run, *task));
  impl_->settle();
}

void Runs::on_failed(const std::string& agent, const v1::Failed& failed) {
  const auto found = impl_->tasks.find(failed.task());
  if (found == impl_->tasks.end()) return;
  auto [run, task] = found->second;
  if (task->agent != agent || task->phase == Task::Phase::ended) return;
  const auto take = [this, failed] {
    const auto still = impl_->tasks.find(failed.task());
    if (still == impl_->tasks.end() || still->second.task->phase == Task::Phase::ended) return;
    auto [its_run, its_task] = still->second;
    impl_->task_failed(*its_run, *its_task, failed);
    impl_->progress(*its_run);
    impl_->check(*its_run, impl_->unit_of(*its_run, *its_task));
    impl_->settle();
  };
  if (task->phase != Task::Phase::running) return take();
  v1::JournalEntry entry;
  entry.mutable_failed()->set_agent(agent);
  *entry.mutable_failed()->mutable_failed() = failed;
  // Behind the records that came before it.
  impl_->write_down(*run, entry, [take](bool) { take(); });
}

void Runs::on_record(const std::string& agent, const v1::Record& record) {
  const auto found = impl_->tasks.find(record.task());
  if (found == impl_->tasks.end()) return impl_->transport.ack(agent, record.task(), record.seq());
  auto [run, task] = found->second;
  if (task->agent != agent) return;
  if (record.seq() <= task->seq) {
    if (task->durable > 0) impl_->transport.ack(agent, task->id, task->durable);
    return;
  }
  task->missing += record.seq() - task->seq - 1;
  task->seq = record.seq();
  const int64_t offset_ns = impl_->transport.clock(agent).offset_ns;
  if (impl_->stores.journal == nullptr) return impl_->accept(agent, record, offset_ns, true);
  const auto entry = std::make_shared<v1::JournalEntry>();
  entry->mutable_accepted()->set_agent(agent);
  entry->mutable_accepted()->set_offset_ns(offset_ns);
  *entry->mutable_accepted()->mutable_record() = record;
  // Points go to the sinks in the order of the journal: what is spooled is always a beginning of what a
  // restart replays.
  impl_->write_down(*run, *entry, [this, agent, entry, offset_ns](bool durable) {
    impl_->accept(agent, entry->accepted().record(), offset_ns, durable);
  });
}

void Runs::Impl::accept(const std::string& agent, const v1::Record& record, int64_t offset_ns, bool durable) {
  if (durable) transport.ack(agent, record.task(), record.seq());
  const auto still = tasks.find(record.task());
  if (still == tasks.end()) return;
  auto [run, task] = still->second;
  if (durable) task->durable = record.seq();
  take_record(*run, *task, record, offset_ns);
  progress(*run);
  check(*run, unit_of(*run, *task));
  settle();
}

void Runs::on_connected(const std::string& agent) {
  for (const auto& [id, known] : impl_->tasks) {
    const Task& task = *known.task;
    if (task.agent != agent || task.phase == Task::Phase::ended) continue;
    if (task.phase == Task::Phase::preparing) {
      v1::Task message;
      if (message.ParseFromString(task.prepare)) impl_->transport.prepare(agent, message);
    } else if (task.phase == Task::Phase::running) {
      const Unit& unit = known.run->tests[task.test].units[task.unit];
      impl_->transport.start(agent, id, unit.started_wall_ns);
      if (task.stopping) impl_->transport.stop(agent, id, task.cancelled);
    }
  }
  for (const auto& [id, run] : impl_->open) {
    if (run->hold_until_ns != 0) impl_->touch(*run);
  }
  impl_->settle();
}

// Nothing ends here: the agent may return and deliver until the deadline of what it does.
void Runs::on_lost(const std::string&) {}

bool Runs::knows_task(const std::string& task) const { return impl_->tasks.count(task) != 0; }

void Runs::expire() { impl_->expire(); }

}  // namespace todd::run
