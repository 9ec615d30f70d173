#include "coordinator/model/plan.h"

#include <cmath>

#include <fmt/printf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/model/fixtures.h"

namespace todd::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Suite suite_of(const std::string& text) {
  auto documents = parse_documents(text, "f.yaml");
  if (!documents) throw std::runtime_error(documents.error().detail);
  return documents->suites.at(0);
}

using Sets = std::map<std::string, std::string>;

Result<std::vector<TestPlan>> plan(const std::string& text, const Sets& sets = {},
                                   const std::vector<std::string>& only = {},
                                   const std::vector<Facts>& agents = fleet()) {
  return plan_suite(suite_of(text), groups(), agents, testlets(), sets, only);
}

std::string error_of(const std::string& text, const Sets& sets = {},
                     const std::vector<std::string>& only = {}) {
  auto plans = plan(text, sets, only);
  return plans ? "no error" : plans.error().detail;
}

constexpr const char* kSuite = R"(tests:
  - name: latency
    testlet: ping
    from: branches
    to: datacenters
    params: {count: 1000, interval: 10ms, size: 72}
    expect: [p99(rtt) < 20ms, loss < 0.5%]
  - name: bulk
    testlet: iperf
    from: branches
    to: datacenters
    params: {duration: 5s, bitrate: 50M}
    alongside: [{testlet: ping, params: {interval: 20ms}}]
  - {name: beside, testlet: ping, from: branches, to: datacenters, parallel: true}
)";

TEST(PlanTest, ResolvesEverything) {
  auto plans = plan(kSuite);
  ASSERT_TRUE(plans) << plans.error().detail;
  ASSERT_EQ(plans->size(), 4u);
  const TestPlan& latency = (*plans)[0];
  EXPECT_EQ(latency.label, "latency");
  EXPECT_EQ(latency.host.count, 1000u);
  EXPECT_EQ(latency.host.interval_ns, 10'000'000);
  EXPECT_EQ(latency.params.at(0).i, 72);
  EXPECT_EQ(latency.edges.size(), 6u);
  EXPECT_EQ(latency.expectations.size(), 2u);
  EXPECT_THAT(latency.warnings, IsEmpty());
  EXPECT_NEAR(static_cast<double>(latency.duration_ns), 11e9, 1e6);
  // Three sources with two edges of 100 probes/s each; then two responders with three.
  ASSERT_EQ(latency.loads.size(), 5u);
  EXPECT_EQ(latency.loads[0].agent, "branch-1");
  EXPECT_DOUBLE_EQ(latency.loads[0].packets_per_s, 200);
  EXPECT_DOUBLE_EQ(latency.loads[0].bits_per_s, 200 * 100 * 8);
  EXPECT_TRUE(latency.loads[4].responder);
  EXPECT_DOUBLE_EQ(latency.loads[4].packets_per_s, 300);
}

TEST(PlanTest, StepsFollowFileOrderAlongsideAndParallel) {
  auto plans = plan(kSuite);
  EXPECT_EQ((*plans)[0].step, 0u);
  EXPECT_EQ((*plans)[1].step, 1u);
  EXPECT_EQ((*plans)[2].step, 1u);
  EXPECT_EQ((*plans)[2].label, "bulk+ping");
  EXPECT_EQ((*plans)[2].edges.size(), 6u);
  EXPECT_EQ((*plans)[3].step, 1u);
}

