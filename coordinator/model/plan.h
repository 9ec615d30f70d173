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
  Test test;          // params with --set applied; alongside empty
  std::string label;  // "bulk", or "bulk+ping" for a test alongside another
  size_t step = 0;    // tests of one step run side by side, steps one after another
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

// What was given for it, as reports show it.
std::map<std::string, ParamReport> params_of(const TestPlan& plan);

// The edges of their report: each address of a range is one.
uint64_t report_edges(const std::vector<TestPlan>& plans);

// The plan for --dry-run: per test the edges, load per agent, duration, warnings.
std::string plan_text(const Suite& suite, const std::vector<TestPlan>& plans);

}  // namespace todd::model
