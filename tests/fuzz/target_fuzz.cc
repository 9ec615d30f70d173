// A target that is accepted can be counted, and its first and last host are addresses or its name.
#include <string>

#include "engine/base/check.h"
#include "engine/schedule/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::schedule;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)is_literal(text);
  const auto spec = parse_target(text);
  if (!spec) return 0;
  const auto n = count(*spec);
  TODD_CHECK(n && *n >= 1 && *n <= kMaxTargetsPerSpec);
  for (const uint64_t i : {uint64_t{0}, *n - 1}) {
    const std::string host = host_at(*spec, i);
    TODD_CHECK(!host.empty());
    TODD_CHECK(*n == 1 || is_literal(host));
  }
  return 0;
}
