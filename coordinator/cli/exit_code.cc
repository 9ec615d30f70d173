#include "coordinator/cli/exit_code.h"

#include <algorithm>
#include <cstdio>
#include <optional>

namespace todd::cli {
namespace {

namespace reason = model::reason;

// The code of a reason that whoever asked has to mend before a measurement means anything.
std::optional<ExitCode> code_of(const std::string& why) {
  if (why == reason::kPermission || why == reason::kDenied) return ExitCode::kDenied;
  for (const char* asked : {reason::kBadParam, reason::kNameResolution, reason::kUnsupported,
                            reason::kTestletMissing, reason::kSecretMissing})
    if (why == asked) return kUsage;
  return std::nullopt;
}

// Where not one edge could be measured, and all for such reasons: the code of the first. A missing privilege
// and wrong words side by side are mended one after the other.
std::optional<ExitCode> nothing_measured(const model::Report& report) {
  std::optional<ExitCode> code;
  for (const auto& test : report.tests) {
    if (test.summary && test.summary->ok != 0) return std::nullopt;
    for (size_t i = 0; i < test.edges.size(); ++i) {
      // Reasons are of edges that are not complete.
      if (test.edges.state(i) == model::EdgeState::complete) return std::nullopt;
      const std::string why = test.edges.at(i).reason;
      if (why == reason::kMainNotRun) continue;  // the edges of that test say why
      const auto own = code_of(why);
      if (!own) return std::nullopt;
      if (!code) code = own;
    }
  }
  return code;
}

bool unjudged(const model::TestReport& test) {
  if (test.verdict != model::Verdict::none) return false;
  for (size_t i = 0; i < test.edges.size(); ++i)
    if (test.edges.state(i) != model::EdgeState::complete) return true;
  return false;
}

// A check measures nothing and has no verdict: what it says is which edges could not be prepared.
int exit_for_check(const model::Report& report, bool allow_incomplete) {
  bool broken = false, other = false;
  std::optional<ExitCode> code;
  for (const auto& test : report.tests) {
    for (size_t i = 0; i < test.edges.size(); ++i) {
      if (test.edges.state(i) == model::EdgeState::complete) continue;
      const std::string why = test.edges.at(i).reason;
      if (why == reason::kMainNotRun) continue;
      broken = true;
      const auto own = code_of(why);
      other |= !own;
      if (!code) code = own;
    }
  }
  if (broken && !other) return *code;
  return broken && !allow_incomplete ? kIncomplete : kOk;
}

}  // namespace

int exit_for(const model::Report& report, bool allow_incomplete) {
  if (report.check) return exit_for_check(report, allow_incomplete);
  if (const auto code = nothing_measured(report)) return *code;
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
