// Edges that run together: prepared, started, drained.
#include <openssl/rand.h>

#include <algorithm>
#include <utility>

#include "coordinator/run/impl.h"
#include "coordinator/run/windows.h"
#include "engine/base/check.h"
#include "todd/v1/journal.pb.h"
#include "todd/v1/task.pb.h"

namespace todd::run {
using model::EdgeState;
namespace reason = model::reason;

namespace {
uint64_t random_token() {
  uint64_t token = 0;
  while (token == 0) TODD_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&token), sizeof token) == 1);
  return token;
}

bool undecided(const TestRun& test, uint32_t edge) { return !test.slots[test.first_slot[edge]].decided; }

std::string seconds_text(int64_t ns) { return std::to_string((ns + 500'000'000) / 1'000'000'000) + " s"; }

bool all_decided(const TestRun& test, uint32_t edge) {
  for (uint32_t s = test.first_slot[edge]; s < test.first_slot[edge + 1]; ++s)
    if (!test.slots[s].decided) return false;
  return true;
}

bool none_preparing(const Run& run, const Unit& unit) {
  return std::none_of(unit.tasks.begin(), unit.tasks.end(),
                      [&](uint32_t t) { return run.tasks[t]->phase == Task::Phase::preparing; });
}
}  // namespace

// Whether the edge's target is an agent that takes part.
bool Runs::Impl::answers(const Run& run, const Unit& unit, uint32_t edge) const {
  const model::TestPlan& plan = *run.tests[unit.test].plan;
  return plan.testlet.responder && !plan.edges[edge].target_agent.agent.empty();
}

// From START until nothing can come any more.
int64_t Runs::Impl::running_ns(const Run& run, const Unit& unit) const {
  const TestRun& test = run.tests[unit.test];
  // It is told to end: this is for where nobody can tell it.
  if (test.main != TestRun::kNone)
    return test.plan->test.before_ns + running_ns(run, run.tests[test.main].units[unit.index]) +
           model::tail_ns(*test.plan) + options.grace_ns + test.plan->host.timeout_ns;
  uint64_t most = 1;
  for (const uint32_t t : unit.tasks) {
    if (run.tasks[t]->source) most = std::max<uint64_t>(most, run.tasks[t]->slots.size());
  }
  const manifest::HostParams& host = test.plan->host;
  return host.uncounted_ns() + planned_ns(*test.plan, most) + host.timeout_ns;
}

// A heavy testlet has its agents to itself, over all runs; otherwise at_once counts within the test.
bool Runs::Impl::take_turn(Run& run, Unit& unit) {
  TestRun& test = run.tests[unit.test];
  const model::TestPlan& plan = *test.plan;
  if (plan.at_once == 0 || test.main != TestRun::kNone) return true;
  const model::Edge& edge = plan.edges[unit.edges.front()];
  std::set<std::string> agents{edge.source.agent};
  if (!edge.target_agent.agent.empty()) agents.insert(edge.target_agent.agent);
  for (const std::string& agent : agents) {
    if (test.turns[agent] >= plan.at_once) {
      unit.deadline_ns = 0;  // it waits for its own test now, which ends by itself
      return false;
    }
    const auto turn = turns.find(agent);
    if (!plan.testlet.heavy || turn == turns.end()) continue;
    if (turn->second.run == run.id && turn->second.test == unit.test) continue;
    if (unit.deadline_ns == 0) unit.deadline_ns = clock.now_ns() + options.turn_ns;
    const std::string why = turn->second.run == run.id ? "another test" : "run " + short_id(turn->second.run);
    run.waiting = "waiting for " + why + " on " + agent;
    return false;
  }
  for (const std::string& agent : agents) {
    ++test.turns[agent];
    if (!plan.testlet.heavy) continue;
    Turn& turn = turns[agent];
    turn.run = run.id;
    turn.test = unit.test;
    ++turn.edges;
  }
  unit.holds_turn = true;
  return true;
}

void Runs::Impl::give_turn_back(Run& run, Unit& unit) {
  for (const Unit* one : together(run, unit)) {
    if (one->phase != Unit::Phase::done) return;  // the other agents would disturb it
  }
  if (!std::exchange(unit.holds_turn, false)) return;
  TestRun& test = run.tests[unit.test];
  const model::Edge& edge = test.plan->edges[unit.edges.front()];
  std::set<std::string> agents{edge.source.agent};
  if (!edge.target_agent.agent.empty()) agents.insert(edge.target_agent.agent);
  for (const std::string& agent : agents) {
    --test.turns[agent];
    const auto turn = turns.find(agent);
    if (test.plan->testlet.heavy && turn != turns.end() && --turn->second.edges == 0) turns.erase(turn);
  }
  for (const auto& [id, other] : open) dirty.insert(id);
}

bool Runs::Impl::try_begin(Run& run, Unit& unit) {
  if (!take_turn(run, unit)) return false;
  begin(run, unit);
  return true;
}

void Runs::Impl::begin(Run& run, Unit& unit) {
  TestRun& test = run.tests[unit.test];
  std::map<std::string, std::vector<uint32_t>> responders;
  for (const uint32_t e : unit.edges) {
    const model::Edge& edge = test.plan->edges[e];
    unit.answerers[e].token = random_token();
    if (test.main != TestRun::kNone && all_decided(run.tests[test.main], e)) {
      decide_edge(test, e, EdgeState::skipped, reason::kMainNotRun,
                  test.plan->alongside + " does not run on it");
      continue;
    }
    const std::string& target = edge.target_agent.agent;
    if (!transport.connected(edge.source.agent)) {
      run.agent_reasons[edge.source.agent] = "not connected";
      decide_edge(test, e, EdgeState::no_data, reason::kAgentOffline,
                  edge.source.agent + " is not connected");
    } else if (answers(run, unit, e) && !transport.connected(target)) {
      run.agent_reasons[target] = "not connected";
      decide_edge(test, e, EdgeState::no_data, reason::kAgentOffline,
                  target + ", the target, is not connected");
    } else if (answers(run, unit, e)) {
      responders[target].push_back(e);
    }
  }
  unit.phase = Unit::Phase::responders;
  unit.deadline_ns = clock.now_ns() + options.prepare_ns;
  for (auto& [agent, edges] : responders)
    send_prepare(run, unit, add_task(run, unit, agent, false, std::move(edges)));
  check(run, unit);
}

Task& Runs::Impl::add_task(Run& run, Unit& unit, const std::string& agent, bool source,
                           std::vector<uint32_t> edges) {
  TestRun& test = run.tests[unit.test];
  const auto index = static_cast<uint32_t>(run.tasks.size());
  auto task = std::make_unique<Task>();
  // After a restart the count begins anew, so it alone would not do.
  task->id = run.id + "/" + std::to_string(index) + "-" + std::to_string(random_token() >> 40);
  task->agent = agent;
  task->source = source;
  task->test = unit.test;
  task->unit = unit.index;
  task->edges = std::move(edges);
  for (const uint32_t e : task->edges) {
    for (uint32_t s = test.first_slot[e]; s < test.first_slot[e + 1]; ++s) {
      task->slots.push_back(s);
      if (source) test.slots[s].source_task = index;
    }
  }
  unit.tasks.push_back(index);
  Task& added = *task;
  run.tasks.push_back(std::move(task));
  tasks[added.id] = {&run, &added};
  return added;
}

// What is known of the clocks of the agents that answer, relative to that of the source.
static void add_clocks(const Transport& transport, const std::string& source, v1::Task& message) {
  const ClockQuality ours = transport.clock(source);
  std::string agent;
  ClockQuality theirs;
  for (v1::TargetSpec& target : *message.mutable_targets()) {
    if (target.agent().empty()) continue;
    if (target.agent() != agent) theirs = transport.clock(agent = target.agent());
    if (ours.worst_rtt_ns == 0 || theirs.worst_rtt_ns == 0) continue;
    target.set_clock_known(true);
    target.set_clock_offset_ns(theirs.offset_ns - ours.offset_ns);
    target.set_clock_error_ns(theirs.error_ns + ours.error_ns);
  }
}

void Runs::Impl::send_prepare(Run& run, Unit& unit, Task& task) {
  // The agent ends a task by itself where nobody tells it to: a responder after its sources.
  const int64_t margin = task.source ? options.grace_ns / 2 : 2 * options.grace_ns;
  const int64_t deadline = running_ns(run, unit) + margin;
  v1::Task message = task.source ? source_task(run, task, unit.answerers, deadline)
                                 : responder_task(run, task, unit.answerers, deadline);
  if (task.source) add_clocks(transport, task.agent, message);
  if (task.source && run.tests[unit.test].main != TestRun::kNone)
    message.mutable_schedule()->set_duration_ns(running_ns(run, unit) - message.schedule().timeout_ns());
  task.prepare = message.SerializeAsString();
  transport.prepare(task.agent, message);
}

void Runs::Impl::check(Run& run, Unit& unit) {
  switch (unit.phase) {
    case Unit::Phase::waiting:
    case Unit::Phase::ready:
    case Unit::Phase::done: return;
    case Unit::Phase::responders:
      if (none_preparing(run, unit)) prepare_sources(run, unit);
      return;
    case Unit::Phase::sources:
      if (none_preparing(run, unit)) ready(run, unit);
      return;
    case Unit::Phase::running:
    case Unit::Phase::lasting:
    case Unit::Phase::stopping:
      if (sources_ended(run, unit)) drain(run, unit);
      return;
    case Unit::Phase::draining:
    case Unit::Phase::cancelling:
      if (all_ended(run, unit)) end_unit(run, unit);
      return;
  }
}

void Runs::Impl::prepare_sources(Run& run, Unit& unit) {
  TestRun& test = run.tests[unit.test];
  for (const uint32_t t : unit.tasks) {
    const Task& responder = *run.tasks[t];
    for (const uint32_t e : responder.edges) {
      if (responder.phase == Task::Phase::ready) {
        unit.answerers[e].port = responder.port;
      } else {
        // A value that the testlet refuses is wrong whoever was asked first, and so is a secret that is not
        // there.
        const char* why = reason::kResponderFailed;
        for (const char* own : {reason::kBadParam, reason::kSecretMissing})
          if (responder.failed_reason == own) why = own;
        decide_edge(test, e, EdgeState::error, why, why_ended(responder));
      }
    }
  }
  std::map<std::string, std::vector<uint32_t>> sources;
  for (const uint32_t e : unit.edges) {
    if (undecided(test, e)) sources[test.plan->edges[e].source.agent].push_back(e);
  }
  if (test.main != TestRun::kNone) take_addresses(run, unit);
  unit.phase = Unit::Phase::sources;
  unit.deadline_ns = clock.now_ns() + options.prepare_ns;
  std::vector<Task*> added;
  for (auto& [agent, edges] : sources) added.push_back(&add_task(run, unit, agent, true, std::move(edges)));
  for (Task* task : added) send_prepare(run, unit, *task);
  check(run, unit);
}

void Runs::Impl::start(Run& run, Unit& unit, int64_t at_wall_ns) {
  TestRun& test = run.tests[unit.test];
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    if (task.phase == Task::Phase::ready) task.clock_error_ns = transport.clock(task.agent).error_ns;
  }
  if (run.request.check_only || !can_start(run, unit)) {
    for (const uint32_t t : unit.tasks) {
      Task& task = *run.tasks[t];
      if (task.phase != Task::Phase::ready) continue;
      for (const uint32_t s : task.slots) {
        if (task.source) decide(test, test.slots[s], EdgeState::complete, "", "both ends are ready");
      }
      stop_task(task, true);
      end_task(run, task);
    }
    return end_unit(run, unit);
  }
  unit.started_wall_ns = at_wall_ns;
  unit.deadline_ns =
      clock.now_ns() + (at_wall_ns - clock.wall_now_ns()) + running_ns(run, unit) + options.grace_ns;
  unit.phase = Unit::Phase::running;
  conclude_ended(run, unit);
  write_slots(run, unit);
  v1::JournalEntry entry;
  v1::JournalStarted* started = entry.mutable_started();
  started->set_test(unit.test);
  started->set_unit(unit.index);
  started->set_at_wall_ns(unit.started_wall_ns);
  for (const bool source : {false, true}) {  // responders first
    for (const uint32_t t : unit.tasks) {
      Task& task = *run.tasks[t];
      if (task.source != source || task.phase != Task::Phase::ready) continue;
      v1::JournalTask* written = started->add_tasks();
      written->set_id(task.id);
      written->set_agent(task.agent);
      written->set_role(source ? v1::SOURCE : v1::RESPONDER);
      *written->mutable_edges() = {task.edges.begin(), task.edges.end()};
      written->set_clock_error_ns(task.clock_error_ns);
      written->set_idle(task.idle);
      task.phase = Task::Phase::running;
      task.prepare.clear();
      transport.start(task.agent, task.id, unit.started_wall_ns);
    }
  }
  write_down(run, entry);
}

