// Any file may be named as a testlet: whatever it holds, a found section lies within it.
#include "engine/base/check.h"
#include "engine/manifest/elf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> image(data, size);
  if (const auto found = todd::manifest::elf_parse(image, todd::manifest::kManifestSection);
      found && !found->empty()) {
    TODD_CHECK(found->data() >= data && found->data() + found->size() <= data + size);
  }
  (void)todd::manifest::parse_elf_manifest(image);
  return 0;
}
