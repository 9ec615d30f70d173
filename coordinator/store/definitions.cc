#include "coordinator/store/definitions.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "coordinator/model/yaml.h"
#include "engine/base/files.h"
#include "engine/base/log.h"
#include "engine/manifest/nearest.h"

namespace todd::store {
namespace {
// As much as a document that is applied may have.
constexpr size_t kMaxFile = model::YamlLimits{}.max_bytes;
constexpr unsigned kMode = 0640;
constexpr const char* kFolders[] = {"", "/groups", "/suites"};

std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
}

bool is_definition(const std::filesystem::path& path) {
  const auto ending = path.extension();
  return ending == ".yaml" || ending == ".yml" || ending == ".json";
}

// Whether the objects of a file get files of their own before one of them is written. YAML does not belong
// into a file that says it is JSON.
bool must_split(const std::string& path, size_t objects) { return objects > 1 || path.ends_with(".json"); }
}  // namespace

Result<Definitions> Definitions::open(std::string dir) {
  for (const char* folder : kFolders) {
    // Whoever lets others edit definitions has given the folder another mode.
    if (std::filesystem::is_directory(dir + folder)) continue;
    if (Status made = make_folders(dir + folder, 0700); !made) return tl::unexpected(made.error());
  }
  Definitions definitions(std::move(dir));
  definitions.refresh();
  return definitions;
}

std::string Definitions::own_path(const std::string& kind, const std::string& name) const {
  // A file written by hand keeps its name.
  const auto found = entries_.find({kind, name});
  if (found != entries_.end() && files_.at(found->second.path).keys.size() == 1) return found->second.path;
  return home_of(kind, name);
}

std::string Definitions::home_of(const std::string& kind, const std::string& name) const {
  return dir_ + "/" + lower(kind) + "s/" + name + ".yaml";
}

// Whether an object can be replaced, added or removed without the loss of anything that people wrote.
Status Definitions::may_write(const std::string& kind, const std::string& name) const {
  const auto found = entries_.find({kind, name});
  if (found == entries_.end()) return may_hold(home_of(kind, name), {kind, name});
  const std::string& path = found->second.path;
  const File& file = files_.at(path);
  if (!file.error.empty()) {
    return fail(Errc::exists, lower(kind) + " \"" + name + "\" is in " + path +
                                  ", whose last edit cannot be read; mend it first: " + file.error);
  }
  if (!must_split(path, file.keys.size())) return {};
  for (const auto& key : file.keys) {
    const std::string home = home_of(key.first, key.second);
    if (home == path) continue;
    if (Status free = may_hold(home, key); !free) return free;
  }
  return {};
}

// Whether the file may be made, or written over, to hold this object and nothing else.
Status Definitions::may_hold(const std::string& path, const std::pair<std::string, std::string>& key) const {
  const auto there = files_.find(path);
  if (there == files_.end()) return {};
  const std::string wanted = lower(key.first) + " \"" + key.second + "\" would be written to " + path + ", ";
  if (!there->second.error.empty()) {
    return fail(Errc::exists,
                wanted + "which cannot be read; mend it or move it away first: " + there->second.error);
  }
  for (const auto& held : there->second.keys) {
    if (held == key) continue;
    return fail(Errc::exists, wanted + "which holds " + lower(held.first) + " \"" + held.second +
                                  "\"; give that file another name first");
  }
  return {};
}

// Gives every object of a hand-written file a file of its own, so that one of them can be replaced or
// removed.
Status Definitions::split(const std::string& path) {
  const auto keys = files_.at(path).keys;
  if (!must_split(path, keys.size())) return {};
  std::string text;
  for (const auto& key : keys) {
    const std::string own = home_of(key.first, key.second);
    if (own == path) {
      text = entries_.at(key).definition.text;
    } else if (Status kept = write_file(own, entries_.at(key).definition.text, kMode); !kept) {
      return kept;
    }
  }
  if (!text.empty()) {
    if (Status kept = write_file(path, text, kMode); !kept) return kept;
  } else if (Status removed = remove_file(path); !removed) {
    return removed;
  }
  for (const auto& key : keys) entries_.erase(key);
  files_.erase(path);
  refresh();
  return {};
}

