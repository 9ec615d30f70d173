#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/host/library.h"
#include "engine/lane/setup.h"

namespace todd::v1 {
class Task;
}

namespace todd::worker {

// A name of the task's targets that must be resolved before the set-up can be finished.
struct Name {
  size_t spec;
  std::string text;
};

// From the task as it came to what a lane runs: values, schedule, targets expanded, edges numbered. Targets
// that are names stay without address until resolve_targets(). Errors: invalid (numbers that do not fit the
// testlet).
Result<std::unique_ptr<lane::TaskSetup>> make_setup(const v1::Task& task, const host::Loaded& loaded);
// Whether a source of this task, with its values, will open flows of ICMP.
bool needs_raw(const lane::TaskSetup& setup);
// Whether the ICMP probes of the whole task shall leave as frames where they can.
bool wants_frames(const lane::TaskSetup& setup);
// Divides a set-up whose names are resolved (drop_unresolved) among so many lanes, in the order of their
// edges. `edges`: of the task, those left out included. Each part has its layout; cells, sockets and instance
// are the caller's to fill in.
std::vector<std::unique_ptr<lane::TaskSetup>> divide(std::unique_ptr<lane::TaskSetup> whole, uint32_t edges,
                                                     uint32_t shards);
// Of the task, those that cannot be resolved included; at least 1.
uint32_t edges_of(const lane::TaskSetup& setup);
// To be resolved before anything is sent; none where a proxy does that (manifest::Param::proxy).
std::vector<Name> names_of(const lane::TaskSetup& setup);
// Gives the target of this spec its address: the first that fits the task's family and is a host's, which
// 0.0.0.0 of a name server that blocks the name is not. Errors: unavailable, naming the name, and why no
// address of it will do.
Status set_address(lane::TaskSetup& setup, size_t spec, const std::vector<std::string>& addresses);
// Takes from the targets that this host's configuration refuses their addresses, so that drop_unresolved
// leaves them out; returns them, those that follow each other and fall under one rule together.
struct Denied {
  uint32_t edge, edges;
  std::string why;
};
std::vector<Denied> drop_denied(lane::TaskSetup& setup);
// Leaves out the targets without address, but for names that a proxy resolves; returns the edges left out. Call once, after resolution; the
// schedule then covers the rest.
std::vector<uint32_t> drop_unresolved(lane::TaskSetup& setup);
// Gives the targets of IPv6 the egress's flow label, with which sockets send to them.
void label_flows(lane::TaskSetup& setup);

}  // namespace todd::worker
