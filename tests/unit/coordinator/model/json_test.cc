#include "coordinator/model/json.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/model/reports.h"

namespace todd::model {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string json_of(const Report& report, const ReportOptions& options = {}) {
  std::string out;
  JsonWriter json(out);
  write_report(json, report, options);
  EXPECT_TRUE(json.done());
  return out;
}

TEST(JsonTest, WritesStructureAndNumbers) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().field("a", 1).field("b", 0.1).key("c").begin_array().number(1e300).number(NAN);
  json.number(std::numeric_limits<double>::infinity()).boolean(true).null().unsigned_integer(UINT64_MAX);
  json.begin_object().end_object().end_array().field("d", std::vector<std::string>{"x", "y"}).end_object();
  EXPECT_EQ(out, R"({"a":1,"b":0.1,"c":[1e+300,null,null,true,null,18446744073709551615,{}],"d":["x","y"]})");
  EXPECT_TRUE(json.done());
}

TEST(JsonTest, EscapesControlsAndMendsBrokenUtf8) {
  std::string out;
  JsonWriter(out).text(std::string_view("\"\\\n\t\x01\x7f\0é\xff\xc0\xaf\xed\xa0\x80|\xe2\x82", 18));
  EXPECT_EQ(out, "\"\\\"\\\\\\n\\t\\u0001\\u007f\\u0000é\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD|\uFFFD\uFFFD\"");
}

TEST(JsonTest, WritesTimes) {
  std::string out;
  JsonWriter json(out);
  json.begin_array().time(1'000'000'000'123'456'789).time(0).end_array();
  EXPECT_EQ(out, R"(["2001-09-09T01:46:40.123456Z",null])");
}

TEST(JsonDeathTest, MisuseAborts) {
  std::string out;
  EXPECT_DEATH(JsonWriter(out).begin_object().number(1), "");
  EXPECT_DEATH(JsonWriter(out).begin_array().key("a"), "");
  EXPECT_DEATH(JsonWriter(out).null().null(), "");
}

TEST(JsonTest, ReportHasTheOneShape) {
  const std::string json = json_of(small_report());
  EXPECT_THAT(json, HasSubstr(R"("schema_version":1,"id":"4f2a","suite":"branch-health")"));
  EXPECT_THAT(json, HasSubstr(R"("source":{"agent":"branch-1","groups":["branches"]})"));
  EXPECT_THAT(json, HasSubstr(R"("target":{"name":"dc-1","groups":["datacenters"],"agent":"dc-1"})"));
  EXPECT_THAT(json, HasSubstr(R"("address":"198.51.100.1","resolve_s":0.0025,"verdict":"fail")"));
  EXPECT_THAT(json, HasSubstr(R"("address":null,"verdict":"unknown")"));
  EXPECT_THAT(json, HasSubstr(R"("loss":{"kind":"ratio","unit":"1","value":0.01})"));
  EXPECT_THAT(json, HasSubstr(R"("rtt":{"kind":"histogram","unit":"s","count":99,)"));
  EXPECT_THAT(json,
              HasSubstr(R"("status":{"kind":"breakdown","unit":"{response}","values":{"200":118,"503":2}})"));
  EXPECT_THAT(json, HasSubstr(R"("reason":"agent_lost")"));
  EXPECT_THAT(json, Not(HasSubstr("summary")));
}

// Programs that count read integers; the shortest form of 1000000.0 is 1e+06.
TEST(JsonTest, WholeNumbersOfMetricsAreIntegers) {
  Report report = small_report();
  report.tests[0].total = {{"a", {MetricKind::counter, "{probe}", 1e6}},
                           {"b", {MetricKind::counter, "s", 2.5}},
                           {"c", {MetricKind::gauge, "bit/s", 2e9}},
                           {"d", {MetricKind::ratio, "1", NAN}}};
  const std::string json = json_of(report);
  EXPECT_THAT(json, HasSubstr(R"("a":{"kind":"counter","unit":"{probe}","value":1000000})"));
  EXPECT_THAT(json, HasSubstr(R"("b":{"kind":"counter","unit":"s","value":2.5})"));
  EXPECT_THAT(json, HasSubstr(R"("c":{"kind":"gauge","unit":"bit/s","value":2000000000})"));
  EXPECT_THAT(json, HasSubstr(R"("d":{"kind":"ratio","unit":"1","value":null})"));
}

