#pragma once
// From the records of agents to the state of a run. Internal to this folder.

#include <cstdint>
#include <string>

#include "coordinator/run/runs.h"
#include "coordinator/run/state.h"
#include "coordinator/sink/sink_set.h"

namespace todd::run {

// What is said of a run with more periods than are kept. The metrics count them all, so it is only for
// reports with periods.
std::string periods_warning(const RunsOptions& options);

// Adds a record that has not been merged before: cells, periods, samples, examples, quality. offset_ns is the
// agent's clock minus ours. Points go to sinks (may be null). Rows and metrics that the plan does not know
// are passed over.
void merge_record(Run& run, Task& task, const v1::Record& record, int64_t offset_ns,
                  const RunsOptions& options, sink::SinkSet* sinks);

}  // namespace todd::run
