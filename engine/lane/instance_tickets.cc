// The tickets of an instance: what its schedule hands out, what is kept, and what is given up.
#include <algorithm>
#include <array>
#include <cstdio>

#include "engine/lane/datagram_flow.h"
#include "engine/lane/instance.h"

namespace todd::lane {
namespace {

constexpr size_t kTickets = schedule::Pacer::kBurst;
// How often one round of work draws again because what it drew was for targets that are finished.
constexpr int kDraws = 64;

}  // namespace

// The testlet's numbers of its targets stay what they were.
void Instance::leave_out_refused() {
  if (refused_.empty()) return;
  for (uint32_t i = 0; i < setup_.targets.size(); ++i)
    if (!refused_.contains(i)) scheduled_.push_back(i);
  setup_.plan.targets = static_cast<uint32_t>(scheduled_.size());
  plan_tickets();
}

// Of the warm-up, or of what counts.
void Instance::plan_tickets() {
  schedule::Plan plan = setup_.plan;
  if (warming_up_) {
    plan.count = 0;
    plan.duration_ns = setup_.warm_up_ns;
  } else if (setup_.warm_up_ns > 0) {
    plan.ramp_ns = 0;  // the warm-up had it
  }
  schedule_ = schedule::Schedule(plan);
  pacer_.emplace(schedule_);
}

// The last probe of the warm-up is answered or given up by then.
int64_t Instance::warm_up_end_ns() const {
  if (!warming_up_ || phase_ != Phase::running) return INT64_MAX;
  return start_ns_ + manifest::uncounted_ns(setup_.warm_up_ns, setup_.timeout_ns);
}

void Instance::begin_counting() {
  // What has ended by now is told before anything counts, and what has not is cut off: it left late, or this
  // host stalled, and would be counted without having been planned.
  const int64_t from_ns = warm_up_end_ns();
  tickets_.clear();
  cancel_flows();
  step();
  for (auto& flow : flows_) flow->forget_ended();
  start_ns_ = from_ns;
  warming_up_ = false;
  forget_counts();
  samples_taken_ = 0;
  finished_targets_ = 0;
  std::fill(target_finished_.begin(), target_finished_.end(), false);
  noted_.clear();
  cells_.mute(false);
  plan_tickets();
  begin_periods();
}

void Instance::take_tickets() {
  if (phase_ != Phase::running || setup_.run.role != TODD_SOURCE || !setup_.manifest.schedule.tickets ||
      busy_)
    return;
  if (keep_tickets()) return;
  size_t ahead = kTickets, slots = kTickets;
  for (auto* flow : datagram_flows_) {
    ahead = std::min<size_t>(ahead, flow->tickets_ahead(kTickets, !schedule_.paced()));
    slots = std::min<size_t>(slots, flow->free_slots());
  }
  const size_t room = std::min(ahead, slots);
  tickets_.clear();
  kept_ = false;
  bool all = false;
  for (int draws = 0; draws < kDraws && !all && tickets_.size() < room; ++draws) {
    all = draw_tickets(room - tickets_.size());
    if (finished_targets_ != 0) drop_finished();
  }
  if (all)
    held_back_ = HeldBack::nothing;
  else if (room < kTickets)
    held_back_ = ahead <= slots ? HeldBack::answers : HeldBack::sends;
  // The targets of a batch lie far apart: what the batch will touch is asked for all at once.
  for (const todd_ticket& ticket : tickets_) cells_.expect(setup_.targets[ticket.target].edge);
}

// Appends what is due, at most so many. True: no more is.
bool Instance::draw_tickets(size_t most) {
  static_assert(sizeof(todd_ticket) == sizeof(schedule::Ticket));
  std::array<schedule::Ticket, kTickets> due;
  const size_t n = pacer_->take(now_ns_, start_ns_ + setup_.phase_ns, std::span(due.data(), most),
                                [this](uint32_t target, uint64_t times) {
                                  skip(scheduled_.empty() ? target : scheduled_[target], times);
                                });
  for (size_t i = 0; i < n; ++i) {
    const uint32_t target = scheduled_.empty() ? due[i].target : scheduled_[due[i].target];
    tickets_.push_back({due[i].due_ns, target, due[i].round});
    __builtin_prefetch(&setup_.targets[target]);
  }
  return n < most;
}

void Instance::finish_target(uint32_t target) {
  if (phase_ != Phase::running || target >= target_finished_.size() || refused_.contains(target)) return;
  if (target_finished_[target]) return;
  target_finished_[target] = true;
  ++finished_targets_;
}

void Instance::drop_finished() {
  std::erase_if(tickets_, [this](const todd_ticket& ticket) { return target_finished_[ticket.target]; });
}

// The warm-up is over when its time is.
bool Instance::schedule_over() const {
  if (!setup_.manifest.schedule.tickets || warming_up_) return false;
  const bool all_finished = finished_targets_ != 0 && finished_targets_ == setup_.plan.targets;
  return tickets_.empty() && (all_finished || pacer_->done());
}

// What was not served of a plan as fast as served stays due until the plan is over. True: there is some.
bool Instance::keep_tickets() {
  if (now_ns_ >= pacer_end_ns()) tickets_.clear();
  for (auto& ticket : tickets_) ticket.due_ns = now_ns_;
  return !tickets_.empty();
}

int64_t Instance::pacer_end_ns() const {
  const int64_t duration = schedule_.plan().duration_ns;
  return duration > 0 ? start_ns_ + duration : INT64_MAX;
}

void Instance::settle_tickets(uint32_t served, int64_t stepped_ns) {
  const size_t taken = std::min<size_t>(served, tickets_.size());
  const bool keep = !schedule_.paced();
  for (size_t i = 0; i < tickets_.size(); ++i) {
    if (is_finished(tickets_[i].target)) continue;
    if (i < taken || !keep) host_count(kPlanned, tickets_[i].target);
    if (i >= taken && !keep) host_count(kUnsent, tickets_[i].target);
    // Of probes the flow knows when they left; what else a testlet makes of a ticket begins with its step.
    if (i < taken && !keep && !setup_.manifest.probes) sent_late(stepped_ns - tickets_[i].due_ns);
  }
  tickets_.erase(tickets_.begin(), keep ? tickets_.begin() + static_cast<ptrdiff_t>(taken) : tickets_.end());
  if (finished_targets_ != 0) drop_finished();
  kept_ = !tickets_.empty();
}

void Instance::skip(uint32_t target, uint64_t times) {
  if (is_finished(target)) return;
  host_count(kPlanned, target, times);
  host_count(kUnsent, target, times);
  constexpr const char* kOutcome = "unsent";
  if (const auto noted = noted_.find(kOutcome); noted != noted_.end() && noted->second >= kExamples) return;
  switch (held_back_) {
    case HeldBack::answers: {
      uint32_t most = UINT32_MAX;
      for (auto* flow : datagram_flows_) most = std::min(most, flow->most_waiting());
      char text[160];  // what goes on for the length of a test allocates nothing
      snprintf(text, sizeof text,
               "a probe waited for its answer, and only %u may leave meanwhile: a lower rate or a shorter "
               "timeout leaves none out",
               most);
      return note(target, kOutcome, text);
    }
    case HeldBack::sends:
      return note(target, kOutcome, "this host could not send as fast as probes were due: lower the rate");
    case HeldBack::nothing:
      return note(target, kOutcome, "given up, as this host was busy with something else when it was due");
  }
}

}  // namespace todd::lane
