#pragma once
// A test that goes along with another over the same edges: what of it follows from that one. Errors name no
// place in the file.

#include <string>
#include <vector>

#include "coordinator/model/plan.h"

namespace todd::model {

// Fills the params of a test alongside: its pace and period where they are not given, the way its packets
// leave as that of the other test. Errors: invalid, for a heavy testlet, and for params that say how long the
// test is.
Status fit_params(TestPlan& alongside, const TestPlan& main);

// Of the other test: its edges as this testlet tests them (a URL's host where it takes no URLs, and no port,
// which is that of the other testlet's service), how many are tested at a time, how long a turn takes.
// Errors: invalid, for a source with more edges than it can keep apart from period to period.
Status take_edges(TestPlan& alongside, const TestPlan& main);

// The one of these tests that an expectation of idle. or loaded. metrics is of. Errors: invalid, where it is
// of none of them, or of several.
Result<size_t> whose(const std::string& text, const std::vector<const TestPlan*>& alongside);

}  // namespace todd::model
