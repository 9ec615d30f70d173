#include "coordinator/cli/exit_code.h"

#include <gtest/gtest.h>

namespace todd::cli {
namespace {
using model::EdgeState;

// A check of one edge for each state and reason.
model::Report check_of(const std::vector<std::pair<EdgeState, std::string>>& edges) {
  model::Report report;
  report.check = true;
  report.state = model::RunState::partial;
  model::TestReport& test = report.tests.emplace_back();
  for (const auto& [state, reason] : edges) {
    model::EdgeReport& edge = test.edges.kept().emplace_back();
    edge.state = state;
    edge.reason = reason;
  }
  return report;
}

// It has no verdict that could be unknown, and one good edge made the run partial, which is no failure.
TEST(ExitCodeTest, ACheckFailsWithItsEdges) {
  EXPECT_EQ(exit_for(check_of({{EdgeState::complete, ""}}), false), kOk);
  const auto mixed = check_of(
      {{EdgeState::complete, ""}, {EdgeState::error, "permission"}, {EdgeState::no_data, "agent_offline"}});
  EXPECT_EQ(exit_for(mixed, false), kIncomplete);
  EXPECT_EQ(exit_for(mixed, true), kOk);
  EXPECT_EQ(exit_for(check_of({{EdgeState::complete, ""}, {EdgeState::error, "permission"}}), false),
            kDenied);
}

}  // namespace
}  // namespace todd::cli
