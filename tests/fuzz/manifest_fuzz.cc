// What is accepted is written and read back to the same manifest.
#include "engine/base/check.h"
#include "engine/manifest/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto first = todd::manifest::parse_manifest({reinterpret_cast<const char*>(data), size});
  if (!first) return 0;
  const std::string json = todd::manifest::write_manifest(*first);
  if (json.size() > todd::manifest::kMaxManifestBytes) return 0;  // a dense input may grow beyond the limit
  auto second = todd::manifest::parse_manifest(json);
  TODD_CHECK(second.has_value());
  second->hash = first->hash;
  TODD_CHECK(*second == *first);
  return 0;
}