TEST(JsonTest, ReadsBackWhatItWrote) {
  Report report = small_report();
  report.check = true;
  report.reason = "1 of 2 edges are not complete";
  report.first_incomplete = "latency, branch-2 → dc-1: agent_lost";
  const std::string json = json_of(report);
  auto again = read_report(json);
  ASSERT_TRUE(again) << again.error().detail;
  EXPECT_EQ(json_of(*again), json);
  EXPECT_EQ(again->first_incomplete, report.first_incomplete);
  EXPECT_EQ(again->tests[0].edges[0].resolve_s, 0.0025);
  EXPECT_EQ(again->tests[0].edges[1].resolve_s, 0);
}

TEST(JsonTest, RefusesWhatIsNoReport) {
  EXPECT_EQ(read_report("{").error().code, Errc::corrupt);
  EXPECT_EQ(read_report("[]").error().detail, "the report is no JSON object");
  EXPECT_EQ(read_report(R"({"verdict":"pass","id":7})").error().detail, "the report's \"id\" cannot be read");
  EXPECT_EQ(read_report(R"({"verdict":"splendid"})").error().detail,
            "the report's \"verdict\" cannot be read");
  EXPECT_EQ(read_report(R"({"verdict":"pass","started_at":"yesterday"})").error().detail,
            "the report's \"started_at\" cannot be read");
  EXPECT_FALSE(read_report(R"({"verdict":"pass","tests":[{"verdict":"pass","edges":[{}]}]})"));
}

TEST(JsonTest, AboveTheLimitOnlyEdgesThatAreNotOkAndASummary) {
  Report report = small_report();
  EdgeReport ok = report.tests[0].edges[0];
  ok.verdict = Verdict::pass;
  for (int i = 0; i < 5; ++i) report.tests[0].edges.kept().insert(report.tests[0].edges.kept().begin(), ok);
  const std::string json = json_of(report, {.max_edges = 4});
  EXPECT_THAT(
      json,
      HasSubstr(R"("summary":{"edges":7,"shown":2,"ok":5,"verdicts":{"fail":1,"pass":5,"unknown":1},)"));
  const auto again = read_report(json);
  EXPECT_EQ(again->tests[0].edges.size(), 2u);
  EXPECT_EQ(json_of(*again, {.max_edges = 4}), json);
}

TEST(JsonTest, LinesCarryOneEdgeEach) {
  std::string out;
  const Report report = small_report();
  // The limit of the one object is none here.
  for (ReportLines more(report, {.max_edges = 1}); more.next(out);) continue;
  std::vector<std::string> lines;
  for (size_t at = 0; at < out.size(); at = out.find('\n', at) + 1)
    lines.push_back(out.substr(at, out.find('\n', at) - at));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], testing::StartsWith(R"({"type":"run","schema_version":1,)"));
  EXPECT_THAT(lines[0], Not(HasSubstr("\"edges\"")));
  EXPECT_THAT(lines[0], Not(HasSubstr("\"summary\"")));
  EXPECT_THAT(lines[1], testing::StartsWith(R"({"type":"edge","run":"4f2a","test":"latency","source":)"));
}

TEST(JsonTest, PeriodsAndSamplesMayBeLeftOut) {
  const std::string json = json_of(small_report(), {.periods = false, .samples = false});
  EXPECT_THAT(json, Not(HasSubstr("\"periods\"")));
  EXPECT_THAT(json, Not(HasSubstr("\"samples\"")));
}

}  // namespace
}  // namespace todd::model
