#pragma once
// The exit codes of every verb: documented, tested, frozen.

#include "coordinator/model/report.h"
#include "engine/base/result.h"

namespace todd::cli {

enum ExitCode : int {
  kOk = 0,           // done, and every expectation holds
  kFailed = 1,       // an expectation failed: the network is bad
  kUsage = 2,        // wrong words, or a file that is missing or invalid
  kUnreachable = 3,  // no coordinator, or it did not answer in time
  kDenied = 4,       // privilege or policy
  kIncomplete =
      5,         // an expectation could not be judged, or what was not measured had none; cancelled or failed
  kNothing = 6,  // nothing matched: no agents, no such object
  kInternal = 7,       // our fault
  kInterrupted = 130,  // Ctrl-C, or "no" to a question
  kTerminated = 143,   // SIGTERM
};

// Where no edge could be measured and whoever asked has to mend each of them, the first in the report says
// which: kDenied (permission, denied) or kUsage (bad_param, name_resolution, unsupported, testlet_missing,
// secret_missing). Of a check, where each edge that could not be prepared is such. Otherwise edges that are
// not complete count where nothing was expected of their test: else its expectations have judged them.
int exit_for(const model::Report& report, bool allow_incomplete);
int exit_for(const Error& error);
// Prints "todd: <detail>" to stderr and returns exit_for(error).
int complain(const Error& error);

}  // namespace todd::cli
