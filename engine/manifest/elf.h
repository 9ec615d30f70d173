#pragma once
// Reads a section of a library without loading it. The file may be anything: every offset is checked.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::manifest {

inline constexpr const char* kManifestSection = ".todd.manifest";

// The bytes of a section of an ELF64 little-endian image of this machine, as a view into the image.
// Errors: corrupt (not ELF, truncated), unsupported (32 bit, big endian, another machine, named), not_found.
Result<std::span<const uint8_t>> elf_parse(std::span<const uint8_t> image, std::string_view section);

// The same of a file; errors begin with its path.
Result<std::string> read_section(const std::string& path, const std::string& section);

// The manifest embedded in an image or in a library. Without one: not_found,
// "no testlet manifest in FILE: build it with todd_add_testlet".
Result<Manifest> parse_elf_manifest(std::span<const uint8_t> image);
Result<Manifest> read_manifest(const std::string& path);

}  // namespace todd::manifest
