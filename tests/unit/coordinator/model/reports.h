#pragma once
#include <cmath>

#include "coordinator/model/report.h"

namespace todd::model {

// One test with an edge that failed and one that has no data.
inline Report small_report() {
  MetricReport rtt{
      MetricKind::histogram, "s", 0, 99, 1.1, 0.01, 0.03, 0.0111, 0.001, 0.011, 0.02, 0.021, 0.0234, 0.03};
  MetricReport loss{MetricKind::ratio, "1", 0.01};
  MetricReport status{MetricKind::breakdown, "{response}"};
  status.values = {{"200", 118}, {"503", 2}};

  EdgeReport edge;
  edge.source_agent = "branch-1";
  edge.source_groups = {"branches"};
  edge.target_name = edge.target_agent = "dc-1";
  edge.target_groups = {"datacenters"};
  edge.address = "198.51.100.1";
  edge.resolve_s = 0.0025;
  edge.verdict = Verdict::fail;
  edge.state = EdgeState::complete;
  edge.metrics = {{"rtt", rtt}, {"loss", loss}, {"status", status}};
  edge.info = {{"tls_version", "1.3"}};
  edge.examples = {{1'000'000'000'000'001'000, "timeout", "no answer in 1 s"}};
  edge.periods = {{1'000'000'000'000'000'000, 1, true, {{"loss", loss}}}};
  edge.samples = {{1'000'000'000'000'000'000, 0.01, "ok", 7, 64, "kernel", "kernel"},
                  {1'000'000'000'000'000'000, NAN, "timeout", 8, -1, "kernel", ""}};
  edge.quality = {
      Grade::suspect, {"local_drops"}, "kernel", "kernel", "uring", 0.001, 3, 0.0002, 4, 5, 0.25, 0.5, 2, 1};

  EdgeReport lost;
  lost.source_agent = "branch-2";
  lost.target_name = lost.target_agent = "dc-1";
  lost.verdict = Verdict::unknown;
  lost.state = EdgeState::no_data;
  lost.reason = reason::kAgentLost;

  TestReport test;
  test.name = "latency";
  test.testlet = "ping";
  test.testlet_version = "1.0";
  test.params["count"].text = "100";
  test.params["header"] = {ParamForm::list, "A: b\nC: d"};
  test.params["password"] = {ParamForm::secret, "db"};
  test.params["none"] = {ParamForm::list, ""};
  test.from = "branches";
  test.to = "datacenters";
  test.verdict = Verdict::fail;
  test.total = {{"loss", loss}, {"rtt", rtt}};
  test.edges = {edge, lost};
  test.expectations = {{"p99(rtt) < 20ms", Severity::fail, Verdict::fail, "23.4 ms", "branch-1 → dc-1",
                        "branch-2 → dc-1: no data"},
                       {"loss < 0.5%", Severity::warn, Verdict::fail, "1 %", "branch-1 → dc-1", ""}};

  Report report;
  report.id = "4f2a";
  report.suite = "branch-health";
  report.state = RunState::partial;
  report.verdict = Verdict::fail;
  report.labels = {{"change", "42"}};
  report.started_at_ns = 1'000'000'000'000'000'000;
  report.finished_at_ns = 1'000'000'002'500'000'000;
  report.tests = {test};
  report.agents = {{"branch-2", "id-2", "0.1.0", false, "uring", 0.001, 0.0002, "link lost"}};
  report.delivery = {{"influx", "pending", 3, 10, 0}};
  return report;
}

}  // namespace todd::model
