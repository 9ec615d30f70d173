#pragma once
// Small helpers of the flows: errors as the ABI wants them, and facts of a task's set-up.

#include <todd/testlet.h>

#include <string>

#include "engine/io/sockets.h"
#include "engine/lane/setup.h"

namespace todd::lane {

// Fills error (may be null) and returns code, so that it reads `return set_error(...)`.
todd_status set_error(todd_error* error, todd_status code, const std::string& text);

// Of a socket that could not be had.
todd_status status_of(const Error& error);

// The closed reason of a testlet's refusal.
const char* failed_reason(todd_status status);

// Whether any target (or, without targets, any peer that may come) is of this family.
bool needs_family(const TaskSetup& setup, int family);
// Whether an address of this family (AF_INET, AF_INET6) may be the target's.
bool wanted_family(const TaskSetup& setup, const Target& target, int family);
inline uint64_t setup_targets(const TaskSetup& setup) { return setup.targets.size(); }

// Whether this host lets the task send there. Error: denied, naming the address (or `shown`, what stands for
// it), the rule and where it is written.
Status permitted(const TaskSetup& setup, const io::Address& address, const std::string& shown = "");

// A bound (and for tcp listening) socket: on the wanted port, else the task's fixed port, else the first free
// one of its listen range, else any.
Result<UniqueFd> bind_listener(const TaskSetup& setup, io::SocketRequest request, uint16_t wanted);

// Whether connections can leave by the task's egress, tried with a socket of each family that is needed: they
// are made one by one later, when it would look like the network's doing.
Status check_egress(const TaskSetup& setup);

void copy_host(const io::Address& address, uint8_t (&out)[16]);  // network order, v4 in the first four

}  // namespace todd::lane
