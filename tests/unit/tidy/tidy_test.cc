// The rules of the tree that a compiler does not check: who may include whom, which folder names which
// library, file sizes.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
const fs::path kRoot = TODD_SOURCE_DIR;

using Folders = std::set<std::string>;

// Folder -> folders of ours it may include, itself apart. Generated messages ("todd/v1/") count as
// coordinator/proto.
const std::map<std::string, Folders> kMayInclude = {
    {"engine/base", {}},
    {"engine/io", {"engine/base"}},
    {"engine/stats", {"engine/base"}},
    {"engine/schedule", {"engine/base"}},
    {"engine/manifest", {"engine/base", "engine/stats", "sdk"}},
    {"engine/host", {"engine/base", "engine/manifest", "engine/stats", "sdk"}},
    {"engine/lane",
     {"engine/base", "engine/io", "engine/stats", "engine/schedule", "engine/manifest", "sdk"}},
    {"engine/supervise",
     {"engine/base", "engine/io", "engine/stats", "engine/schedule", "engine/manifest", "coordinator/proto"}},
    {"engine/worker",
     {"engine/base", "engine/io", "engine/stats", "engine/schedule", "engine/manifest", "engine/host",
      "engine/lane", "coordinator/proto", "sdk"}},
    {"engine/agent",
     {"engine/base", "engine/io", "engine/stats", "engine/manifest", "engine/supervise",
      "coordinator/proto"}},
    {"sdk/check", {"sdk"}},
    {"coordinator/proto", {"engine/base", "engine/stats"}},
    {"coordinator/model", {"engine/base", "engine/stats", "engine/schedule", "engine/manifest"}},
    {"coordinator/run",
     {"engine/base", "engine/io", "engine/stats", "engine/schedule", "engine/manifest", "coordinator/model",
      "coordinator/proto", "coordinator/store", "coordinator/sink"}},
    {"coordinator/store",
     {"engine/base", "engine/io", "engine/stats", "engine/manifest", "engine/schedule", "coordinator/model",
      "coordinator/proto"}},
    {"coordinator/sink",
     {"engine/base", "engine/io", "engine/stats", "engine/manifest", "coordinator/model",
      "coordinator/proto"}},
    {"coordinator/fleet",
     {"engine/base", "engine/io", "engine/manifest", "engine/stats", "coordinator/model", "coordinator/proto",
      "coordinator/run"}},
    {"coordinator/api",
     {"engine/base", "engine/io", "engine/manifest", "engine/stats", "engine/schedule", "coordinator/model",
      "coordinator/proto", "coordinator/run", "coordinator/store", "coordinator/sink", "coordinator/fleet"}},
    {"coordinator/cli",
     {"engine/base", "engine/io", "engine/stats", "engine/schedule", "engine/manifest", "engine/supervise",
      "coordinator/model", "coordinator/proto", "coordinator/run"}},
};

// Third-party header prefix -> the folders that may name it.
const std::map<std::string, Folders> kLibraries = {
    {"liburing", {"engine/io"}},
    {"event2/", {"engine/io"}},
    {"openssl/",
     {"engine/io", "engine/base", "engine/manifest", "coordinator/store", "coordinator/run",
      "coordinator/fleet"}},
    {"boost/dll", {"engine/host"}},
    {"boost/beast", {"coordinator/api", "plugins/http"}},
    {"nghttp2/", {"plugins/http"}},
    {"zlib.h", {"plugins/http"}},
    {"simdjson",
     {"engine/manifest", "coordinator/model", "coordinator/api", "coordinator/cli", "coordinator/store",
      "coordinator/fleet", "coordinator/sink", "plugins/http", "plugins/iperf"}},
    {"yaml.h", {"coordinator/model"}},
    {"re2/", {"coordinator/model", "plugins/http"}},
    {"curl/", {"coordinator/sink", "coordinator/cli"}},
    {"CLI/", {"coordinator/cli", "coordinator", "engine/agent"}},
    {"spdlog/", {"engine/base"}},
};

// nullptr: no layer is known for this folder. Every folder of plugins is a testlet, and sees what an author
// outside sees.
const Folders* may_include(const std::string& folder) {
  static const Folders kTestlet = {"sdk"};
  const auto rule = kMayInclude.find(folder);
  if (rule != kMayInclude.end()) return &rule->second;
  return folder.rfind("plugins/", 0) == 0 ? &kTestlet : nullptr;
}

struct Include {
  std::string file, folder, what;
  bool quoted = false;
};

bool is_source(const fs::path& path) {
  const auto ext = path.extension();
  return ext == ".cc" || ext == ".h" || ext == ".hpp" || ext == ".c";
}

std::vector<fs::path> sources(const std::vector<std::string>& tops) {
  std::vector<fs::path> out;
  for (const auto& top : tops)
    for (const auto& entry : fs::recursive_directory_iterator(kRoot / top))
      if (entry.is_regular_file() && is_source(entry.path())) out.push_back(entry.path());
  return out;
}