void Runs::Impl::drain(Run& run, Unit& unit) {
  unit.phase = Unit::Phase::draining;
  unit.deadline_ns = clock.now_ns() + options.grace_ns;
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    if (task.phase == Task::Phase::running) stop_task(task, false);
  }
  for (Unit* other : together(run, unit)) {
    if (run.tests[other->test].main == unit.test) outlast(run, *other);
  }
  check(run, unit);
}

void Runs::Impl::cancel_unit(Run& run, Unit& unit) {
  if (unit.phase == Unit::Phase::done) return;
  if (unit.phase == Unit::Phase::waiting) return end_unit(run, unit);
  unit.phase = Unit::Phase::cancelling;
  unit.deadline_ns = clock.now_ns() + options.cancel_ns;
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    if (task.phase == Task::Phase::ended) continue;
    stop_task(task, true);
    task.cancelled = true;
    if (task.phase != Task::Phase::running) end_task(run, task);
  }
  check(run, unit);
}

void Runs::Impl::stop_task(Task& task, bool cancel) {
  task.stopping = true;
  transport.stop(task.agent, task.id, cancel);
}

void Runs::Impl::end_task(Run& run, Task& task) {
  TODD_CHECK(task.phase != Task::Phase::ended);
  task.phase = Task::Phase::ended;
  task.prepare.clear();
  if (task.source) run.tests[task.test].done += task.slots.size();
}

