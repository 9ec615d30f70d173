#include "coordinator/cli/exit_code.h"

#include <gtest/gtest.h>

namespace todd::cli {
namespace {

using model::EdgeState;
using model::RunState;
using model::Verdict;

// One test with one edge.
model::Report report_of(RunState state, Verdict verdict, EdgeState edge) {
  model::Report report;
  report.state = state;
  report.verdict = verdict;
  report.tests.resize(1);
  report.tests[0].verdict = verdict;
  report.tests[0].edges.kept().resize(1);
  report.tests[0].edges[0].state = edge;
  report.tests[0].edges[0].verdict = verdict;
  return report;
}

TEST(ExitCodeTest, FollowsTheVerdict) {
  EXPECT_EQ(exit_for(report_of(RunState::completed, Verdict::pass, EdgeState::complete), false), kOk);
  EXPECT_EQ(exit_for(report_of(RunState::completed, Verdict::none, EdgeState::complete), false), kOk);
  EXPECT_EQ(exit_for(report_of(RunState::partial, Verdict::fail, EdgeState::no_data), true), kFailed);
  EXPECT_EQ(exit_for(report_of(RunState::partial, Verdict::unknown, EdgeState::partial), false), kIncomplete);
  EXPECT_EQ(exit_for(report_of(RunState::partial, Verdict::unknown, EdgeState::partial), true), kOk);
}

// `expect: []` judges nothing: agents that are missing are not to be overlooked. "90% of edges: ..." has
// judged them.
TEST(ExitCodeTest, MissingEdgesCountWhereNothingWasExpected) {
  EXPECT_EQ(exit_for(report_of(RunState::partial, Verdict::none, EdgeState::no_data), false), kIncomplete);
  EXPECT_EQ(exit_for(report_of(RunState::partial, Verdict::none, EdgeState::no_data), true), kOk);
  EXPECT_EQ(exit_for(report_of(RunState::partial, Verdict::pass, EdgeState::no_data), false), kOk);
}

TEST(ExitCodeTest, CancelledAndFailedRunsAreIncomplete) {
  EXPECT_EQ(exit_for(report_of(RunState::cancelled, Verdict::unknown, EdgeState::cancelled), false),
            kIncomplete);
  EXPECT_EQ(exit_for(report_of(RunState::failed, Verdict::none, EdgeState::error), false), kIncomplete);
}

// Its reason is that of the test it would have gone along with.
TEST(ExitCodeTest, WhatWentAlongWithNothingIsPassedOver) {
  for (const bool check : {false, true}) {
    model::Report report = report_of(RunState::failed, Verdict::unknown, EdgeState::error);
    report.check = check;
    report.tests.push_back(report.tests[0]);
    report.tests[0].edges[0].reason = model::reason::kBadParam;
    report.tests[1].edges[0].state = EdgeState::skipped;
    report.tests[1].edges[0].reason = model::reason::kMainNotRun;
    EXPECT_EQ(exit_for(report, false), kUsage) << check;
  }
}

// Each by itself, and the first's where they differ.
TEST(ExitCodeTest, WhereNoEdgeCouldBeginTheirReasonDecides) {
  const std::pair<const char*, ExitCode> kCodes[] = {{model::reason::kPermission, kDenied},
                                                     {model::reason::kBadParam, kUsage},
                                                     {model::reason::kNameResolution, kUsage},
                                                     {model::reason::kUnsupported, kUsage},
                                                     {model::reason::kTestletMissing, kUsage},
                                                     {model::reason::kSecretMissing, kUsage},
                                                     {model::reason::kDenied, kDenied},
                                                     {model::reason::kLocalResource, kIncomplete},
                                                     {model::reason::kTestletCrashed, kIncomplete},
                                                     {model::reason::kResponderFailed, kIncomplete}};
  for (const auto& [why, code] : kCodes) {
    auto report = report_of(RunState::failed, Verdict::unknown, EdgeState::error);
    report.tests[0].edges[0].reason = why;
    EXPECT_EQ(exit_for(report, false), code) << why;
  }
  auto report = report_of(RunState::failed, Verdict::unknown, EdgeState::error);
  report.tests[0].edges[0].reason = model::reason::kBadParam;
  report.tests.push_back(report.tests[0]);
  report.tests[1].edges[0].reason = model::reason::kPermission;
  EXPECT_EQ(exit_for(report, false), kUsage);
  std::swap(report.tests[0], report.tests[1]);
  EXPECT_EQ(exit_for(report, false), kDenied);
}

TEST(ExitCodeTest, OnlyWhereEveryEdgeWasDeniedIsItAPrivilege) {
  auto report = report_of(RunState::failed, Verdict::unknown, EdgeState::error);
  report.tests[0].edges[0].reason = model::reason::kPermission;
  EXPECT_EQ(exit_for(report, false), kDenied);
  // Others were well, but are left out of so large a report.
  report.tests[0].summary = model::EdgeSummary{.edges = 100'000, .ok = 99'999, .verdicts = {}, .states = {}};
  EXPECT_EQ(exit_for(report, false), kIncomplete);
}

// Values that only the testlet can tell do not fit together are as wrong as those the plan refuses.
TEST(ExitCodeTest, OnlyWhereEveryEdgeWasRefusedItsParamsIsItUsage) {
  auto report = report_of(RunState::failed, Verdict::unknown, EdgeState::error);
  report.tests[0].edges[0].reason = model::reason::kBadParam;
  EXPECT_EQ(exit_for(report, false), kUsage);
  EXPECT_EQ(exit_for(report, true), kUsage);
  report.check = true;
  EXPECT_EQ(exit_for(report, false), kUsage);
  report.check = false;
  report.tests.push_back(report_of(RunState::failed, Verdict::unknown, EdgeState::error).tests[0]);
  report.tests[1].edges[0].reason = model::reason::kAgentOffline;
  EXPECT_EQ(exit_for(report, false), kIncomplete);
  report.check = true;
  EXPECT_EQ(exit_for(report, false), kIncomplete);
}

TEST(ExitCodeTest, OfErrors) {
  EXPECT_EQ(exit_for({Errc::invalid, 0, ""}), kUsage);
  EXPECT_EQ(exit_for({Errc::not_found, 0, ""}), kNothing);
  EXPECT_EQ(exit_for({Errc::denied, 0, ""}), kDenied);
  EXPECT_EQ(exit_for({Errc::unavailable, 0, ""}), kUnreachable);
  EXPECT_EQ(exit_for({Errc::timed_out, 0, ""}), kUnreachable);
  EXPECT_EQ(exit_for({Errc::cancelled, 0, ""}), kInterrupted);
  EXPECT_EQ(exit_for({Errc::system, 0, ""}), kInternal);
}

}  // namespace
}  // namespace todd::cli
