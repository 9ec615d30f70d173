#pragma once
#include "coordinator/model/plan.h"

namespace todd::model {

// Fills loads and duration_ns from edges, params and at_once.
void estimate(TestPlan& plan);

// Answers or probes each edge will have by the plan; 0: not known.
uint64_t planned_samples(const TestPlan& plan);

// Adds a warning for each expectation that so many samples cannot tell.
void warn_of_resolution(TestPlan& plan);

}  // namespace todd::model
