// The todd command: reads the words, finds the verb, runs it.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "coordinator/cli/command.h"
#include "coordinator/cli/exit_code.h"
#include "engine/base/log.h"
#include "engine/manifest/nearest.h"

namespace {
using namespace todd::cli;

constexpr const char* kAbout =
    "todd - a distributed network testing tool\n\n"
    "  todd try ping 192.0.2.1 --count 10            test from this host, no coordinator needed\n"
    "  todd serve iperf                              answer tests on this host\n"
    "  todd run examples/quickstart.yaml             run a suite on the agents, print the report\n"
    "  todd agents                                   who can test\n";

// "tyr" -> did you mean "try"? Looks along the chain of subcommands that were recognised.
std::string suggestion(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  for (const auto& word : words) {
    if (word.empty() || word[0] == '-') {
      if (word.rfind("--", 0) != 0) continue;
      std::vector<std::string> flags;
      for (const auto* option : at->get_options())
        for (const auto& name : option->get_lnames()) flags.push_back("--" + name);
      const auto flag = word.substr(0, word.find('='));
      const auto near = todd::manifest::nearest(flag, flags);
      if (!near.empty() && near != flag) return fmt::format("unknown flag {}: did you mean {}?", flag, near);
      continue;
    }
    std::vector<std::string> names;
    const CLI::App* next = nullptr;
    for (const auto* sub : at->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(sub->get_name());
      if (sub->get_name() == word) next = sub;
    }
    if (next == nullptr) {
      if (names.empty() && at->get_require_subcommand_min() == 0) continue;
      auto hint = todd::manifest::did_you_mean(word, names);
      if (hint.empty() && !names.empty()) hint = fmt::format(": there are {}", fmt::join(names, ", "));
      return fmt::format("unknown word \"{}\"{}", word, hint);
    }
    at = next;
  }
  return "";
}

int run(int argc, char** argv) {
  CLI::App app(kAbout, "todd");
  app.require_subcommand(1);
  app.fallthrough();
  Globals globals;
  Chosen chosen;
  app.add_option("--coordinator", globals.coordinator,
                 "socket path or http://127.0.0.1:PORT of the coordinator")
      ->envname("TODD_COORDINATOR");
  app.add_flag("--no-color", globals.no_color, "no colour (also NO_COLOR)");
  add_run(app, globals, chosen);
  add_try(app, globals, chosen);
  add_serve(app, globals, chosen);
  add_apply(app, globals, chosen);
  add_agents(app, globals, chosen);
  add_groups(app, globals, chosen);
  add_suites(app, globals, chosen);
  add_runs(app, globals, chosen);
  add_testlets(app, globals, chosen);
  add_version(app, globals, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    const auto better = suggestion(app, {argv + 1, argv + argc});
    fmt::print(stderr, "todd: {}\nRun with --help for more information.\n",
               better.empty() ? error.what() : better);
    return kUsage;
  }
  if (const char* no_color = getenv("NO_COLOR"); no_color != nullptr && *no_color != '\0')
    globals.no_color = true;
  return chosen.action ? chosen.action() : static_cast<int>(kUsage);
}

// What was printed must have arrived: a full disk is no success.
int flushed(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  fmt::print(stderr, "todd: standard output cannot be written: {}\n", std::strerror(errno));
  return kInternal;
}

}  // namespace

int main(int argc, char** argv) {
  todd::set_log_level(todd::LogLevel::warn);
  try {
    return flushed(run(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "todd: a fault of ToDD: {}\n", error.what());
    return kInternal;
  }
}
