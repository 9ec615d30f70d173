#pragma once
#include "coordinator/model/plan.h"

namespace todd::model {

// How long those of its edges take that are tested at the same time; 0: not known.
int64_t turn_ns(const TestPlan& plan);

// Fills loads and duration_ns from edges, params and at_once. around_ns: of the tests alongside it, how long
// they go on before and after each turn.
void estimate(TestPlan& plan, int64_t around_ns = 0);

// Answers or probes each edge will have by the plan; 0: not known.
uint64_t planned_samples(const TestPlan& plan, Window window = Window::whole);

// Adds a warning for each expectation that so many samples cannot tell.
void warn_of_resolution(TestPlan& plan);

}  // namespace todd::model
