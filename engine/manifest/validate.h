#pragma once
#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::manifest {

// What a manifest must keep beyond its JSON types: names well-formed, unique and none of the host's; defaults
// and ranges readable; ratios of declared counters. Errors: invalid, beginning with "manifest: ".
Status validate(const Manifest& manifest);

}  // namespace todd::manifest
