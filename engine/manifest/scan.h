#pragma once
#include <string>
#include <vector>

#include "engine/manifest/manifest.h"

namespace todd::manifest {

// One library in a testlet folder: its manifest, or why it is refused. Nothing is loaded.
struct Found {
  std::string path;
  Manifest manifest;  // valid if error is empty
  std::string json;   // the manifest's exact bytes (its hash is manifest.hash)
  std::string error;  // "x.so: truncated ELF file ..."
};

// Every *.so of the folders, by file name, and each folder that cannot be read, as refused. ABI numbers other
// than this host's are an error of that file that says what it needs, what this host offers, and what to do.
std::vector<Found> scan_folders(const std::vector<std::string>& folders);

}  // namespace todd::manifest
