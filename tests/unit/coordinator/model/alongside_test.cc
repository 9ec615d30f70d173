// Tests alongside others: as written, as planned, and what is expected of them.
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/model/json.h"
#include "coordinator/model/plan.h"
#include "coordinator/model/table.h"
#include "tests/unit/coordinator/model/fixtures.h"
#include "tests/unit/coordinator/model/reports.h"

namespace todd::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// A bulk test with `alongside` as given, and more of its own keys behind.
std::string suite_text(const std::string& alongside, const std::string& more = "") {
  return "tests:\n  - {name: bulk, testlet: iperf, from: branches, to: datacenters, params: {duration: 5s}, "
         "alongside: " +
         alongside + more + "}\n";
}

Result<std::vector<TestPlan>> plan_text_of(const std::string& text) {
  auto documents = parse_documents(text, "f.yaml");
  if (!documents) return tl::unexpected(documents.error());
  auto known = testlets();
  known["other"] = ping_testlet();
  known["other"].id = "other";
  known["other"].metrics.push_back(metric("own", "1", stats::Kind::gauge));
  return plan_suite(documents->suites.at(0), groups(), fleet(), known);
}

std::vector<TestPlan> plans_of(const std::string& alongside, const std::string& more = "") {
  auto plans = plan_text_of(suite_text(alongside, more));
  if (!plans) throw std::runtime_error(plans.error().detail);
  return *plans;
}

std::string error_of(const std::string& alongside, const std::string& more = "") {
  const auto plans = plan_text_of(suite_text(alongside, more));
  return plans ? "no error" : plans.error().detail;
}

TEST(AlongsideTest, IsOneOrAListWithTimesOfItsOwn) {
  const auto tests = [](const std::string& alongside) {
    return parse_documents(suite_text(alongside), "f.yaml").value().suites.at(0).tests.at(0).alongside;
  };
  const auto one = tests("{testlet: ping}");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].name, "ping");
  EXPECT_EQ(one[0].before_ns, 2'000'000'000);
  EXPECT_EQ(one[0].after_ns, 1'000'000'000);
  const auto two = tests("[{testlet: ping, before: 0, after: 1m}, {testlet: ping, name: udp}]");
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].before_ns, 0);
  EXPECT_EQ(two[0].after_ns, 60'000'000'000);
  EXPECT_EQ(two[1].name, "udp");
}

TEST(AlongsideTest, WhatItCannotSayIsRefusedWithItsPlace) {
  for (const char* key : {"from: branches", "to: {agent: dc-1}", "pairing: ring", "both_ways: true",
                          "family: v4", "address: 192.0.2.0/24", "at_once: 2", "parallel: true"}) {
    EXPECT_THAT(error_of(std::string("{testlet: ping, ") + key + "}"),
                StartsWith("f.yaml:2:118: a test alongside another has the edges of that one: leave \""));
  }
  EXPECT_EQ(error_of("{testlet: ping, alongside: {testlet: ping}}"),
            "f.yaml:2:118: a test alongside another has none alongside itself: list them all with the first");
  EXPECT_EQ(error_of("{testlet: ping, before: 2}"),
            "f.yaml:2:118: \"before\" of a test alongside: \"2\": 2 what? write 2s or 2ms");
  EXPECT_EQ(error_of("{testlet: ping, after: 2h}"),
            "f.yaml:2:118: \"after\" of a test alongside: 2h is out of range, allowed 0 to 1h");
  EXPECT_THAT(error_of("{testlet: ping, after: -1s}"), HasSubstr("-1s is out of range, allowed 0 to 1h"));
  EXPECT_THAT(error_of("{testlet: ping, name: A B}"), HasSubstr("\"A B\" is no name"));
  EXPECT_THAT(error_of("{testlet: ping, befor: 2s}"), HasSubstr("did you mean \"before\"?"));
  EXPECT_THAT(error_of("ping"),
              HasSubstr("f.yaml:2:102: \"alongside\" is a test, {testlet: ping}, or a list"));
  EXPECT_THAT(error_of("[ping]"), HasSubstr("a test alongside must be a map"));
}