void Definitions::refresh() {
  std::error_code error;
  std::vector<std::string> paths;
  for (const char* folder : kFolders) {
    for (const auto& item : std::filesystem::directory_iterator(dir_ + folder, error)) {
      if (is_definition(item.path())) paths.push_back(item.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  std::map<std::string, Stamp> there;
  for (const std::string& path : paths) {
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    there[path] = {info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec, info.st_size};
  }
  bool changed = false;
  // What has gone goes first: its objects may be in another file now.
  for (auto it = files_.begin(); it != files_.end();) {
    if (there.count(it->first) != 0) {
      ++it;
      continue;
    }
    for (const auto& key : it->second.keys) entries_.erase(key);
    it = files_.erase(it);
    changed = true;
  }
  for (const auto& [path, stamp] : there) {
    File& file = files_[path];
    if (file.stamp == stamp) continue;
    file.stamp = stamp;
    load(path, file);
    changed = true;
  }
  // An object that was in two files may now be in one.
  for (auto& [path, file] : files_) {
    if (changed && !file.error.empty()) load(path, file);
  }
}

// On an error the file's objects stay as they were.
void Definitions::load(const std::string& path, File& file) {
  const auto refuse = [&](const std::string& why) {
    if (file.error != why)
      log(LogLevel::warn, "store", why + " (the file is passed over until it is mended)");
    file.error = why;
  };
  const auto text = read_file(path, kMaxFile);
  if (!text) return refuse(text.error().detail);
  auto definitions = model::split_definitions(*text, path);
  if (!definitions) return refuse(definitions.error().detail);
  std::vector<std::pair<std::pair<std::string, std::string>, Entry>> fresh;
  for (auto& definition : *definitions) {
    const std::pair<std::string, std::string> key{definition.kind, definition.name};
    const auto there = entries_.find(key);
    if (there != entries_.end() && there->second.path != path) {
      return refuse(path + ": " + key.first + " " + key.second + " is also in " + there->second.path);
    }
    auto parsed = model::parse_documents(definition.text, definition.name);
    if (!parsed) return refuse(path + ": " + parsed.error().detail);
    fresh.push_back({key, Entry{definition, std::move(parsed->groups), std::move(parsed->suites), path}});
  }
  for (const auto& key : file.keys) entries_.erase(key);
  file.keys.clear();
  file.error.clear();
  for (auto& [key, entry] : fresh) {
    file.keys.push_back(key);
    entries_[key] = std::move(entry);
  }
}

Status Definitions::put(const model::Definition& definition) { return put_all({definition}); }

Status Definitions::put_all(const std::vector<model::Definition>& definitions) {
  for (const auto& definition : definitions) {
    auto parsed = model::parse_documents(definition.text, definition.name);
    if (!parsed) return tl::unexpected(parsed.error());
    const bool is_group = parsed->groups.size() == 1 && parsed->suites.empty() &&
                          definition.kind == "Group" && parsed->groups[0].name == definition.name;
    const bool is_suite = parsed->suites.size() == 1 && parsed->groups.empty() &&
                          definition.kind == "Suite" && parsed->suites[0].name == definition.name;
    if (!model::is_valid_name(definition.name) || !(is_group || is_suite)) {
      return fail(Errc::invalid, "the text is not that of one " + lower(definition.kind) + " named \"" +
                                     definition.name + "\"");
    }
  }
  refresh();
  for (const auto& definition : definitions) {
    if (Status may = may_write(definition.kind, definition.name); !may) return may;
  }
  for (const auto& definition : definitions) {
    const auto found = entries_.find({definition.kind, definition.name});
    if (found == entries_.end()) continue;
    if (Status alone = split(std::string(found->second.path)); !alone) return alone;
  }
  for (const auto& definition : definitions) {
    const std::string path = own_path(definition.kind, definition.name);
    if (Status written = write_file(path, definition.text, kMode); !written) return written;
    // Two writes may fall into one tick of the file's clock.
    files_[path].stamp = {};
  }
  refresh();
  return {};
}

Status Definitions::remove(const std::string& kind, const std::string& name) {
  if (auto found = get(kind, name); !found) return tl::unexpected(found.error());
  if (Status may = may_write(kind, name); !may) return may;
  const std::string shared = entries_.at({kind, name}).path;
  if (Status alone = split(shared); !alone) return alone;
  Status removed = remove_file(own_path(kind, name));
  refresh();
  return removed;
}

std::vector<model::Definition> Definitions::list(const std::string& kind) {
  refresh();
  std::vector<model::Definition> all;
  for (const auto& [key, entry] : entries_) {
    if (kind.empty() || key.first == kind) all.push_back(entry.definition);
  }
  return all;
}

Result<model::Definition> Definitions::get(const std::string& kind, const std::string& name) {
  refresh();
  const auto found = entries_.find({kind, name});
  if (found != entries_.end()) return found->second.definition;
  std::vector<std::string> names;
  for (const auto& [key, entry] : entries_) {
    if (key.first == kind) names.push_back(key.second);
  }
  return fail(Errc::not_found,
              "no " + lower(kind) + " \"" + name + "\"" + manifest::did_you_mean(name, names));
}

std::vector<model::Group> Definitions::groups() {
  refresh();
  std::vector<model::Group> all;
  for (const auto& [key, entry] : entries_) all.insert(all.end(), entry.groups.begin(), entry.groups.end());
  return all;
}

std::vector<model::Suite> Definitions::suites() {
  refresh();
  std::vector<model::Suite> all;
  for (const auto& [key, entry] : entries_) all.insert(all.end(), entry.suites.begin(), entry.suites.end());
  return all;
}

Result<model::Suite> Definitions::suite(const std::string& name) {
  if (auto found = get("Suite", name); !found) return tl::unexpected(found.error());
  const Entry& entry = entries_.at({"Suite", name});
  if (entry.suites.empty()) return fail(Errc::corrupt, entry.path + " holds no suite");
  return entry.suites.front();
}

std::vector<Definitions::Broken> Definitions::broken() {
  refresh();
  std::vector<Broken> all;
  for (const auto& [path, file] : files_) {
    if (!file.error.empty()) all.push_back({path, file.error});
  }
  return all;
}

}  // namespace todd::store