TEST(PlanTest, HeavyTestsRunOneEdgeAtATime) {
  auto plans = plan(kSuite);
  const TestPlan& bulk = (*plans)[1];
  EXPECT_EQ(bulk.at_once, 1u);
  EXPECT_EQ(bulk.expectations.at(0).text, "throughput > 0");
  EXPECT_DOUBLE_EQ(bulk.loads[0].bits_per_s, 50e6);
  // Three edges per datacenter, one after another; each ends with its duration and waits for no answer. The
  // ping alongside begins 2 s before each, and goes on for its timeout, 100 ms, and 1 s.
  EXPECT_EQ(bulk.duration_ns, 27'300'000'000);
}

TEST(PlanTest, SetsReplaceParams) {
  auto plans = plan(kSuite, {{"latency.count", "20"}, {"bulk+ping.interval", "1s"}});
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_EQ((*plans)[0].host.count, 20u);
  EXPECT_EQ((*plans)[2].host.interval_ns, 1'000'000'000);
  EXPECT_EQ(error_of(kSuite, {{"latncy.count", "20"}}),
            "--set latncy.count: suite \"f\" has no test \"latncy\": did you mean \"latency\"?");
  EXPECT_EQ(error_of(kSuite, {{"count", "20"}}), "--set count: write TEST.PARAM=VALUE");
  EXPECT_THAT(error_of(kSuite, {{"latency.cont", "20"}}), HasSubstr("did you mean \"count\"?"));
}

TEST(PlanTest, OnlyKeepsTheNamedTests) {
  auto plans = plan(kSuite, {}, {"bulk"});
  ASSERT_EQ(plans->size(), 2u);
  EXPECT_EQ((*plans)[1].label, "bulk+ping");
  EXPECT_EQ(error_of(kSuite, {}, {"bluk"}),
            "--only bluk: suite \"f\" has no test \"bluk\": did you mean \"bulk\"?");
}

TEST(PlanTest, ErrorsBeginWithThePlaceAndNameTheNearest) {
  const auto one = [](const std::string& test) { return error_of("tests:\n  - " + test + "\n"); };
  EXPECT_EQ(one("{testlet: pin, from: branches, to: datacenters}"),
            "f.yaml:2:5: test \"pin\": there is no testlet \"pin\": did you mean \"ping\"?");
  EXPECT_THAT(one("{testlet: ping, from: branches, to: datacenters, params: {cuont: 5}}"),
              StartsWith("f.yaml:2:63: test \"ping\": "));
  EXPECT_THAT(one("{testlet: ping, from: branches, to: datacenters, params: {cuont: 5}}"),
              HasSubstr("did you mean \"count\"?"));
  EXPECT_THAT(one("{testlet: ping, from: branches, to: datacenters, params: {count: 5, interval: 10}}"),
              StartsWith("f.yaml:2:73: test \"ping\": interval"));
  EXPECT_EQ(one("{testlet: ping, from: branchez, to: datacenters}"),
            "f.yaml:2:5: test \"ping\": there is no group \"branchez\": did you mean \"branches\"?");
  EXPECT_THAT(one("{testlet: ping, from: branches, to: datacenters, expect: [p99(rrt) < 1s]}"),
              StartsWith("f.yaml:2:63: expectation \"p99(rrt) < 1s\": ping has no metric"));
  EXPECT_THAT(one("{testlet: ping, from: branches, to: {urls: ['http://x/']}}"),
              StartsWith("f.yaml:2:41: ping takes no URLs"));
}

TEST(PlanTest, WarnsWhereTheCountCannotResolveALimit) {
  auto plans = plan(
      "tests: [{testlet: ping, from: branches, to: datacenters, params: {count: 100, interval: 1ms}, "
      "expect: ['p99.9(rtt) < 1s', loss < 0.5%, 'total: loss < 0.5%', p99(rtt) < 1s]}]");
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_THAT(
      (*plans)[0].warnings,
      ElementsAre(
          "\"p99.9(rtt) < 1s\" will be unknown: it needs 1,000 answers, 100 are planned",
          "\"loss < 0.5%\" will be unknown unless it fails: 100 probes resolve loss by 1 %, it needs 200"));
}

TEST(PlanTest, WarnsOfAgentsThatAreAway) {
  auto agents = fleet();
  agents[4].connected = false;
  auto plans = plan("tests: [{testlet: ping, from: branches, to: datacenters}]", {}, {}, agents);
  EXPECT_THAT((*plans)[0].warnings, ElementsAre("not connected: dc-2; their edges will have no data"));
}

TEST(PlanTest, NetworksCountAllTheirTargets) {
  auto plans = plan(
      "tests: [{testlet: ping, from: {agent: dc-1}, to: {hosts: [192.0.2.0/24]}, params: {interval: 1s, "
      "count: 2}}]");
  ASSERT_TRUE(plans) << plans.error().detail;
  const Load& load = (*plans)[0].loads.at(0);
  EXPECT_EQ(load.edges, 1u);
  EXPECT_EQ(load.targets, 254u);
  EXPECT_DOUBLE_EQ(load.packets_per_s, 254);
}

// Each of the two may be as large as a target may be; together they are more than an agent takes.
TEST(PlanTest, TooManyTargetsOfASourceAreRefused) {
  auto plans =
      plan("tests: [{testlet: ping, from: {agent: dc-1}, to: {hosts: [10.0.0.0/12, 10.16.0.0/12]}}]");
  ASSERT_FALSE(plans);
  EXPECT_EQ(plans.error().code, Errc::invalid);
  EXPECT_NE(plans.error().detail.find(
                "test \"ping\": dc-1 would have 2097148 targets, at most 1048576 are allowed"),
            std::string::npos)
      << plans.error().detail;
  EXPECT_TRUE(plan("tests: [{testlet: ping, from: {agent: dc-1}, to: {hosts: [10.0.0.0/12]}}]"));
}

TEST(PlanTest, RateIsPerSourceOverAllItsEdges) {
  auto plans =
      plan("tests: [{testlet: ping, from: branches, to: datacenters, params: {rate: 100, duration: 10s}}]");
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_DOUBLE_EQ((*plans)[0].loads.at(0).packets_per_s, 100);
  EXPECT_DOUBLE_EQ((*plans)[0].loads.at(3).packets_per_s, 150);  // a responder of three sources' halves
}

TEST(PlanTest, ATextThatDoesNotFitItsPatternIsRefusedWithItsPlace) {
  static constexpr const char* kPatterned =
      "tests: [{testlet: ping, from: branches, to: datacenters, params: {mode: %s}}]";
  const auto with = [](const char* mode) { return fmt::sprintf(kPatterned, mode); };
  EXPECT_TRUE(plan(with("udp-2")));
  EXPECT_THAT(error_of(with("xudp")), HasSubstr("mode: \"xudp\" does not fit: What is sent."));
  EXPECT_THAT(error_of(with("\"udp\\nx\"")), HasSubstr("does not fit"));
}

TEST(PlanTest, ARepeatedParamTakesAListOrOneText) {
  const auto with = [](const std::string& params) {
    return "tests:\n  - {testlet: ping, from: branches, to: datacenters, params: {" + params + "}}\n";
  };
  auto plans = plan(with("header: ['A: b', 'C: d']"));
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_EQ((*plans)[0].params.at(2).s, "A: b\nC: d");
  EXPECT_EQ(params_of((*plans)[0]).at("header"), (ParamReport{ParamForm::list, "A: b\nC: d"}));
  plans = plan(with("header: 'A: b', size: 8"));
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_EQ((*plans)[0].params.at(2).s, "A: b");
  EXPECT_EQ(params_of((*plans)[0]).at("size"), (ParamReport{ParamForm::text, "8"}));
  plans = plan(with("header: []"), {{"ping.header", "X: y"}});
  EXPECT_EQ(plans->at(0).params.at(2).s, "X: y");
  EXPECT_TRUE(plan(with("header: []"))) << "none";
  EXPECT_EQ(error_of(with("size: 8, mode: [udp]")),
            "f.yaml:2:72: test \"ping\": mode: takes one value, not a list");
  EXPECT_THAT(error_of(with("count: [5]")), StartsWith("f.yaml:2:63: test \"ping\": count: takes one"));
  EXPECT_THAT(error_of(with("cuont: [5]")), HasSubstr("did you mean \"count\"?"));
  EXPECT_THAT(error_of(with("header: ['A: b', 'nothing']")), HasSubstr("header: \"nothing\" does not fit"));
  EXPECT_THAT(error_of(with("header: \"A: b\\nC: d\"")), HasSubstr("header: has more than one line"));
  EXPECT_THAT(error_of(with("header: []"), {{"ping.header", "A: b\nC: d"}}), HasSubstr("more than one line"));
}

TEST(PlanTest, ASecretIsNamed) {
  const auto with = [](const std::string& params) {
    return "tests:\n  - {testlet: ping, from: branches, to: datacenters, params: {" + params + "}}\n";
  };
  auto plans = plan(with("password: {secret: db.1}"));
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_EQ((*plans)[0].params.at(3).secret, "db.1");
  EXPECT_EQ((*plans)[0].params.at(3).s, "");
  EXPECT_EQ(params_of((*plans)[0]).at("password"), (ParamReport{ParamForm::secret, "db.1"}));
  plans = plan(with("password: {secret: db}"), {{"ping.password", "secret:other"}});
  EXPECT_EQ(plans->at(0).params.at(3).secret, "other");
  EXPECT_THAT(error_of(with("size: 8, password: geheim")),
              testing::AllOf(StartsWith("f.yaml:2:72: test \"ping\": password: is a secret, which is never"),
                             testing::Not(HasSubstr("geheim"))));
  EXPECT_THAT(error_of(with("size: 8"), {{"ping.password", "geheim"}}),
              testing::AllOf(HasSubstr("password: is a secret"), testing::Not(HasSubstr("geheim"))));
  EXPECT_THAT(error_of(with("password: 'secret:db'")),
              HasSubstr("password: is a secret; write {secret: NAME}"));
  EXPECT_THAT(error_of(with("password: {secret: ../db}")), HasSubstr("password: the name of a secret is"));
  EXPECT_THAT(error_of(with("password: [db]")), HasSubstr("password: takes one value, not a list"));
  EXPECT_EQ(error_of(with("size: 8, mode: {secret: db}")),
            "f.yaml:2:72: test \"ping\": mode: is no secret; write its value");
  EXPECT_THAT(error_of(with("count: {secret: db}")), HasSubstr("count: is no secret"));
}

TEST(PlanTest, ShapeAndBurstAreReckonedWith) {
  auto plans = plan(
      "tests: [{testlet: ping, from: branches, to: datacenters, params: {count: 10, interval: 2s, burst: "
      "4}}]");
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_DOUBLE_EQ((*plans)[0].loads.at(0).packets_per_s, 4);  // two edges
  EXPECT_EQ((*plans)[0].duration_ns, 7'000'000'000);           // 4, 4 and 2 probes, and the timeout
  static constexpr const char* kDrawn =
      "tests: [{testlet: ping, from: branches, to: datacenters, params: {count: 10, shape: %s}}]";
  const auto text = [](const char* shape) {
    const std::string suite = fmt::sprintf(kDrawn, shape);
    return plan_text(suite_of(suite), plan(suite).value());
  };
  EXPECT_THAT(text("uniform"), HasSubstr("6 edges, at most 11 s"));
  EXPECT_THAT(text("poisson"), HasSubstr("6 edges, about 11 s"));
}

TEST(PlanTest, TextShowsEdgesLoadAndDuration) {
  const Suite suite = suite_of(kSuite);
  const std::string text = plan_text(suite, plan(kSuite).value());
  EXPECT_THAT(text, HasSubstr("latency (ping 1.0): 6 edges, at most 11 s\n"));
  EXPECT_THAT(text, HasSubstr("    branch-1 → dc-1  198.51.100.1\n"));
  EXPECT_THAT(text, HasSubstr("    source    branch-1: 2 edges, 200 probes/s, 160 kbit/s\n"));
  EXPECT_THAT(text, HasSubstr("    responder dc-1: 3 edges, 300 probes/s, 240 kbit/s\n"));
  EXPECT_THAT(text, HasSubstr("  bulk+ping (ping 1.0): alongside bulk, from 2 s before to 1 s after it\n"));
  EXPECT_THAT(text, HasSubstr("    expects p99(rtt) < 20ms\n"));
  EXPECT_THAT(text, HasSubstr("4 tests, 24 edges, about "));
}

// A source address settles the family of everything that is sent from it.
TEST(PlanTest, TheSourceGivesTheFamily) {
  static constexpr const char* kFrom =
      "tests:\n  - {name: lat, testlet: ping, from: branches, to: {hosts: [%s]}, params: {source: "
      "192.0.2.9}%s}\n";
  const auto with = [](const char* host, const char* more = "") { return fmt::sprintf(kFrom, host, more); };
  const auto plans = plan(with("www.example.com"));
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_EQ(plans->at(0).edges.at(0).family, Family::v4);
  EXPECT_THAT(error_of(with("\"2001:db8::1\"")), HasSubstr("is IPv6, but the test's family is IPv4"));
  EXPECT_THAT(error_of(with("www.example.com", ", family: v6")),
              HasSubstr("source: 192.0.2.9 is IPv4, which is not the family of the test"));
}

TEST(PlanTest, AFlowLabelMeansIPv6) {
  const auto with = [](const char* host, const char* more = "") {
    return fmt::sprintf(
        "tests:\n  - {name: lat, testlet: ping, from: branches, to: {hosts: [%s]}, params: {flow_label: "
        "7%s}\n",
        host, more);
  };
  const auto plans = plan(with("www.example.com", "}"));
  ASSERT_TRUE(plans) << plans.error().detail;
  EXPECT_EQ(plans->at(0).edges.at(0).family, Family::v6);
  EXPECT_THAT(error_of(with("192.0.2.1", "}")), HasSubstr("is IPv4, but the test's family is IPv6"));
  EXPECT_THAT(error_of(with("www.example.com", "}, family: v4")), HasSubstr("flow_label: only IPv6 has one"));
  EXPECT_THAT(error_of(with("www.example.com", ", source: 192.0.2.9}")),
              HasSubstr("flow_label: only IPv6 has one"));
}

}  // namespace
}  // namespace todd::model
