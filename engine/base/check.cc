#include "engine/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace todd {
void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "todd: bug: %s does not hold at %s:%d\n", condition, file, line);
  std::abort();
}
}  // namespace todd