void Runs::Impl::decide(TestRun& test, Slot& slot, EdgeState state, const char* why, std::string detail) {
  if (slot.decided) return;
  slot.decided = true;
  slot.state = state;
  if (slot.source_task == Slot::kNoTask) ++test.done;
  test.explain(slot, why, std::move(detail));
}

void Runs::Impl::decide_edge(TestRun& test, uint32_t edge, EdgeState state, const char* why,
                             const std::string& detail) {
  for (uint32_t s = test.first_slot[edge]; s < test.first_slot[edge + 1]; ++s)
    decide(test, test.slots[s], state, why, detail);
}

void Runs::Impl::deadline_passed(Run& run, Unit& unit) {
  if (unit.phase == Unit::Phase::waiting) {
    for (const uint32_t e : unit.edges) {
      decide_edge(run.tests[unit.test], e, EdgeState::skipped, reason::kBusy,
                  run.waiting + " for " + seconds_text(options.turn_ns));
    }
    return end_unit(run, unit);
  }
  if (unit.phase == Unit::Phase::lasting) return end_sources(run, unit);
  const bool measures = unit.phase == Unit::Phase::running || unit.phase == Unit::Phase::stopping;
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    const bool due = measures ? task.source : true;
    if (!due || task.phase == Task::Phase::ended) continue;
    if (task.phase == Task::Phase::ready) continue;
    task.timed_out = true;
    if (task.phase == Task::Phase::preparing) {
      const bool away = !transport.connected(task.agent);
      task.failed_reason = away ? reason::kAgentLost : reason::kDeadline;
      task.failed_detail = "not ready within " + seconds_text(options.prepare_ns);
    }
    stop_task(task, true);
    end_task(run, task);
  }
  check(run, unit);
}

