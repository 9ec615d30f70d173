#pragma once
// What the lab does to requests, as text: one rule a line, `PREFIX WORDS...`, # begins a comment. See
// README.md for the words.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "tests/support/delay_lab/address.h"

namespace todd::delay_lab {

// Which requests of an address an effect hits: every Nth or the first so many (of each address, counted from
// 1), or each with a probability. Of a relay: of the packets to the address, or of those back from it.
struct Which {
  uint64_t every = 1, first = UINT64_MAX;
  double ratio = 1;
  bool back = false;
};

enum class Kind { drop, duplicate, hold, corrupt, truncate, from, icmp };

struct Effect {
  Kind kind = Kind::drop;
  Which which;
  int64_t ns = 0;  // duplicate: how long after the reply; hold: how much longer
  std::optional<int64_t>
      position;  // corrupt: index of the payload byte, else the last; truncate: payload bytes kept
  std::optional<Address> address;  // from: who replies; icmp: who complains, else the address asked
  uint8_t type = 0, code = 0;      // icmp
  uint32_t mtu = 0;                // icmp
};

// In the last `length` of every `period`, counted from the rule's first request, nothing leaves.
struct Freeze {
  int64_t length_ns = 0, period_ns = 0;
  bool drops = false;  // what would have left is lost; else it leaves at the end of the freeze
};

struct Rule {
  Prefix prefix;
  int64_t delay_min_ns = 0, delay_max_ns = 0;  // uniform between them, both included
  uint64_t seed = 1;
  std::vector<Effect> effects;
  std::optional<Freeze> freeze;
};

// invalid: names the line, the word and what would do. The longest prefix comes first.
Result<std::vector<Rule>> parse_rules(std::string_view text);
// invalid: a relay changes no packet, and only a relay has packets that come back from an address.
Status check_rules(const std::vector<Rule>& rules, bool relays);

}  // namespace todd::delay_lab
