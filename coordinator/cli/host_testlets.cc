#include "coordinator/cli/host_testlets.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "engine/manifest/scan.h"
#include "engine/supervise/supervisor.h"

namespace todd::cli {

void for_each_host_testlet(CLI::App& verb, const std::function<void(const manifest::Testlet&)>& add) {
  std::string refused;
  std::map<std::string, std::string> path_of;  // of each testlet
  // Each verb asks.
  static const auto files = manifest::scan_folders(supervise::default_options().testlet_folders);
  for (const auto& file : files) {
    if (!file.error.empty()) {
      refused += fmt::format("todd: testlet refused: {}\n", file.error);
      continue;
    }
    for (const auto& testlet : file.manifest.testlets) {
      const auto [first, is_new] = path_of.emplace(testlet.id, file.path);
      if (is_new)
        add(testlet);
      else
        refused += fmt::format("todd: testlet refused: {}: {} is in {} already\n", file.path, testlet.id,
                               first->second);
    }
  }
  verb.preparse_callback([refused](size_t) { fmt::print(stderr, "{}", refused); });
}

}  // namespace todd::cli
