#include "plugins/ping/flows.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace todd::ping {

namespace {

// 0: it is no port.
uint16_t parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() ? port : uint16_t{0};
}

// a's part of losses against b's, without division.
bool loses_more(const FlowTable::Worst& a, const FlowTable::Worst& b) {
  return uint64_t{a.lost} * b.sent > uint64_t{b.lost} * a.sent;
}

}  // namespace

FlowPlan plan_flows(uint32_t flows, std::string_view ports) {
  FlowPlan plan{.flows = std::max<uint32_t>(flows, 1), .first_port = 0, .wrong = {}};
  if (ports.empty()) return plan;
  const size_t dash = ports.find('-');
  const bool range = dash != ports.npos;
  const uint16_t first = parse_port(ports.substr(0, dash));
  const uint16_t last = range ? parse_port(ports.substr(dash + 1)) : first;
  const std::string shown = "\"" + std::string(ports) + "\"";
  if (first == 0 || last == 0 || last < first) {
    plan.wrong = "source_port: " + shown + " is no port nor a range of them; write 40000 or 40000-40015";
    return plan;
  }
  plan.first_port = first;
  const uint32_t room = range ? last - first + 1u : 65536u - first;
  if (range && flows == 0) plan.flows = room;
  if (plan.flows > room)
    plan.wrong = "source_port: " + shown + " has " + std::to_string(room) + " ports for " +
                 std::to_string(plan.flows) + " flows";
  else if (plan.flows > kMaxFlows)
    plan.wrong = "source_port: " + shown + " are " + std::to_string(room) + " ports; at most 64 flows";
  return plan;
}

// Those that lose more than the target's best.
void FlowTable::add_worse(uint32_t target, std::vector<Worst>& to) const {
  std::vector<Worst> all;
  for (uint32_t flow = 0; flow < flows_; ++flow) {
    const Count& count = counts_[size_t{target} * flows_ + flow];
    if (count.sent != 0) all.push_back({target, flow, count.sent, count.lost});
  }
  if (all.empty()) return;
  const Worst least = *std::max_element(all.begin(), all.end(),
                                        [](const Worst& a, const Worst& b) { return loses_more(a, b); });
  std::copy_if(all.begin(), all.end(), std::back_inserter(to),
               [&](const Worst& one) { return loses_more(one, least); });
}

std::vector<FlowTable::Worst> FlowTable::worst(size_t most) const {
  std::vector<Worst> all;
  for (uint32_t target = 0; target < counts_.size() / flows_; ++target) add_worse(target, all);
  std::stable_sort(all.begin(), all.end(), loses_more);
  if (all.size() > most) all.resize(most);
  return all;
}

}  // namespace todd::ping
