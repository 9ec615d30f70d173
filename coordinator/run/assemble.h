#pragma once
// From the state of a run to its report. Internal to this folder.

#include "coordinator/model/report.h"
#include "coordinator/run/events.h"
#include "coordinator/run/state.h"

namespace todd::run {

// A test that is under way, as far as it is: verdicts are unknown.
model::TestReport assemble_test(const Run& run, const TestRun& test);
// A test that has ended, its expectations evaluated. Takes what is known of its edges, and those of its plan.
model::TestReport conclude_test(const Run& run, TestRun& test);

// The run as far as it is, without delivery. Tests that have ended come as they were assembled then.
model::Report assemble_run(const Run& run);
// The same of a run all of whose tests have ended; takes their reports.
model::Report assemble_ended(Run& run);

// State, verdict and reason of a run all of whose tests have ended.
void conclude(const Run& run, model::Report& report);

TestProgress progress_of(const TestRun& test);

}  // namespace todd::run
