#include "engine/base/version.h"

namespace todd {

const char kVersion[] = TODD_VERSION;

}  // namespace todd
