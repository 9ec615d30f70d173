#include "coordinator/cli/host_testlets.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "engine/manifest/scan.h"
#include "engine/supervise/supervisor.h"

namespace todd::cli {

void for_each_host_testlet(CLI::App& verb, const std::function<void(const manifest::Testlet&)>& add) {
  std::string refused;
  for (const auto& file : manifest::scan_folders(supervise::default_options().testlet_folders)) {
    if (!file.error.empty()) {
      refused += fmt::format("todd: testlet refused: {}\n", file.error);
      continue;
    }
    for (const auto& testlet : file.manifest.testlets) add(testlet);
  }
  verb.preparse_callback([refused](size_t) { fmt::print(stderr, "{}", refused); });
}

}  // namespace todd::cli
