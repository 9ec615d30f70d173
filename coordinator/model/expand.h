#pragma once
// From a test and the groups it names to the edges it will have.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/model/facts.h"
#include "coordinator/model/objects.h"
#include "engine/base/result.h"
#include "engine/schedule/targets.h"

namespace todd::model {

struct EndpointRef {
  std::string agent;  // name; empty: no agent
  std::string agent_id;
  std::vector<std::string> groups;  // those of the test that brought it in
};

struct Edge {
  EndpointRef source;
  std::string target_name;
  EndpointRef target_agent;     // agent empty: a host without an agent or a URL
  schedule::TargetSpec target;  // a CIDR or range stays one edge of many targets: schedule::count
  std::string address;          // as aimed at; empty: the testing agent resolves target.host
  Family family = Family::any;  // wanted of a name that is still to be resolved

  // "from → to"
  std::string label() const;
};

// More edges than this are refused with Errc::exhausted.
inline constexpr size_t kMaxEdges = 1u << 20;

// The edges of one test, sorted by source and target name. `agents` are all enrolled ones, connected or not.
// Errors name no place in the file: not_found (no such group or agent, with the nearest known name; a group
// without members), invalid, exhausted.
Result<std::vector<Edge>> expand_test(const Test& test, const std::vector<Group>& groups,
                                      const std::vector<Facts>& agents);

// Names of the agents in a group, sorted. Errc::invalid for a bad pattern.
Result<std::vector<std::string>> members(const Group& group, const std::vector<Facts>& agents);

// Whether text is an address within the CIDR (or equal to the bare address) `network`.
bool in_network(std::string_view address, std::string_view network);

}  // namespace todd::model
