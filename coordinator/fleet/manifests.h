#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::fleet {

// Manifests learned from agents, by hash; kept on disk as HASH.json so that plans can be made while agents
// are away. Resource.
class Manifests {
 public:
  explicit Manifests(std::string folder);

  // Makes the folder if missing. Files that do not parse or do not match their name are logged and left out.
  Status load();

  bool has(const std::string& hash) const { return by_hash_.contains(hash); }
  const manifest::Manifest* find(const std::string& hash) const;

  // Takes a manifest's text. Errors: invalid (does not parse), corrupt (its hash is another), exhausted (more
  // than 1,000 known).
  Status put(const std::string& hash, const std::string& json);

  // The newest version of each testlet among those manifests, and the hash of the manifest it is in.
  struct Newest {
    std::map<std::string, manifest::Testlet> testlets;  // by id
    std::map<std::string, std::string> hashes;          // by testlet id
  };
  Newest newest(const std::set<std::string>& hashes) const;

 private:
  std::string folder_;
  std::map<std::string, manifest::Manifest> by_hash_;
};

// Versions by their numbers, "1.10" after "1.9"; other text after a number counts less than none ("1.0-rc1"
// before "1.0").
bool version_less(const std::string& a, const std::string& b);

}  // namespace todd::fleet