TEST(AlongsideTest, WhatCannotGoAlongIsRefusedWithItsPlace) {
  EXPECT_EQ(error_of("{testlet: pin}"),
            "f.yaml:2:102: test \"bulk+pin\": there is no testlet \"pin\": did you mean \"ping\"?");
  EXPECT_THAT(error_of("{testlet: iperf}"),
              StartsWith("f.yaml:2:102: test \"bulk+iperf\": iperf is heavy: "));
  EXPECT_EQ(error_of("[{testlet: ping}, {testlet: ping}]"),
            "f.yaml:2:120: two tests are named \"bulk+ping\": give each a name of its own");
  for (const char* key : {"count", "requests", "duration", "ramp", "warm_up"}) {
    EXPECT_THAT(error_of(std::string("{testlet: ping, params: {") + key + ": 5}}"),
                StartsWith(std::string("f.yaml:2:127: test \"bulk+ping\": ") + key +
                           ": a test alongside lasts from \"before\" the other to \"after\" it"));
  }
  EXPECT_THAT(error_of("{testlet: ping, params: {intervall: 1s}}"),
              StartsWith("f.yaml:2:127: test \"bulk+ping\": "));
  const auto many = plan_text_of(
      "tests: [{name: wide, testlet: ping, from: {agent: dc-1}, to: {hosts: [10.0.0.0/19]}, "
      "alongside: {testlet: other}}]\n");
  ASSERT_FALSE(many);
  EXPECT_THAT(many.error().detail,
              HasSubstr("test \"wide+other\": dc-1 would have 8190 targets; of more than 4096"));
}

