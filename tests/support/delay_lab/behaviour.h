#pragma once
// From the rules and the time to what is done with one request. Knows no socket and no clock.

#include <cstdint>
#include <random>
#include <unordered_map>
#include <vector>

#include "tests/support/delay_lab/rules.h"

namespace todd::delay_lab {

// What becomes of a request, or of a packet at a relay (`passed`). `dropped`, `frozen`: nothing is sent.
enum class Event { reply, duplicate, icmp, dropped, frozen, passed };
const char* event_name(Event event);

// One thing to send at a time (or not to send, and to log).
struct Action {
  Event event = Event::reply;
  int64_t due_ns = 0;               // on the clock of `arrived_ns`
  const Effect* corrupt = nullptr;  // these point into the rules
  const Effect* truncate = nullptr;
  const Effect* from = nullptr;
  const Effect* icmp = nullptr;
};

// Owns the rules and what it remembers of each address: how many requests came, and its random numbers. These
// follow from the rule's seed and the address, so the same requests meet the same fate in every run.
class Behaviour {
 public:
  explicit Behaviour(std::vector<Rule> rules);
  Behaviour(const Behaviour&) = delete;
  Behaviour& operator=(const Behaviour&) = delete;

  // Whether a rule covers the address: whether it exists, to ARP and neighbour discovery.
  bool owns(const Address& address) const { return rule_of(address) != nullptr; }
  // Requires: owns(address). At least one action. back: the packet comes from the address, which a relay
  // counts apart.
  std::vector<Action> decide(const Address& address, int64_t arrived_ns, bool back = false);

 private:
  struct State {
    const Rule* rule = nullptr;
    uint64_t requests = 0;
    std::mt19937_64 random;
  };

  const Rule* rule_of(const Address& address) const;
  State& state_of(const Address& address, bool back);
  // Moves due_ns out of a freeze; true if the action is lost in it.
  bool freeze(const Rule& rule, int64_t arrived_ns, int64_t& due_ns);

  std::vector<Rule> rules_;
  std::unordered_map<const Rule*, int64_t> first_;             // when the rule's first request came
  std::unordered_map<Address, State, AddressHash> states_[2];  // there and back
};

}  // namespace todd::delay_lab
