// What is accepted is cut into definitions that are accepted again, under the same names; whatever is refused
// names a place.
#include <string_view>

#include "coordinator/model/objects.h"
#include "engine/base/check.h"

using namespace todd::model;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto documents = parse_documents(text, "fuzz");
  if (!documents) {
    TODD_CHECK(documents.error().detail.starts_with("fuzz:"));
    return 0;
  }
  const auto definitions = split_definitions(text, "fuzz");
  TODD_CHECK(definitions);
  TODD_CHECK(definitions->size() == documents->groups.size() + documents->suites.size());
  for (const Definition& definition : *definitions) {
    const auto again = split_definitions(definition.text, definition.name);
    TODD_CHECK(again && again->size() == 1);
    TODD_CHECK(again->front().kind == definition.kind && again->front().name == definition.name);
  }
  return 0;
}
