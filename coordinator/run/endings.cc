// What became of the edges of a unit that has ended.
#include <map>
#include <optional>
#include <utility>

#include "coordinator/run/impl.h"

namespace todd::run {
using model::EdgeState;
namespace reason = model::reason;

namespace {
struct Ending {
  EdgeState state;
  const char* reason;
  std::string detail;
};

// What the source's end says of an edge; nothing if it measured to its end. `some` is what an edge is that
// was cut off.
std::optional<Ending> by_source(const Run& run, const Task& source, bool away, EdgeState some) {
  if (!source.failed_reason.empty()) {
    const bool silent = source.timed_out && source.failed_reason == reason::kAgentLost;
    return Ending{silent ? EdgeState::no_data : EdgeState::error, source.failed_reason.c_str(),
                  source.failed_detail};
  }
  if (source.cancelled || (run.cancelled && source.timed_out)) {
    return Ending{EdgeState::cancelled, run.cancel_reason(), run.cancel_detail()};
  }
  if (source.timed_out) {
    return Ending{some, away ? reason::kAgentLost : reason::kDeadline,
                  source.agent + (away ? " is away" : " did not finish") + "; its last records are missing"};
  }
  if (source.stopped) return Ending{some, reason::kAgentLost, why_ended(source)};
  return std::nullopt;
}

std::optional<Ending> by_records(const Task& task, EdgeState some) {
  if (task.missing > 0) {
    return Ending{some, reason::kAgentLost,
                  std::to_string(task.missing) + " records of " + task.agent + " are missing"};
  }
  if (!task.dropped.empty()) return Ending{some, reason::kLocalResource, task.agent + ": " + task.dropped};
  return std::nullopt;
}

// What its responder's end says of an edge whose source measured to its end.
std::optional<Ending> by_responder(const Task& responder, EdgeState some) {
  if (responder.idle) return std::nullopt;  // nothing came from it, and it has nothing to tell
  if (!responder.failed_reason.empty()) {
    return Ending{EdgeState::error, reason::kResponderLost, why_ended(responder)};
  }
  if (responder.stopped) return Ending{some, reason::kResponderLost, why_ended(responder)};
  if (responder.timed_out) {
    return Ending{some, reason::kAgentLost, "records of " + responder.agent + ", the responder, are missing"};
  }
  return by_records(responder, some);
}
}  // namespace

void Runs::Impl::conclude_slots(Run& run, Unit& unit, Task& source) {
  TestRun& test = run.tests[unit.test];
  std::map<uint32_t, const Task*> responder_of;  // by edge
  for (const uint32_t t : unit.tasks) {
    if (run.tasks[t]->source) continue;
    for (const uint32_t e : run.tasks[t]->edges) responder_of[e] = run.tasks[t].get();
  }
  const bool away = !transport.connected(source.agent);
  const auto ending_of = [&](const Task* responder, bool has_record) {
    const EdgeState some = has_record ? EdgeState::partial : EdgeState::no_data;
    std::optional<Ending> ending = by_source(run, source, away, some);
    if (!ending && responder != nullptr) ending = by_responder(*responder, some);
    if (!ending) ending = by_records(source, some);
    if (!ending && !has_record)
      ending = Ending{EdgeState::no_data, reason::kTestletFailed, "the testlet recorded nothing"};
    return ending ? *ending : Ending{EdgeState::complete, "", ""};
  };
  // Most slots in a row end alike.
  std::optional<std::pair<const Task*, bool>> last;
  Ending ending{EdgeState::complete, "", ""};
  for (const uint32_t s : source.slots) {
    Slot& slot = test.slots[s];
    if (slot.decided) continue;
    const auto found = responder_of.empty() ? responder_of.end() : responder_of.find(test.edge_of(s));
    const std::pair now{found == responder_of.end() ? nullptr : found->second, bool{slot.has_record}};
    if (last != now) ending = ending_of(now.first, now.second);
    last = now;
    decide(test, slot, ending.state, ending.reason, ending.detail);
  }
}

void Runs::Impl::conclude_ended(Run& run, Unit& unit) {
  for (const uint32_t t : unit.tasks) {
    Task& task = *run.tasks[t];
    if (task.source && task.phase == Task::Phase::ended) conclude_slots(run, unit, task);
  }
}

}  // namespace todd::run
