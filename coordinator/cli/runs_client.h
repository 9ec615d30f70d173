#pragma once
#include <string>

#include "coordinator/cli/client.h"
#include "coordinator/cli/follow.h"
#include "coordinator/cli/output.h"

namespace todd::cli {

// How one run is shown.
struct ShowRun {
  Output output = Output::table;
  bool color = true;
  bool periods = false;
  bool samples = false;
};
// Gets and prints the report. Errors: those of the client, corrupt.
Result<model::Report> show_run(Client& client, const std::string& id, const ShowRun& show);
Status cancel_run(Client& client, const std::string& id);

}  // namespace todd::cli
