#pragma once
// Loading testlet libraries into this process. The only folder that names Boost.DLL.

#include <todd/testlet.h>

#include <map>
#include <memory>
#include <string>

#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::host {

struct Loaded {
  const todd_testlet* testlet = nullptr;
  manifest::Testlet manifest;
  std::string manifest_hash;  // of the library that is loaded, not of what lies on the disk now
};

// Libraries stay loaded until the process ends: TLS destructors and unique symbols make unloading a lie. [one
// thread]
class Libraries {
 public:
  Libraries();
  ~Libraries();

  // Reads the manifest and loads the library, both once per path, and compares what it says of itself with
  // the manifest: magic, ABI, sizes, ids and versions. Errors name the file, what it needs, what this host
  // offers, and what to do.
  Result<Loaded> load(const std::string& path, const std::string& testlet_id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What an entry must say before anything else of it is used; text for messages comes from `path`.
Status check_entry(const todd_entry& entry, const std::string& path);

}  // namespace todd::host
