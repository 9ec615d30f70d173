#pragma once
#include <string>

#include "coordinator/cli/client.h"
#include "coordinator/cli/follow.h"
#include "coordinator/cli/output.h"
#include "coordinator/run/runs.h"

namespace todd::cli {

// Gets and prints the report; JSON and JSON lines as the coordinator wrote them. Errors: those of the client,
// corrupt.
Result<model::Report> show_run(Client& client, const std::string& id, const ShowRun& show);
Status cancel_run(Client& client, const std::string& id,
                  run::Runs::Because because = run::Runs::Because::asked);

}  // namespace todd::cli