TEST(AlongsideTest, TakesEdgesTurnsAndWayOfTheOther) {
  const auto plans =
      plan_text_of(
          "tests: [{name: bulk, testlet: iperf, from: branches, to: {hosts: ['192.0.2.9:5201']}, params: "
          "{duration: 5s, interface: eth1, mark: 7}, alongside: {testlet: ping, params: {mark: 8}}}]\n")
          .value();
  ASSERT_EQ(plans.size(), 2u);
  const TestPlan& ping = plans[1];
  EXPECT_EQ(ping.alongside, "bulk");
  ASSERT_EQ(ping.edges.size(), 3u);
  EXPECT_EQ(ping.edges[0].target.host, "192.0.2.9");
  EXPECT_EQ(ping.edges[0].target.port, 0) << "that is iperf's";
  EXPECT_EQ(plans[0].edges[0].target.port, 5201);
  EXPECT_EQ(ping.at_once, 1u);
  EXPECT_EQ(ping.host.count, 0u);
  EXPECT_EQ(ping.host.duration_ns, 0);
  EXPECT_EQ(ping.host.interval_ns, 20'000'000);
  EXPECT_EQ(ping.host.period_ns, 100'000'000);
  EXPECT_EQ(ping.host.egress.interface, "eth1");
  EXPECT_EQ(ping.host.egress.mark, 8u);
  EXPECT_EQ(ping.main_ns, 5'000'000'000);
  EXPECT_DOUBLE_EQ(ping.loads.at(0).packets_per_s, 50);  // one edge at a time
  EXPECT_DOUBLE_EQ(plans_of("{testlet: ping, params: {rate: 10}}")[1].host.rate, 10);
}

TEST(AlongsideTest, TheHostOfAUrlIsTested) {
  auto known = testlets();
  known["http"] = ping_testlet();
  known["http"].id = "http";
  known["http"].target_kind = "url";
  const auto suite = parse_documents(
                         "tests: [{name: web, testlet: http, from: branches, to: {urls: "
                         "['https://www.example.com:8443/x']}, "
                         "alongside: {testlet: ping}}]\n",
                         "f.yaml")
                         .value()
                         .suites.at(0);
  const auto plans = plan_suite(suite, groups(), fleet(), known);
  ASSERT_TRUE(plans) << plans.error().detail;
  const Edge& edge = plans->at(1).edges.at(0);
  EXPECT_EQ(edge.target.url, "");
  EXPECT_EQ(edge.target.host, "www.example.com");
  EXPECT_EQ(edge.target.port, 0);
  EXPECT_EQ(edge.target_name, plans->at(0).edges.at(0).target_name);
}

TEST(AlongsideTest, OnlyTheOtherCanBeNamedAlone) {
  const auto documents = parse_documents(suite_text("{testlet: ping}"), "f.yaml");
  const auto with = [&](const std::string& only) {
    return plan_suite(documents->suites[0], groups(), fleet(), testlets(), {}, {only});
  };
  EXPECT_EQ(with("bulk")->size(), 2u);
  EXPECT_EQ(with("bulk+ping").error().detail,
            "--only bulk+ping: it goes along with bulk, which brings it: name that");
}

TEST(AlongsideTest, ExpectationsOfWindowsGoToTheTestThatHasThem) {
  auto plans = plans_of(
      "{testlet: ping}",
      ", expect: [throughput > 1M, p99(loaded.rtt) < 50ms, {that: 'total: idle.loss < 1%', severity: warn}]");
  ASSERT_EQ(plans[0].expectations.size(), 1u);
  EXPECT_EQ(plans[0].expectations[0].text, "throughput > 1M");
  ASSERT_EQ(plans[1].expectations.size(), 3u);  // with ping's own
  EXPECT_EQ(plans[1].expectations[1].window, Window::loaded);
  EXPECT_EQ(plans[1].expectations[1].metric.name, "rtt");
  EXPECT_EQ(plans[1].expectations[2].window, Window::idle);
  EXPECT_EQ(plans[1].expectations[2].severity, Severity::warn);
  plans = plans_of("[{testlet: ping}, {testlet: other}]", ", expect: [loaded.own < 5]");
  EXPECT_EQ(plans[2].expectations.back().text, "loaded.own < 5");
  plans = plans_of("{testlet: ping, expect: [loaded.responsiveness > 300, p50(rtt) < 1s]}");
  EXPECT_EQ(plans[1].expectations.at(0).metric.unit, "{round_trip}/min");
  EXPECT_EQ(plans[0].expectations.at(0).text, "throughput > 0");  // its default

  EXPECT_EQ(
      error_of("[{testlet: ping}, {testlet: other}]", ", expect: [p99(loaded.rtt) < 1s]"),
      "f.yaml:2:148: expectation \"p99(loaded.rtt) < 1s\": both bulk+ping and bulk+other have that: write it "
      "into \"expect\" of the one that is meant");
  EXPECT_THAT(error_of("{testlet: ping}", ", expect: [p99(loaded.rrt) < 1s]"),
              HasSubstr("ping has no metric \"rrt\": did you mean \"rtt\"?"));
  EXPECT_THAT(error_of("{testlet: ping}", ", expect: [rate(idle.sent) > 1]"),
              HasSubstr("there is no rate() of idle.sent"));
  EXPECT_THAT(error_of("[]", ", expect: [p99(idle.rtt) < 1s]"),
              HasSubstr("of a test alongside this one, and there is none"));
}

TEST(AlongsideTest, WarnsByTheTimeOfEachWindow) {
  // 20 ms: 150 answers while idle, 250 while loaded.
  const auto plans = plans_of(
      "{testlet: ping, expect: [p99(idle.rtt) < 1s, 'p99.5(idle.rtt) < 1s', 'p99.5(loaded.rtt) < 1s']}");
  EXPECT_THAT(plans[1].warnings,
              ElementsAre("\"p99.5(idle.rtt) < 1s\" will be unknown: it needs 200 answers, 150 are planned"));
  EXPECT_THAT(plans_of("{testlet: ping, params: {interval: 1s}, expect: [p99(loaded.rtt) < 1s]}")[1].warnings,
              ElementsAre("\"p99(loaded.rtt) < 1s\" will be unknown: it needs 100 answers, 5 are planned"));
}

TEST(AlongsideTest, ThePlanShowsItBelowTheOther) {
  const Suite suite =
      parse_documents(suite_text("{testlet: ping, before: 500ms}"), "f.yaml").value().suites.at(0);
  const std::string text = plan_text(suite, plans_of("{testlet: ping, before: 500ms}"));
  EXPECT_THAT(text, HasSubstr("  bulk+ping (ping 1.0): alongside bulk, from 500 ms before to 1 s after it\n"
                              "    source    branch-1: 2 edges, 50 probes/s, 33.6 kbit/s\n"));
  EXPECT_THAT(text, Not(HasSubstr("at the same time")));
}

TEST(AlongsideTest, ResponsivenessIsRoundTripsPerMinute) {
  stats::Values values;
  add_window_metrics(values);
  EXPECT_THAT(values, IsEmpty());
  values["rtt"].kind = stats::Kind::histogram;
  add_window_metrics(values);
  EXPECT_EQ(values.size(), 1u);
  values["rtt"].histogram.add(100'000'000, 1);
  values["rtt"].histogram.add(300'000'000, 1);
  add_window_metrics(values);
  EXPECT_DOUBLE_EQ(values.at("responsiveness").gauge, 300);
  const auto expectation = parse_expectation("loaded.responsiveness >= 300", ping_testlet(), true);
  ASSERT_TRUE(expectation) << expectation.error().detail;
  EdgeData edge;
  edge.has_data = true;
  edge.metrics = values;
  EXPECT_EQ(evaluate_edge(*expectation, edge), Verdict::pass);
  EXPECT_FALSE(parse_expectation("responsiveness > 300", ping_testlet(), true));
  for (const char* text : {"idle.rtt", "p9(idle.rtt) < 1s", "total:loaded.rtt", "p9(\n loaded.rtt) < 1s"})
    EXPECT_TRUE(names_window(text)) << text;
  for (const char* text : {"rtt", "xidle.rtt", "errors[idle.x] > 1"})
    EXPECT_FALSE(names_window(text)) << text;
  EXPECT_FALSE(parse_expectation("loaded.responsiveness > 300", iperf_testlet(), true)) << "it has no rtt";
}

TEST(AlongsideTest, ReportsHaveBothWindows) {
  Report report = small_report();
  TestReport& test = report.tests[0];
  test.name = "bulk+ping", test.alongside = "bulk";
  EdgeReport& edge = test.edges[0];
  edge.loaded = edge.idle = edge.metrics;
  edge.loaded["rtt"].p50 = 0.08;
  edge.loaded["responsiveness"] = {MetricKind::gauge, "{round_trip}/min", 612.4};
  test.loaded = edge.loaded;
  std::string json;
  JsonWriter writer(json);
  write_report(writer, report);
  EXPECT_THAT(json, HasSubstr("\"alongside\":\"bulk\""));
  const auto read = read_report(json);
  ASSERT_TRUE(read) << read.error().detail;
  EXPECT_EQ(read->tests[0].alongside, "bulk");
  EXPECT_EQ(read->tests[0].edges[0].idle.size(), 3u);
  EXPECT_EQ(read->tests[0].edges[0].loaded.at("responsiveness").value, 612.4);
  EXPECT_EQ(read->tests[0].loaded.size(), 4u);
  EXPECT_THAT(read->tests[0].idle, IsEmpty());

  const std::string text = report_table(report, {.width = 120});
  EXPECT_THAT(text, HasSubstr("bulk+ping  (ping)  branches → datacenters  alongside bulk\n"));
  EXPECT_THAT(text, HasSubstr("      idle             11 ms  23.4 ms   1 %\n"
                              "      loaded           80 ms  23.4 ms   1 %  612 round trips/min\n"));
}

}  // namespace
}  // namespace todd::model
