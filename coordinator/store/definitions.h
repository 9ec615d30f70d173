#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/model/objects.h"
#include "engine/base/result.h"

namespace todd::store {

// Groups and suites as files, one object each, DIR/groups/NAME.yaml and DIR/suites/NAME.yaml with the
// object's own text. People may edit them by hand and add files of any name (.yaml, .yml, .json) in these
// folders or in DIR, with several objects too: every call first looks whether something has changed. What
// people wrote is never lost: a file that holds other objects, or an edit that cannot be read, is not written
// over. Resource; single-threaded.
class Definitions {
 public:
  // The folder is made if missing. Errors: system, denied.
  static Result<Definitions> open(std::string dir);

  // A file that is there but cannot be used: the others live on, this one's last good version too.
  struct Broken {
    std::string path;
    std::string error;  // with file, line and column
  };

  // Replaces or adds; durable when it returns. Errors: invalid (says where), exists (a file written by hand
  // is in the way: which and what to do), system.
  Status put(const model::Definition& definition);
  // All of them, or none where one is wrong or not possible. Errors as put.
  Status put_all(const std::vector<model::Definition>& definitions);
  // Errors: not_found, exists (as put), system.
  Status remove(const std::string& kind, const std::string& name);

  // Sorted by name. kind is "Group" or "Suite"; empty: both.
  std::vector<model::Definition> list(const std::string& kind = "");
  // Errors: not_found, with the nearest name.
  Result<model::Definition> get(const std::string& kind, const std::string& name);

  // The parsed objects. Errors of suite: not_found.
  std::vector<model::Group> groups();
  std::vector<model::Suite> suites();
  Result<model::Suite> suite(const std::string& name);

  std::vector<Broken> broken();

 private:
  struct Stamp {
    int64_t mtime_ns = 0;
    int64_t size = 0;
    bool operator==(const Stamp&) const = default;
  };
  struct Entry {
    model::Definition definition;
    std::vector<model::Group> groups;  // one object: one of the two has one item
    std::vector<model::Suite> suites;
    std::string path;
  };
  struct File {
    Stamp stamp;
    std::string error;
    std::vector<std::pair<std::string, std::string>> keys;  // of the entries it holds
  };

  explicit Definitions(std::string dir) : dir_(std::move(dir)) {}
  void refresh();
  void load(const std::string& path, File& file);
  std::string home_of(const std::string& kind, const std::string& name) const;
  std::string own_path(const std::string& kind, const std::string& name) const;
  Status may_write(const std::string& kind, const std::string& name) const;
  Status may_hold(const std::string& path, const std::pair<std::string, std::string>& key) const;
  Status split(const std::string& path);

  std::string dir_;
  std::map<std::string, File> files_;                             // by path
  std::map<std::pair<std::string, std::string>, Entry> entries_;  // by kind and name
};

}  // namespace todd::store
