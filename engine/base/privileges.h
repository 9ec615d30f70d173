#pragma once
#include "engine/base/result.h"

namespace todd {

// Takes CAP_NET_RAW from the calling thread, and from what it executes, for good; threads started before keep
// theirs. Fine where there is none to take. Errors: denied, or internal, with the system's reason.
Status give_up_net_raw();

}  // namespace todd
