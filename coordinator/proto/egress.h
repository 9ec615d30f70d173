#pragma once
#include "engine/base/egress.h"

namespace todd::v1 {
class Egress;
}

namespace todd::wire {

// An egress as it travels. `out` is empty before.
void put_egress(const Egress& egress, v1::Egress& out);
// And back; a df nobody knows is the system's.
Egress egress_of(const v1::Egress& in);

}  // namespace todd::wire
