// Lists of sizes, ports and patterns that are accepted keep what they promise.
#include <string_view>

#include "engine/base/check.h"
#include "plugins/ping/flows.h"
#include "plugins/ping/payload.h"
#include "plugins/ping/sizes.h"

using namespace todd::ping;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Sizes sizes = parse_sizes(text, 8, 65507);
  TODD_CHECK(sizes.wrong.empty() != sizes.bytes.empty() && sizes.bytes.size() <= kMaxSizes);
  for (const uint32_t bytes : sizes.bytes) TODD_CHECK(bytes >= 8 && bytes <= 65507);
  const FlowPlan plan = plan_flows(size % 65, text);
  TODD_CHECK(!plan.wrong.empty() ||
             (plan.flows >= 1 && plan.flows <= kMaxFlows && plan.first_port + plan.flows <= 65536));
  if (!Payload::known(text)) return 0;
  const Payload payload(text, 100, size);
  TODD_CHECK(first_difference(payload.of(1, 2), payload.of(1, 2), 100) == 100);
  return 0;
}
