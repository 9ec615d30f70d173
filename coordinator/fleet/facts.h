#pragma once
#include "coordinator/model/facts.h"

namespace todd::v1 {
class Facts;
}

namespace todd::fleet {

// What an agent says of itself, cut to sane sizes: at most 64 addresses, 64 labels, 256 bytes per text;
// labels whose key is not of letters, digits and ._/- are left out. Name, id and manifests are not the
// agent's to say here.
model::Facts facts_of(const v1::Facts& facts);

}  // namespace todd::fleet
