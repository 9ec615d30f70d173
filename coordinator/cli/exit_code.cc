#include "coordinator/cli/exit_code.h"

#include <algorithm>
#include <cstdio>

namespace todd::cli {
namespace {

bool lacks_privilege(const model::Report& report) {
  bool any = false, all = true;
  for (const auto& test : report.tests) {
    all &= !test.summary || test.summary->ok == 0;
    for (size_t i = 0; all && i < test.edges.size(); ++i) {
      // Reasons are of edges that are not complete.
      const bool denied = test.edges.state(i) != model::EdgeState::complete &&
                          test.edges.at(i).reason == model::reason::kPermission;
      any |= denied;
      all &= denied;
    }
  }
  return any && all;
}

bool unjudged(const model::TestReport& test) {
  if (test.verdict != model::Verdict::none) return false;
  for (size_t i = 0; i < test.edges.size(); ++i)
    if (test.edges.state(i) != model::EdgeState::complete) return true;
  return false;
}

// A check measures nothing and has no verdict: what it says is which edges could not be prepared.
int exit_for_check(const model::Report& report, bool allow_incomplete) {
  bool broken = false, denied = true;
  for (const auto& test : report.tests) {
    for (size_t i = 0; i < test.edges.size(); ++i) {
      if (test.edges.state(i) == model::EdgeState::complete) continue;
      broken = true;
      denied = denied && test.edges.at(i).reason == model::reason::kPermission;
    }
  }
  if (broken && denied) return kDenied;
  return broken && !allow_incomplete ? kIncomplete : kOk;
}

}  // namespace

int exit_for(const model::Report& report, bool allow_incomplete) {
  if (report.check) return exit_for_check(report, allow_incomplete);
  if (lacks_privilege(report)) return kDenied;
  if (report.verdict == model::Verdict::fail) return kFailed;
  const bool unknown = report.verdict == model::Verdict::unknown || report.state == model::RunState::failed ||
                       report.state == model::RunState::cancelled ||
                       std::any_of(report.tests.begin(), report.tests.end(), unjudged);
  return unknown && !allow_incomplete ? kIncomplete : kOk;
}

int exit_for(const Error& error) {
  switch (error.code) {
    case Errc::invalid:
    case Errc::exists:
    case Errc::unsupported: return kUsage;
    case Errc::not_found: return kNothing;
    case Errc::denied: return kDenied;
    case Errc::unavailable:
    case Errc::timed_out: return kUnreachable;
    case Errc::cancelled: return kInterrupted;
    case Errc::exhausted:
    case Errc::corrupt:
    case Errc::system: return kInternal;
  }
  return kInternal;
}

int complain(const Error& error) {
  fprintf(stderr, "todd: %s\n", error.detail.c_str());
  return exit_for(error);
}

}  // namespace todd::cli