std::string read(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<Include> includes(const fs::path& path) {
  static const std::regex line(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> out;
  const auto name = fs::relative(path, kRoot).string();
  std::istringstream text(read(path));
  for (std::string one; std::getline(text, one);) {
    std::smatch m;
    if (std::regex_search(one, m, line))
      out.push_back({name, fs::path(name).parent_path().string(), m[2], m[1] == "\""});
  }
  return out;
}

// The folder of ours an include names, "" if it is not ours.
std::string our_folder(const std::string& what) {
  if (what.rfind("todd/v1/", 0) == 0) return "coordinator/proto";
  if (what.rfind("todd/", 0) == 0) return "sdk";
  for (const char* top : {"engine/", "coordinator/", "plugins/", "tests/"})
    if (what.rfind(top, 0) == 0) return fs::path(what).parent_path().string();
  return "";
}

TEST(TidyTest, FoldersIncludeOnlyWhatTheirLayerMay) {
  for (const auto& path : sources({"engine", "coordinator", "plugins", "sdk/check"})) {
    for (const auto& include : includes(path)) {
      const auto ours = our_folder(include.what);
      if (ours.empty() || ours == include.folder || include.folder == "coordinator") continue;
      const auto* allowed = may_include(include.folder);
      ASSERT_NE(allowed, nullptr) << include.file << ": no layer is known for this folder";
      EXPECT_EQ(allowed->count(ours), 1u) << include.file << " includes " << include.what;
    }
  }
}

TEST(TidyTest, ANewTestletNeedsNoEntryInTheTable) {
  ASSERT_NE(may_include("plugins/new"), nullptr);
  EXPECT_EQ(*may_include("plugins/new"), Folders{"sdk"});
  EXPECT_EQ(may_include("engine/new"), nullptr);
}

TEST(TidyTest, LibrariesAreNamedInTheirFoldersOnly) {
  for (const auto& path : sources({"engine", "coordinator", "plugins", "sdk"})) {
    for (const auto& include : includes(path)) {
      for (const auto& [prefix, folders] : kLibraries) {
        if (include.what.rfind(prefix, 0) != 0) continue;
        EXPECT_EQ(folders.count(include.folder), 1u) << include.file << " includes " << include.what;
      }
    }
  }
}

TEST(TidyTest, PublicHeadersNameNoThirdPartyLibrary) {
  // Public: included from another folder. A folder's own headers may wrap its library.
  std::set<std::string> shared;
  for (const auto& path : sources({"engine", "coordinator", "plugins", "tests"}))
    for (const auto& include : includes(path))
      if (!our_folder(include.what).empty() && our_folder(include.what) != include.folder)
        shared.insert(include.what);
  for (const auto& path : sources({"engine", "coordinator"})) {
    if (shared.count(fs::relative(path, kRoot).string()) == 0) continue;
    for (const auto& include : includes(path))
      for (const char* prefix : {"liburing", "event2/", "boost/", "simdjson", "curl/", "CLI/", "spdlog/",
                                 "fmt/", "yaml.h", "re2/"})
        EXPECT_NE(include.what.rfind(prefix, 0), 0u) << include.file << " includes " << include.what;
  }
}

TEST(TidyTest, HeadersGuardThemselvesAndSourcesIncludeTheirOwnFirst) {
  for (const auto& path : sources({"engine", "coordinator", "plugins"})) {
    const auto text = read(path);
    const auto name = fs::relative(path, kRoot).string();
    if (path.extension() == ".h") {
      EXPECT_NE(text.find("#pragma once"), std::string::npos) << name;
      continue;
    }
    auto own = path;
    own.replace_extension(".h");
    const auto found = includes(path);
    if (!fs::exists(own) || found.empty()) continue;
    EXPECT_EQ(found.front().what, fs::relative(own, kRoot).string())
        << name << " must include its own header first";
  }
}

// It was in seven places once: a release would have forgotten some.
TEST(TidyTest, TheVersionIsWrittenOnce) {
  const auto project = read(kRoot / "CMakeLists.txt");
  std::smatch m;
  ASSERT_TRUE(std::regex_search(project, m, std::regex(R"(project\(todd VERSION ([0-9.]+))")));
  for (const auto& path : sources({"engine", "coordinator"}))
    EXPECT_EQ(read(path).find(m[1].str()), std::string::npos) << path << " repeats the version: use kVersion";
}

TEST(TidyTest, FilesStaySmallAndNothingIsLeftForNow) {
  for (const auto& path : sources({"engine", "coordinator", "plugins", "sdk", "tests", "bench"})) {
    const auto text = read(path);
    const auto name = fs::relative(path, kRoot).string();
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), name.rfind("tests/", 0) == 0 ? 700 : 600) << name;
    EXPECT_EQ(text.find("TODO("
                        "now)"),
              std::string::npos)
        << name;
    EXPECT_EQ(text.find('\t'), std::string::npos) << name << " has a tab";
  }
}

}  // namespace
