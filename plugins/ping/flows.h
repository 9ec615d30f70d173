#pragma once
// The source ports that probes rotate over, and which of them lose. No sockets, no clock.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace todd::ping {

inline constexpr uint32_t kMaxFlows = 64;  // keys of a breakdown, and flows that a host lets a testlet open

struct FlowPlan {
  uint32_t flows = 1;
  uint16_t first_port = 0;  // the others follow; 0 = any
  std::string wrong;        // why not, for people; empty if it can be
};

// flows: 0 = not given. ports: FIRST or FIRST-LAST, "" = any.
FlowPlan plan_flows(uint32_t flows, std::string_view ports);

// Probes and losses by target and flow. 8 bytes of each pair.
class FlowTable {
 public:
  FlowTable(size_t targets, uint32_t flows) : flows_(flows), counts_(targets * flows) {}
  void sent(uint32_t target, uint32_t flow) { ++at(target, flow).sent; }
  void lost(uint32_t target, uint32_t flow) { ++at(target, flow).sent, ++at(target, flow).lost; }

  struct Worst {
    uint32_t target = 0, flow = 0, sent = 0, lost = 0;
  };
  // The flows that lose the greatest part, of all targets, at most so many, the worst first. Of a target
  // whose flows all lose alike there is none.
  std::vector<Worst> worst(size_t most) const;

 private:
  struct Count {
    uint32_t sent = 0, lost = 0;
  };
  void add_worse(uint32_t target, std::vector<Worst>& to) const;
  Count& at(uint32_t target, uint32_t flow) { return counts_[size_t{target} * flows_ + flow]; }

  uint32_t flows_;
  std::vector<Count> counts_;
};

}  // namespace todd::ping
