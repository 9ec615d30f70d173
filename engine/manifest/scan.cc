#include "engine/manifest/scan.h"

#include <fmt/format.h>
#include <todd/testlet.h>

#include <algorithm>
#include <filesystem>

#include "engine/manifest/elf.h"

namespace todd::manifest {
namespace {

Found look_at(const std::string& path) {
  Found found{.path = path, .manifest = {}, .json = {}, .error = {}};
  auto section = read_section(path, kManifestSection);
  auto manifest = section ? parse_manifest(*section) : read_manifest(path);
  if (!manifest) {
    found.error = manifest.error().detail;
  } else if (manifest->abi_major != TODD_ABI_MAJOR || manifest->abi_minor != TODD_ABI_MINOR) {
    found.error = fmt::format(
        "{}: needs testlet ABI {}.{}, this host offers {}.{}: rebuild it with the SDK of this version", path,
        manifest->abi_major, manifest->abi_minor, TODD_ABI_MAJOR, TODD_ABI_MINOR);
  } else {
    found.manifest = std::move(*manifest);
    found.json = std::move(*section);
  }
  return found;
}

}  // namespace

std::vector<Found> scan_folders(const std::vector<std::string>& folders) {
  std::vector<std::string> paths;
  std::vector<Found> out;
  for (const auto& folder : folders) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error))
      if (entry.path().extension() == ".so") paths.push_back(entry.path().string());
    if (error)
      out.push_back({.path = folder,
                     .manifest = {},
                     .json = {},
                     .error = fmt::format("folder {}: {}", folder, error.message())});
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) out.push_back(look_at(path));
  return out;
}

}  // namespace todd::manifest
