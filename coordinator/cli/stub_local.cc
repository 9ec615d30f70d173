#include "coordinator/cli/command.h"
namespace todd::cli {
void add_run(CLI::App&, const Globals&, Chosen&){} void add_apply(CLI::App&, const Globals&, Chosen&){} void add_agents(CLI::App&, const Globals&, Chosen&){} void add_groups(CLI::App&, const Globals&, Chosen&){} void add_suites(CLI::App&, const Globals&, Chosen&){} void add_runs(CLI::App&, const Globals&, Chosen&){} void add_testlets(CLI::App&, const Globals&, Chosen&){} void add_version(CLI::App&, const Globals&, Chosen&){} int run_document(const Globals&, const RemoteRun&){return 7;}
}
