#pragma once
// Targets travel as specs and are expanded where they are probed. String and integer work only: names are not
// resolved here.

#include <cstdint>
#include <string>

#include "engine/base/result.h"

namespace todd::schedule {

// One entry of a target list; a network or a range stands for many targets.
struct TargetSpec {
  std::string name;   // shown in results; empty = the host
  std::string host;   // address, name, CIDR or "A-B"; of a URL the host part, without brackets
  uint16_t port = 0;  // 0 = the testlet's default
  std::string url;    // empty unless the target is a URL
  std::string agent;  // the agent behind it, if any
  uint64_t peer_token = 0;
  uint32_t family = 0;          // 4 or 6: only addresses of that family are this target's; 0 = any
  int64_t clock_offset_ns = 0;  // by how much the agent's wall clock is ahead of this host's
  int64_t clock_error_ns = -1;  // bound of the error of that; negative = not known

  bool operator==(const TargetSpec&) const = default;
};

// The most targets one spec may stand for.
inline constexpr uint64_t kMaxTargetsPerSpec = uint64_t{1} << 20;

// How many targets the spec stands for: 1 for an address or a name; a CIDR means its host addresses (IPv4
// shorter than /31 without network and broadcast), A-B all from A to B. Errors: exhausted (too many, says how
// many), invalid (neither of these; or 0.0.0.0, ::, multicast or broadcast, which are no host's, or a network
// or range that they are in).
Result<uint64_t> count(const TargetSpec& spec);

// The address or name of target i. Precondition: i < count(spec).
std::string host_at(const TargetSpec& spec, uint64_t i);

// Whether the host is an IPv4 or IPv6 address (with or without a scope, "fe80::1%eth0"), not a name.
bool is_literal(const std::string& host);

// A target as written on the command line: address, name, host:port, [v6]:port, CIDR, A-B, http:// or
// https:// URL (its port is filled in from the scheme). Errors: invalid, naming the text and what was
// expected; exhausted.
Result<TargetSpec> parse_target(const std::string& text);

}  // namespace todd::schedule
