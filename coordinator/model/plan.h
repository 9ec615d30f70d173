#pragma once
// A suite made ready to run: params checked, groups expanded, load and duration estimated.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/model/expand.h"
#include "coordinator/model/expect.h"
#include "coordinator/model/facts.h"
#include "coordinator/model/objects.h"
#include "coordinator/model/param_form.h"
#include "engine/base/result.h"
#include "engine/manifest/manifest.h"
#include "engine/manifest/params.h"

namespace todd::model {

// What a test asks of one agent in one role. Estimates, from the params alone.
struct Load {
  std::string agent;
  bool responder = false;
  uint64_t edges = 0;
  uint64_t targets = 0;      // what the edges' ranges stand for
  double packets_per_s = 0;  // probes or requests; 0: not known, HUGE_VAL: as fast as it goes
  double bits_per_s = 0;     // 0: not known, HUGE_VAL: as fast as it goes
};

struct TestPlan {
  Test test;              // params with --set applied; alongside empty
  std::string label;      // "bulk", or "bulk+ping" for a test alongside another
  size_t step = 0;        // tests of one step run side by side, steps one after another
  std::string alongside;  // label of the test it goes along with, which has the same edges; empty: none
  int64_t main_ns = 0;    // of one alongside: estimate of a turn of that test; 0: not known
  manifest::Testlet testlet;
  std::vector<manifest::TypedValue> params;  // one per testlet.params
  manifest::HostParams host;
  std::vector<Edge> edges;
  std::vector<Expectation> expectations;  // the testlet's default where the test names none
  uint32_t at_once = 0;                   // edges at a time per agent; 0: all
  std::vector<Load> loads;                // sources, then responders, by name
  int64_t duration_ns = 0;                // estimate; 0: not known
  std::vector<std::string> warnings;
};

// sets: "TEST.PARAM" -> value, replaces what the file says. only: names of tests; empty: all. Every error
// begins with origin:line:column (but for
// those about sets and only), and names the nearest of what there is.
Result<std::vector<TestPlan>> plan_suite(const Suite& suite, const std::vector<Group>& groups,
                                         const std::vector<Facts>& agents,
                                         const std::map<std::string, manifest::Testlet>& testlets,
                                         const std::map<std::string, std::string>& sets = {},
                                         const std::vector<std::string>& only = {});

// The host's params by what was given. One alongside another has no end of its own (count and duration 0).
Result<manifest::HostParams> host_params_of(const TestPlan& plan);

// Of a test alongside another: how long after that one has ended an answer, or that there was none, may still
// be of a probe that was sent before.
inline int64_t settle_ns(const TestPlan& plan) { return plan.host.timeout_ns + manifest::kWarmUpSettleNs; }
// How long it goes on after that one: for `after` behind this.
inline int64_t tail_ns(const TestPlan& plan) {
  return plan.test.after_ns == 0 ? 0 : settle_ns(plan) + plan.test.after_ns;
}

// What was given for it, as reports show it.
std::map<std::string, ParamReport> params_of(const TestPlan& plan);

// The edges of their report: each address of a range is one.
uint64_t report_edges(const std::vector<TestPlan>& plans);

// The plan for --dry-run: per test the edges, load per agent, duration, warnings.
std::string plan_text(const Suite& suite, const std::vector<TestPlan>& plans);

}  // namespace todd::model