void Runs::Impl::end_unit(Run& run, Unit& unit) {
  TODD_CHECK(unit.phase != Unit::Phase::done);
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    if (task.phase != Task::Phase::ended) {  // responders that no source came to
      stop_task(task, true);
      end_task(run, task);
    }
    if (task.source) conclude_slots(run, unit, task);
    if (task.timed_out)
      run.agent_reasons.try_emplace(task.agent,
                                    transport.connected(task.agent) ? "did not answer in time" : "lost");
    tasks.erase(task.id);
  }
  for (const uint32_t e : unit.edges) {
    decide_edge(run.tests[unit.test], e, run.cancelled ? EdgeState::cancelled : EdgeState::error,
                run.cancelled ? run.cancel_reason() : reason::kInternal,
                run.cancelled ? run.cancel_detail() : "");
  }
  if (unit.started_wall_ns == 0) {  // else a restart would begin it again
    write_slots(run, unit);
    v1::JournalEntry entry;
    v1::JournalStarted* never = entry.mutable_started();
    never->set_test(unit.test);
    never->set_unit(unit.index);
    write_down(run, entry);
  }
  if (run.tests[unit.test].main != TestRun::kNone) sort_held(run, run.tests[unit.test], unit);
  unit.phase = Unit::Phase::done;
  unit.deadline_ns = 0;
  give_turn_back(run, *together(run, unit).front());
  touch(run);
}

}  // namespace todd::run
