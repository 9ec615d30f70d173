#include "tests/support/delay_lab/behaviour.h"

namespace todd::delay_lab {

namespace {

// Draws only for a probability, so that adding `every N` to a rule does not change what its probabilities
// hit.
bool hits(const Which& which, uint64_t request, bool back, std::mt19937_64& random) {
  if (which.back != back) return false;
  if (which.ratio < 1 && std::uniform_real_distribution<double>(0, 1)(random) >= which.ratio) return false;
  return request % which.every == 0 && request <= which.first;
}

}  // namespace

const char* event_name(Event event) {
  switch (event) {
    case Event::reply: return "reply";
    case Event::duplicate: return "duplicate";
    case Event::icmp: return "icmp";
    case Event::dropped: return "dropped";
    case Event::frozen: return "frozen";
    case Event::passed: return "passed";
  }
  return "?";
}

Behaviour::Behaviour(std::vector<Rule> rules) : rules_(std::move(rules)) {}

const Rule* Behaviour::rule_of(const Address& address) const {
  for (const auto& rule : rules_)  // the longest prefix comes first
    if (rule.prefix.address.is_v4() == address.is_v4() && rule.prefix.contains(address)) return &rule;
  return nullptr;
}

Behaviour::State& Behaviour::state_of(const Address& address, bool back) {
  auto& state = states_[back ? 1 : 0][address];
  if (state.rule != nullptr) return state;
  state.rule = rule_of(address);
  uint64_t words[2];
  std::memcpy(words, &address.bytes, sizeof words);
  std::seed_seq seed{state.rule->seed, words[0] >> 32, words[0], words[1] >> 32, words[1] + (back ? 1 : 0)};
  state.random.seed(seed);
  return state;
}

bool Behaviour::freeze(const Rule& rule, int64_t arrived_ns, int64_t& due_ns) {
  if (!rule.freeze) return false;
  const int64_t start = first_.try_emplace(&rule, arrived_ns).first->second;
  const int64_t period = rule.freeze->period_ns, into = (due_ns - start) % period;
  if (into < period - rule.freeze->length_ns) return false;
  if (!rule.freeze->drops) due_ns += period - into;
  return rule.freeze->drops;
}

std::vector<Action> Behaviour::decide(const Address& address, int64_t arrived_ns, bool back) {
  State& state = state_of(address, back);
  const Rule& rule = *state.rule;
  ++state.requests;
  Action action;
  action.due_ns =
      arrived_ns + std::uniform_int_distribution<int64_t>(rule.delay_min_ns, rule.delay_max_ns)(state.random);
  const Effect* duplicate = nullptr;
  for (const auto& effect : rule.effects) {
    if (!hits(effect.which, state.requests, back, state.random)) continue;
    switch (effect.kind) {
      case Kind::drop: action.event = Event::dropped; break;
      case Kind::duplicate: duplicate = &effect; break;
      case Kind::hold: action.due_ns += effect.ns; break;
      case Kind::corrupt: action.corrupt = &effect; break;
      case Kind::truncate: action.truncate = &effect; break;
      case Kind::from: action.from = &effect; break;
      case Kind::icmp: action.icmp = &effect; break;
    }
  }
  if (action.event == Event::dropped) return {action};
  if (action.icmp != nullptr) action.event = Event::icmp;
  std::vector<Action> actions{action};
  if (duplicate != nullptr) {
    action.event = Event::duplicate;
    action.due_ns += duplicate->ns;
    actions.push_back(action);
  }
  for (auto& one : actions)
    if (freeze(rule, arrived_ns, one.due_ns)) one.event = Event::frozen;
  return actions;
}

}  // namespace todd::delay_lab
