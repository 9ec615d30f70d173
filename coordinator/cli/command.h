#pragma once
// How the verbs of `todd` hang together: each registers itself with its flags, the chosen one leaves its
// action, main runs it.

#include <functional>
#include <string>

namespace CLI {
class App;
}

namespace todd::manifest {
struct Testlet;
}

namespace todd::cli {

// What the chosen verb will do; returns the exit code (exit_code.h).
struct Chosen {
  std::function<int()> action;
};

// Options before or after any verb.
struct Globals {
  std::string coordinator;  // --coordinator or TODD_COORDINATOR: a socket path or http://127.0.0.1:PORT; "" =
                            // the default socket
  bool no_color = false;    // --no-color, NO_COLOR
};

// Without a coordinator.
void add_try(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_serve(CLI::App& app, const Globals& globals, Chosen& chosen);
// Through the coordinator's API.
void add_run(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_apply(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_agents(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_groups(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_suites(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_runs(CLI::App& app, const Globals& globals, Chosen& chosen);
void add_testlets(CLI::App& app, const Globals& globals, Chosen& chosen);  // falls back to this host's folder
void add_version(CLI::App& app, const Globals& globals,
                 Chosen& chosen);  // of the coordinator too, if one answers

// More targets of one test, or edges of one run, may be a mistyped network: --yes says that they are meant.
inline constexpr uint64_t kManyTargets = 65536;

// `todd try ... --from GROUP`: the document of a one-test suite run through the coordinator, reported like
// `todd run`.
struct RemoteRun {
  std::string document, origin;  // YAML
  std::string output = "table";  // table | json | jsonl
  bool allow_incomplete = false, periods = false, samples = false;
  bool yes = false;                            // more than kManyTargets are meant
  const manifest::Testlet* testlet = nullptr;  // of its one test
};
int run_document(const Globals& globals, const RemoteRun& run);

}  // namespace todd::cli
