#include "coordinator/model/expect.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/model/fixtures.h"

namespace todd::model {
namespace {

using testing::HasSubstr;

Expectation parsed(const std::string& text) {
  auto expectation = parse_expectation(text, ping_testlet());
  if (!expectation) throw std::runtime_error(expectation.error().detail);
  return *expectation;
}

std::string error_of(const std::string& text) {
  auto expectation = parse_expectation(text, ping_testlet());
  return expectation ? "no error" : expectation.error().detail;
}

// Answers of rtt_ms each, of `sent` probes.
EdgeData edge(const std::string& name, uint64_t sent, uint64_t answers, uint64_t rtt_ms,
              uint64_t undetermined = 0) {
  EdgeData data;
  data.name = name;
  data.has_data = true;
  data.seconds = 10;
  data.metrics["sent"].counter = sent;
  data.metrics["received"].counter = answers;
  data.metrics["undetermined"].counter = undetermined;
  data.metrics["lost"].counter = sent - answers - undetermined;
  stats::Value rtt;
  rtt.kind = stats::Kind::histogram;
  if (answers > 0) rtt.histogram.add(rtt_ms * 1'000'000, answers);
  data.metrics["rtt"] = rtt;
  return data;
}

EdgeData no_data(const std::string& name) {
  EdgeData data;
  data.name = name;
  return data;
}

Outcome outcome_of(const std::string& text, const std::vector<EdgeData>& edges) {
  EdgeData total = edge("total", 0, 0, 0);
  for (const EdgeData& one : edges) {
    for (const auto& [name, value] : one.metrics)
      stats::merge(total.metrics[name], value, stats::GaugeMerge::sum);
  }
  return evaluate(parsed(text), edges, total);
}

Verdict verdict_of(const std::string& text, const EdgeData& data) { return outcome_of(text, {data}).verdict; }

// Of a task with very many edges: count, sum, least and greatest of rtt, and nothing of what is only
// totalled.
EdgeData flat_edge() {
  EdgeData data = edge("a", 200, 200, 5);
  data.row = Row::flat;
  auto& rtt = data.metrics["rtt"].histogram;
  rtt.buckets.clear();
  rtt.sum_squares = 0;
  rtt.max = 9'000'000;
  return data;
}

TEST(ExpectTest, WhatAFlatRowDoesNotKeepIsUnknown) {
  EXPECT_EQ(verdict_of("max(rtt) < 10ms", flat_edge()), Verdict::pass);
  EXPECT_EQ(verdict_of("mean(rtt) < 1ms", flat_edge()), Verdict::fail);
  EXPECT_EQ(verdict_of("loss < 1%", flat_edge()), Verdict::pass);
  for (const char* text : {"p50(rtt) < 10ms", "stddev(rtt) < 10ms", "errors[refused] == 0"}) {
    EXPECT_EQ(verdict_of(text, flat_edge()), Verdict::unknown) << text;
    EXPECT_THAT(outcome_of(text, {flat_edge()}).reason,
                HasSubstr("kept of all together only; say \"total:\""));
  }
  auto testlet = ping_testlet();
  for (auto& metric : testlet.metrics) metric.only_total = metric.name == "bytes";
  const auto bytes = *parse_expectation("bytes < 1kB", testlet);
  EXPECT_EQ(evaluate_edge(bytes, flat_edge()), Verdict::unknown);
  EXPECT_EQ(evaluate_edge(bytes, edge("a", 1, 1, 1)), Verdict::pass);
  const auto report = to_report(testlet, flat_edge().metrics, Row::flat);
  EXPECT_FALSE(report.contains("bytes"));
  EXPECT_TRUE(to_report(testlet, flat_edge().metrics).contains("bytes"));
  EXPECT_TRUE(std::isnan(report.at("rtt").p50) && std::isnan(report.at("rtt").stddev));
  EXPECT_DOUBLE_EQ(report.at("rtt").max, 0.009);
}

// 1..100 ms, one answer each.
EdgeData spread_edge(const std::string& name, uint64_t answers = 100) {
  EdgeData data = edge(name, answers, 0, 0);
  for (uint64_t ms = 1; ms <= answers; ++ms) data.metrics["rtt"].histogram.add(ms * 1'000'000);
  return data;
}

TEST(ExpectTest, ASpreadIsTheDifferenceOfThePercentilesReported) {
  const auto report = to_report(ping_testlet(), spread_edge("a").metrics);
  const MetricReport& rtt = report.at("rtt");
  const MetricReport& spread = report.at("rtt_spread");
  EXPECT_EQ(spread.kind, MetricKind::spread);
  EXPECT_EQ(spread.unit, "s");
  EXPECT_DOUBLE_EQ(spread.value, rtt.p95 - rtt.p50);
  EXPECT_NEAR(spread.value, 0.045, 0.001);

  auto metric = *ping_testlet().metric("rtt_spread");
  metric.low = 0, metric.high = 1;
  EXPECT_EQ(spread_of(metric, spread_edge("a").metrics), 99e6);
  metric.high = 0.07;  // 100 * 0.07 is more than 7
  EXPECT_EQ(spread_of(metric, spread_edge("a").metrics),
            spread_edge("a").metrics["rtt"].histogram.percentile(7) - 1e6);
}

TEST(ExpectTest, WithoutValuesThereIsNoSpread) {
  const auto metric = *ping_testlet().metric("rtt_spread");
  EXPECT_TRUE(std::isnan(spread_of(metric, {})));
  EXPECT_TRUE(std::isnan(spread_of(metric, edge("a", 10, 0, 0).metrics)));
  EXPECT_TRUE(std::isnan(spread_of(metric, flat_edge().metrics)));
  EXPECT_EQ(spread_of(metric, edge("a", 1, 1, 7).metrics), 0);  // of one value
  EXPECT_FALSE(to_report(ping_testlet(), edge("a", 10, 0, 0).metrics).contains("rtt_spread"));
  EXPECT_FALSE(to_report(ping_testlet(), flat_edge().metrics, Row::flat).contains("rtt_spread"));
}

TEST(ExpectTest, ASpreadCanBeExpected) {
  EXPECT_EQ(parsed("rtt_spread < 2ms").literal, 2e6);
  EXPECT_EQ(verdict_of("rtt_spread < 46ms", spread_edge("a")), Verdict::pass);
  EXPECT_EQ(verdict_of("rtt_spread < 44ms", spread_edge("a")), Verdict::fail);
  EXPECT_EQ(verdict_of("total: rtt_spread < 46ms", spread_edge("a")), Verdict::pass);
  EXPECT_EQ(verdict_of("rtt_spread < 2ms", edge("a", 10, 0, 0)), Verdict::unknown);
  EXPECT_EQ(samples_needed(parsed("rtt_spread < 2ms")), 20u);
  EXPECT_EQ(outcome_of("rtt_spread < 2ms", {spread_edge("a", 19)}).reason,
            "a: 19 answers are too few, it needs 20");
  EXPECT_THAT(outcome_of("rtt_spread < 2ms", {flat_edge()}).reason, HasSubstr("distribution of rtt is kept"));
  EXPECT_THAT(error_of("p99(rtt_spread) < 2ms"), HasSubstr("rtt_spread is a spread: write rtt_spread alone"));
  EXPECT_THAT(error_of("rtt_spread < 2"), HasSubstr("is in ns"));
  EXPECT_THAT(metrics_of(parsed("rtt_spread < 2ms")), testing::Contains("rtt"));
}

TEST(ExpectTest, ParsesTheGrammar) {
  const Expectation p = parsed(" 90% of edges: p99.9(rtt) <= 20ms ");
  EXPECT_EQ(p.text, "90% of edges: p99.9(rtt) <= 20ms");
  EXPECT_EQ(p.scope, Expectation::Scope::percent);
  EXPECT_EQ(p.percent, 90);
  EXPECT_EQ(p.function, Expectation::Function::percentile);
  EXPECT_EQ(p.percentile, 99.9);
  EXPECT_EQ(p.metric.name, "rtt");
  EXPECT_EQ(p.op, Expectation::Op::le);
  EXPECT_EQ(p.literal, 20e6);

  EXPECT_EQ(parsed("total: loss<0.5%").scope, Expectation::Scope::total);
  EXPECT_EQ(parsed("loss < 0.005").literal, parsed("loss < 0.5%").literal);
  EXPECT_EQ(parsed("errors[time <= exceeded] == 0").key, "time <= exceeded");
  EXPECT_EQ(parsed("errors[\"a:b\"] != 1k").literal, 1000);
  EXPECT_EQ(parsed("kinds[\"refused\"] == 0").key, "refused");
  EXPECT_EQ(parsed("throughput > 50Mbit/s").literal, 50e6);
  EXPECT_EQ(parsed("bytes >= 64KiB").literal, 65536);
  EXPECT_EQ(parsed("rate(sent) > 600/min").literal, 10);
  EXPECT_EQ(parsed("rate(bytes) > 1MB/s").literal, 1e6);
  EXPECT_EQ(parsed("ttl > 50.5").literal, 50.5);
  for (const char* name : {"min", "max", "mean", "stddev", "p50", "p99"}) {
    EXPECT_TRUE(parse_expectation(std::string(name) + "(rtt) < 1ms", ping_testlet())) << name;
  }
}

TEST(ExpectTest, RefusesWithTheRemedy) {
  EXPECT_EQ(error_of("p99(rrt) < 20ms"),
            "expectation \"p99(rrt) < 20ms\": ping has no metric \"rrt\": did you mean \"rtt\"?");
  EXPECT_THAT(error_of("zzzzzzzz < 1"), HasSubstr("ping has no metric \"zzzzzzzz\": it has planned, "));
  EXPECT_THAT(error_of("rtt < 20ms"), HasSubstr("rtt is a histogram: say which value of it, p99(rtt)"));
  EXPECT_THAT(error_of("p99(sent) > 1"), HasSubstr("sent is a counter: write sent or rate(sent)"));
  EXPECT_THAT(error_of("mean(loss) < 1%"), HasSubstr("loss is a ratio: write loss alone"));
  EXPECT_THAT(error_of("rate(rtt) < 1/s"), HasSubstr("rate() is of counters"));
  EXPECT_THAT(error_of("errors == 0"),
              HasSubstr("errors is a breakdown: say which key of it, as in errors[KEY]"));
  EXPECT_THAT(error_of("kinds[refusde] == 0"),
              HasSubstr("kinds has no key \"refusde\": did you mean \"refused\"?"));
  EXPECT_THAT(error_of("kinds[x] == 0"), HasSubstr("kinds has no key \"x\": it has refused, reset, timeout"));
  EXPECT_THAT(error_of("sent[x] == 0"), HasSubstr("has no keys"));
  EXPECT_THAT(error_of("stack == 0"), HasSubstr("stack is text"));
  EXPECT_THAT(error_of("p99(rtt) < 20"),
              HasSubstr("\"20\" is no limit for rtt, which is in ns: write one such as 20ms"));
  EXPECT_THAT(error_of("loss < 20ms"), HasSubstr("write one such as 0.5%"));
  EXPECT_THAT(error_of("sent < 20ms"), HasSubstr("write one such as 100"));
  EXPECT_THAT(error_of("throughput > 5%"), HasSubstr("write one such as 50Mbit/s"));
  EXPECT_THAT(error_of("p100(rtt) < 1s"), HasSubstr("p100 is no percentile"));
  EXPECT_THAT(error_of("p0(rtt) < 1s"), HasSubstr("p0 is no percentile"));
  EXPECT_THAT(error_of("median(rtt) < 1s"), HasSubstr("there is no function \"median\""));
  EXPECT_THAT(error_of("loss = 0"), HasSubstr("write =="));
  EXPECT_THAT(error_of("loss"), HasSubstr("there is no comparison"));
  EXPECT_THAT(error_of("loss <"), HasSubstr("the limit after the comparison is missing"));
  EXPECT_THAT(error_of("< 1%"), HasSubstr("the value before the comparison is missing"));
  EXPECT_THAT(error_of("p99(rtt < 1s"), HasSubstr("no closing parenthesis"));
  EXPECT_THAT(error_of("totl: loss < 1%"), HasSubstr("\"totl:\" is not understood"));
  EXPECT_THAT(error_of("0% of edges: loss < 1%"), HasSubstr("above 0%"));
  EXPECT_THAT(error_of("101% of edges: loss < 1%"), HasSubstr("at most 100%"));
  EXPECT_THAT(error_of("rate(sent) < max"), HasSubstr("not finite"));
  EXPECT_THAT(error_of(""), HasSubstr("there is no comparison"));
  EXPECT_THAT(error_of(std::string(2000, 'x')), HasSubstr("at most 1024 bytes"));
}

TEST(ExpectTest, EveryEdgeByItselfAndTheWorstIsNamed) {
  const std::vector<EdgeData> edges = {edge("a → b", 100, 100, 10), edge("a → c", 100, 100, 30),
                                       edge("a → d", 100, 100, 20)};
  const Outcome good = outcome_of("p99(rtt) < 40ms", edges);
  EXPECT_EQ(good.verdict, Verdict::pass);
  EXPECT_EQ(good.worst_edge, "a → c");
  EXPECT_EQ(good.observed, "30 ms");
  const Outcome bad = outcome_of("p99(rtt) < 25ms", edges);
  EXPECT_EQ(bad.verdict, Verdict::fail);
  EXPECT_EQ(bad.worst_edge, "a → c");
  // For a floor the least is the worst.
  EXPECT_EQ(outcome_of("min(rtt) > 5ms", edges).worst_edge, "a → b");
  EXPECT_EQ(outcome_of("received == 100", edges).verdict, Verdict::pass);
}

TEST(ExpectTest, AnEdgeWithoutDataIsUnknownNeverPass) {
  const std::vector<EdgeData> edges = {edge("a → b", 100, 100, 10), no_data("a → c")};
  const Outcome outcome = outcome_of("loss < 5%", edges);
  EXPECT_EQ(outcome.verdict, Verdict::unknown);
  EXPECT_EQ(outcome.reason, "a → c: no data");
  EXPECT_EQ(outcome_of("p99(rtt) < 5ms", edges).verdict, Verdict::fail);  // another edge has failed
  EXPECT_EQ(outcome_of("loss < 5%", {}).verdict, Verdict::unknown);
}

TEST(ExpectTest, SuspectQualityIsUnknown) {
  EdgeData suspect = edge("a → b", 100, 100, 10);
  suspect.suspect = true;
  EXPECT_EQ(verdict_of("loss < 5%", suspect), Verdict::unknown);
  EXPECT_EQ(verdict_of("p50(rtt) < 1ms", suspect), Verdict::unknown);
  EXPECT_EQ(outcome_of("total: loss < 5%", {suspect}).verdict, Verdict::unknown);
}

TEST(ExpectTest, TooFewAnswersAreUnknown) {
  EXPECT_EQ(samples_needed(parsed("p99(rtt) < 1s")), 100u);
  EXPECT_EQ(samples_needed(parsed("p99.9(rtt) < 1s")), 1000u);
  EXPECT_EQ(samples_needed(parsed("p50(rtt) < 1s")), 2u);
  EXPECT_EQ(samples_needed(parsed("p1(rtt) < 1s")), 100u);
  EXPECT_EQ(samples_needed(parsed("stddev(rtt) < 1s")), 2u);
  EXPECT_EQ(samples_needed(parsed("max(rtt) < 1s")), 1u);
  EXPECT_EQ(verdict_of("p99(rtt) < 1s", edge("e", 100, 99, 10)), Verdict::unknown);
  EXPECT_EQ(verdict_of("p99(rtt) < 1s", edge("e", 100, 100, 10)), Verdict::pass);
  EXPECT_EQ(verdict_of("mean(rtt) < 1s", edge("e", 100, 0, 10)), Verdict::unknown);
  EXPECT_EQ(verdict_of("mean(rtt) < 1s", edge("e", 100, 1, 10)), Verdict::pass);
}

TEST(ExpectTest, LossBelowTheResolutionIsUnknown) {
  const Outcome outcome = outcome_of("loss < 0.5%", {edge("e", 100, 100, 10)});
  EXPECT_EQ(outcome.verdict, Verdict::unknown);
  EXPECT_EQ(outcome.reason, "e: 100 sent cannot resolve it, 200 would");
  EXPECT_EQ(verdict_of("loss < 0.5%", edge("e", 200, 200, 10)), Verdict::pass);
  EXPECT_EQ(verdict_of("loss < 0.5%", edge("e", 100, 99, 10)), Verdict::fail);
  EXPECT_EQ(verdict_of("loss < 1%", edge("e", 100, 100, 10)), Verdict::pass);
  EXPECT_EQ(verdict_of("loss == 0", edge("e", 3, 3, 10)), Verdict::pass);
  EXPECT_EQ(verdict_of("loss <= 0", edge("e", 3, 3, 10)), Verdict::pass);
  EXPECT_EQ(verdict_of("loss < 100%", edge("e", 3, 1, 10)), Verdict::pass);
  EXPECT_EQ(verdict_of("loss < 100%", edge("e", 3, 0, 10)), Verdict::fail);
  EXPECT_EQ(verdict_of("loss < 100%", edge("e", 0, 0, 10)), Verdict::unknown);
  EXPECT_EQ(events_needed(parsed("loss > 99.9%"), 100), 1000u);
}

TEST(ExpectTest, UndeterminedProbesThatCouldTurnItAreUnknown) {
  // 2 lost and 2 undetermined of 100: between 2 % and 4 %.
  const EdgeData data = edge("e", 100, 96, 10, 2);
  EXPECT_EQ(verdict_of("loss < 1%", data), Verdict::fail);
  EXPECT_EQ(verdict_of("loss < 3%", data), Verdict::unknown);
  EXPECT_EQ(verdict_of("loss < 5%", data), Verdict::pass);
  EXPECT_EQ(verdict_of("lost <= 2", data), Verdict::unknown);
  EXPECT_EQ(verdict_of("lost <= 4", data), Verdict::pass);
  EXPECT_EQ(verdict_of("lost == 3", data), Verdict::unknown);
  EXPECT_EQ(verdict_of("lost == 5", data), Verdict::fail);
  EXPECT_EQ(verdict_of("received >= 97", data), Verdict::unknown);
  EXPECT_EQ(verdict_of("sent == 100", data), Verdict::pass);
  EXPECT_THAT(outcome_of("loss < 3%", {data}).reason, HasSubstr("2 undetermined probes could change it"));
}

TEST(ExpectTest, TotalIsOnceOnTheMergedData) {
  const std::vector<EdgeData> edges = {edge("e1", 100, 90, 10), edge("e2", 300, 300, 10)};
  EXPECT_EQ(outcome_of("loss < 5%", edges).verdict, Verdict::fail);
  const Outcome total = outcome_of("total: loss < 5%", edges);
  EXPECT_EQ(total.verdict, Verdict::pass);
  EXPECT_EQ(total.observed, "2.5 %");
  EXPECT_EQ(total.worst_edge, "");
  EXPECT_EQ(outcome_of("total: loss < 5%", {edges[0], edges[1], no_data("e3")}).verdict, Verdict::unknown);
}

TEST(ExpectTest, PercentOfEdgesCountsAnEdgeWithoutDataAsNotHolding) {
  const EdgeData good = edge("good", 100, 100, 10), bad = edge("bad", 100, 100, 90), away = no_data("away");
  EdgeData suspect = edge("suspect", 100, 100, 10);
  suspect.suspect = true;
  const std::string text = "50% of edges: p50(rtt) < 50ms";
  EXPECT_EQ(outcome_of(text, {good, bad}).verdict, Verdict::pass);
  EXPECT_EQ(outcome_of(text, {good, bad, bad}).verdict, Verdict::fail);
  EXPECT_EQ(outcome_of(text, {good, away}).verdict, Verdict::pass);
  EXPECT_EQ(outcome_of(text, {good, away, away}).verdict, Verdict::fail);
  EXPECT_EQ(outcome_of(text, {good, bad, suspect}).verdict, Verdict::unknown);
  const Outcome outcome = outcome_of(text, {good, bad});
  EXPECT_EQ(outcome.observed, "50 % of edges");
  EXPECT_EQ(outcome.worst_edge, "bad");
  // Not the good one, which holds and has the only value.
  const Outcome absent = outcome_of(text, {good, away, away});
  EXPECT_EQ(absent.worst_edge, "away");
  EXPECT_EQ(absent.reason, "1 of 3 edges hold, away: no data (and 1 more)");
  EXPECT_EQ(outcome_of(text, {good, bad, away}).worst_edge, "bad");
  EXPECT_EQ(outcome_of(text, {good, good}).worst_edge, "good");
}

TEST(ExpectTest, CountersBreakdownsGaugesAndRates) {
  EdgeData data = edge("e", 100, 100, 10);
  data.metrics["errors"].kind = stats::Kind::breakdown;
  data.metrics["errors"].breakdown["refused"] = 2;
  EXPECT_EQ(verdict_of("errors[refused] == 2", data), Verdict::pass);
  EXPECT_EQ(verdict_of("errors[other] == 0", data), Verdict::pass);
  EXPECT_EQ(verdict_of("ttl > 1", data), Verdict::unknown);
  data.metrics["ttl"].gauge = 60;
  data.metrics["ttl"].has_gauge = true;
  EXPECT_EQ(verdict_of("ttl > 1", data), Verdict::pass);
  EXPECT_EQ(verdict_of("rate(sent) == 10", data), Verdict::pass);
  data.seconds = 0;
  EXPECT_EQ(verdict_of("rate(sent) == 10", data), Verdict::unknown);
}

// An agent that died half-way through 1,000 probes did not receive 900, and nobody knows whether it would
// have.
TEST(ExpectTest, ACutShortEdgeFailsOnlyWhatMoreOfItCouldNotMend) {
  EdgeData half = edge("half", 500, 450, 10);
  half.metrics["errors"].kind = stats::Kind::breakdown;
  half.metrics["errors"].breakdown["refused"] = 2;
  half.cut_short = true;
  for (const char* text : {"received >= 900", "received > 450", "received == 451", "received != 450",
                           "received < 900", "errors[refused] >= 3", "errors[refused] == 2", "loss < 50%"})
    EXPECT_EQ(verdict_of(text, half), Verdict::unknown) << text;
  for (const char* text : {"received <= 449", "received < 450", "received == 449", "errors[refused] < 2",
                           "rate(received) >= 900", "loss < 5%", "p50(rtt) < 1ms"})
    EXPECT_EQ(verdict_of(text, half), Verdict::fail) << text;
  half.cut_short = false;
  EXPECT_EQ(verdict_of("received >= 900", half), Verdict::fail);
}

TEST(ExpectTest, VerdictsCombine) {
  EXPECT_EQ(combine(Verdict::pass, Verdict::unknown), Verdict::unknown);
  EXPECT_EQ(combine(Verdict::unknown, Verdict::fail), Verdict::fail);
  EXPECT_EQ(combine(Verdict::none, Verdict::pass), Verdict::pass);
  EXPECT_EQ(combine(Verdict::none, Verdict::none), Verdict::none);
  Expectation warning = parsed("loss < 1%");
  warning.severity = Severity::warn;
  EXPECT_EQ(counted(warning, Verdict::fail), Verdict::none);
  EXPECT_EQ(counted(parsed("loss < 1%"), Verdict::fail), Verdict::fail);
}

TEST(ExpectTest, ReportsCarryBaseUnits) {
  EdgeData data = edge("e", 4, 3, 10);
  data.metrics["bytes"].counter = 64;
  const MetricReports reports = to_report(ping_testlet(), data.metrics);
  EXPECT_EQ(reports.at("rtt").unit, "s");
  EXPECT_DOUBLE_EQ(reports.at("rtt").min, 0.01);
  EXPECT_EQ(reports.at("rtt").count, 3u);
  EXPECT_EQ(reports.at("bytes").unit, "B");
  EXPECT_EQ(reports.at("sent").value, 4);
  EXPECT_DOUBLE_EQ(reports.at("loss").value, 0.25);
  EXPECT_EQ(reports.at("loss").unit, "1");
  EXPECT_FALSE(reports.contains("ttl"));
  EXPECT_FALSE(reports.contains("stack"));
  EXPECT_TRUE(std::isnan(to_report(ping_testlet(), {}).at("loss").value));
  EXPECT_TRUE(std::isnan(to_report(ping_testlet(), edge("e", 1, 0, 0).metrics).at("rtt").min));
}

}  // namespace
}  // namespace todd::model
