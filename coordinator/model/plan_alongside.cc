#include "coordinator/model/plan_alongside.h"

#include <map>

#include <fmt/format.h>

#include "coordinator/model/plan_estimate.h"
#include "engine/stats/cells.h"

namespace todd::model {

namespace {

// 20 ms: 100 answers, which a p99 needs, in the two seconds before the other test. 100 ms: what is measured
// while that begins or ends belongs to neither time, and is a tenth of a second each.
constexpr const char* kInterval = "20ms";
constexpr const char* kPeriod = "100ms";

}  // namespace

Result<manifest::HostParams> host_params_of(const TestPlan& plan) {
  if (plan.alongside.empty()) return manifest::resolve_host_params(plan.testlet, plan.test.params);
  auto params = plan.test.params;
  params["duration"] = "1s";  // in place of the testlet's own end
  auto host = manifest::resolve_host_params(plan.testlet, params);
  if (host) host->duration_ns = 0;
  return host;
}

Status fit_params(TestPlan& plan, const TestPlan& main) {
  if (plan.testlet.heavy) {
    return fail(Errc::invalid, fmt::format("{} is heavy: beside another test it would measure what that one "
                                           "leaves over, and be its load; take a light one, such as ping",
                                           plan.testlet.id));
  }
  auto& params = plan.test.params;
  for (const char* key : {"count", "requests", "duration", "ramp", "warm_up"}) {
    if (!params.contains(key)) continue;
    return fail(
        Errc::invalid,
        fmt::format("{}: a test alongside lasts from \"before\" the other to \"after\" it; leave {} out", key,
                    key));
  }
  if (plan.testlet.schedule.tickets && !params.contains("interval") && !params.contains("rate"))
    params["interval"] = kInterval;
  if (!params.contains("period")) params["period"] = kPeriod;
  for (const char* key : {"source", "interface", "mark", "flow_label"}) {
    const auto way = main.test.params.find(key);
    if (way != main.test.params.end()) params.emplace(key, way->second);
  }
  return {};
}

Status take_edges(TestPlan& plan, const TestPlan& main) {
  plan.edges = main.edges;
  std::map<std::string, uint64_t> targets;  // by source
  for (Edge& edge : plan.edges) {
    if (plan.testlet.target_kind != "url") edge.target.url.clear();
    if (edge.target.url.empty()) edge.target.port = 0;
    targets[edge.source.agent] += schedule::count(edge.target).value_or(1);
  }
  for (const auto& [agent, n] : targets) {
    if (n <= stats::kTwoBankEdges) continue;
    return fail(Errc::invalid, fmt::format("{} would have {} targets; of more than {} it is not known what "
                                           "was measured when: name fewer",
                                           agent, n, stats::kTwoBankEdges));
  }
  plan.at_once = main.at_once;
  plan.main_ns = turn_ns(main);
  return {};
}

Result<size_t> whose(const std::string& text, const std::vector<const TestPlan*>& alongside) {
  if (alongside.empty()) {
    return fail(Errc::invalid,
                fmt::format("expectation \"{}\": idle. and loaded. are of a test alongside this one, and "
                            "there is none",
                            text));
  }
  std::vector<size_t> fits;
  Error first;
  for (size_t i = 0; i < alongside.size(); ++i) {
    if (const auto parsed = parse_expectation(text, alongside[i]->testlet, true))
      fits.push_back(i);
    else if (first.detail.empty())
      first = parsed.error();
  }
  if (fits.empty()) return tl::unexpected(first);
  if (fits.size() > 1) {
    return fail(Errc::invalid, fmt::format("expectation \"{}\": both {} and {} have that: write it into "
                                           "\"expect\" of the one that is meant",
                                           text, alongside[fits[0]]->label, alongside[fits[1]]->label));
  }
  return fits[0];
}

}  // namespace todd::model
