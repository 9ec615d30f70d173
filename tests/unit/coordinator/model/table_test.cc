#include "coordinator/model/table.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/model/reports.h"

namespace todd::model {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(TableTest, FormatsAmounts) {
  EXPECT_EQ(format_amount(0.0234, "s"), "23.4 ms");
  EXPECT_EQ(format_amount(0.0009999, "s"), "1 ms");
  EXPECT_EQ(format_amount(0.00012, "s"), "120 us");
  EXPECT_EQ(format_amount(3e-9, "s"), "3 ns");
  EXPECT_EQ(format_amount(0, "s"), "0 s");
  EXPECT_EQ(format_amount(61, "s"), "61 s");
  EXPECT_EQ(format_amount(600, "s"), "10 min");
  EXPECT_EQ(format_amount(1500, "B"), "1.5 kB");
  EXPECT_EQ(format_amount(999.7, "B"), "1 kB");
  EXPECT_EQ(format_amount(94.1e6, "bit/s"), "94.1 Mbit/s");
  EXPECT_EQ(format_amount(0.004, "%"), "0.4 %");
  EXPECT_EQ(format_amount(1, "%"), "100 %");
  EXPECT_EQ(format_amount(0.00001, "%"), "0.001 %");
  EXPECT_EQ(format_amount(1024, "{probe}"), "1,024");
  EXPECT_EQ(format_amount(-1234567, "1"), "-1,234,567");
  EXPECT_EQ(format_amount(0.5, "1"), "0.5");
  EXPECT_EQ(format_amount(10, "/s"), "10/s");
  EXPECT_EQ(format_amount(NAN, "s"), "-");
  EXPECT_EQ(format_amount(HUGE_VAL, "bit/s"), "unlimited");
}

TEST(TableTest, PrintableTakesOutWhatSteersATerminal) {
  EXPECT_EQ(printable("a\x1b[31mred\x1b[0m\x1b]0;title\a!"), "ared!");
  EXPECT_EQ(printable("a\r\nb\tc\x07"), "a b c");
  EXPECT_EQ(printable("\xff\xfe"
                      "ok\xc2\x9b"),
            "ok");
  EXPECT_EQ(printable("a\u202Eb\u2066c"), "abc");
  EXPECT_EQ(printable("\x1b"), "");
  EXPECT_EQ(printable("\x1b[3"), "");
  EXPECT_EQ(printable("→ é 漢"), "→ é 漢");
}

TEST(TableTest, WidthCountsColumns) {
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("→é"), 2);
  EXPECT_EQ(display_width("漢字"), 4);
  EXPECT_EQ(display_width("e\u0301"), 1);
}

TEST(TableTest, ShowsEdgesExpectationsAndVerdict) {
  const std::string text = report_table(small_report(), {.width = 120});
  EXPECT_EQ(text,
            "latency  (ping)  branches → datacenters\n"
            "    edge             rtt p50  rtt p99  loss\n"
            "  ✗ branch-1 → dc-1    11 ms  23.4 ms   1 %  suspect: local_drops  timeout (no answer in 1 s)\n"
            "      name resolved in 2.5 ms\n"
            "      TLS 1.3\n"
            "  ? branch-2 → dc-1        -        -     -  no_data: agent_lost\n"
            "    total of 2         11 ms  23.4 ms   1 %\n"
            "  ✗ p99(rtt) < 20ms  fail  23.4 ms  worst: branch-1 → dc-1  (branch-2 → dc-1: no data)\n"
            "  ! loss < 0.5%  warning  1 %  worst: branch-1 → dc-1\n"
            "\n"
            "! agent branch-2: link lost\n"
            "! sink influx: pending, 3 pending, 0 dead\n"
            "✗ branch-health: fail  (partial)  in 2.5 s  run 4f2a\n");
}

// Below the row of an edge: what its columns have no room for.
TEST(TableTest, DetailsOfFewEdgesStandBelowTheirRows) {
  Report report = small_report();
  EdgeReport& edge = report.tests[0].edges[0];
  edge.resolve_s = 0.0031;
  edge.metrics["pdv_p50"] = {MetricKind::spread, "s", 0.0012};
  edge.metrics["pdv_p99"] = {MetricKind::spread, "s", 0};
  MetricReport sizes{MetricKind::breakdown, "{probe}"};
  sizes.values = {{"1400_lost", 2}, {"1400_received", 8}, {"64_received", 10}, {"9000_lost", 10}};
  edge.metrics["by_size"] = report.tests[0].total["by_size"] = sizes;
  const std::string text = report_table(report, {.width = 120});
  EXPECT_THAT(text, HasSubstr(" (no answer in 1 s)\n"
                              "      pdv_p50 1.2 ms, pdv_p99 0 s, name resolved in 3.1 ms\n"
                              "      TLS 1.3\n"
                              "      answered by size: 64: 10/10, 1400: 8/10, 9000: 0/10\n"
                              "  ? branch-2 → dc-1        -        -     -  no_data: agent_lost\n"
                              "    total of 2         11 ms  23.4 ms   1 %\n"
                              "      answered by size: 64: 10/10, 1400: 8/10, 9000: 0/10\n"));
  EXPECT_THAT(report_table(report, {.width = 40}),
              HasSubstr("      answered by size: 64: 10/10,\n      1400: 8/10, 9000: 0/10\n"));
  // All answers took as long, as far as can be told: of one, for instance.
  edge.metrics["pdv_p50"].value = 0;
  edge.resolve_s = 0;
  EXPECT_THAT(report_table(report, {.width = 120}), Not(HasSubstr("pdv")));
  // Of many edges only the total's.
  report.tests[0].edges[0].resolve_s = 1;
  report.tests[0].edges.kept().insert(report.tests[0].edges.kept().begin(), 4, EdgeReport(edge));
  const std::string many = report_table(report, {.width = 120});
  EXPECT_THAT(many, Not(HasSubstr("resolved")));
  EXPECT_EQ(many.find("by size"), many.rfind("by size"));
  EXPECT_NE(many.find("by size"), std::string::npos);
}

// An agent that lacks a secret says so of the edge, as a warning and of itself.
TEST(TableTest, TheSameIsSaidOnce) {
  Report report = small_report();
  const std::string why = "secret \"db\": not in /etc/todd/secrets";
  report.tests[0].edges[1].detail = why;
  report.warnings = {"branch-2: " + why, "branch-2: something else"};
  report.agents[0].reason = why;
  const auto times_in = [&](int width) {
    const std::string text = report_table(report, {.width = width});
    EXPECT_THAT(text, HasSubstr("! branch-2: something else\n"));
    size_t n = 0;
    for (size_t at = 0; (at = text.find(why, at)) != text.npos; ++at) ++n;
    return n;
  };
  EXPECT_EQ(times_in(200), 1u);
  EXPECT_EQ(times_in(70), 1u);  // where the row has no room for it, the warning has
  report.warnings.erase(report.warnings.begin());
  EXPECT_EQ(times_in(70), 1u);
}

TEST(TableTest, RequestsShowWhatWasDroppedAndTheirTls) {
  Report report = small_report();
  TestReport& test = report.tests[0];
  EdgeReport& edge = test.edges[0];
  edge.metrics = {{"ok", {MetricKind::counter, "{response}", 7}},
                  {"failed", {MetricKind::counter, "{request}", 1}},
                  {"dropped", {MetricKind::counter, "{request}", 2}},
                  {"certificate_days", {MetricKind::gauge, "d", 20.04}}};
  test.total = edge.metrics;
  edge.info = {
      {"tls_version", "1.3"}, {"cipher", "AES"}, {"alpn", "h2"}, {"certificate_verdict", "ok\x1b[31m"}};
  std::string text = report_table(report, {.width = 120});
  EXPECT_THAT(text, HasSubstr("ok  failed  dropped"));
  EXPECT_THAT(text, HasSubstr("  7       1        2"));
  EXPECT_THAT(text, HasSubstr("      TLS 1.3, AES, ALPN h2, certificate: ok, 20 days left\n"));
  // A handshake that came to nothing tells what there was of it.
  edge.info = {{"certificate_verdict", "certificate has expired"}};
  edge.metrics["certificate_days"].value = -3;
  text = report_table(report, {.width = 120});
  EXPECT_THAT(text, HasSubstr("      certificate: certificate has expired, 3 days past its end\n"));
  // Of no https nothing is said.
  edge.info.clear();
  edge.metrics.erase("certificate_days");
  EXPECT_THAT(report_table(report, {.width = 120}), Not(HasSubstr("certificate")));
}

// The row of the edge has said it.
TEST(TableTest, TheReasonOfARunIsNotTheFirstEdgesAgain) {
  Report report = small_report();
  report.reason = "1 of 2 edges are not complete";
  report.first_incomplete = "latency, branch-2 → dc-1: agent_lost";
  EXPECT_THAT(report_table(report, {.width = 300}),
              HasSubstr("(partial)  1 of 2 edges are not complete  in 2.5 s"));
  EXPECT_THAT(
      report_table(report, {.width = 300, .max_edges = 0}),
      HasSubstr("1 of 2 edges are not complete; the first is latency, branch-2 → dc-1: agent_lost  in"));
  // Words of a testlet are nobody's to take apart.
  report.reason = "stopped; the first is the last";
  report.first_incomplete.clear();
  EXPECT_THAT(report_table(report, {.width = 300}), HasSubstr("stopped; the first is the last  in 2.5 s"));
}

TEST(TableTest, KeepsToTheWidth) {
  Report report = small_report();
  report.tests[0].edges[0].target_name = std::string(200, 'x');
  const std::string text = report_table(report, {.width = 60});
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = text.find('\n', begin);
    EXPECT_LE(display_width(text.substr(begin, end - begin)), 60);
    begin = end + 1;
  }
  EXPECT_THAT(text, HasSubstr("23.4 ms"));  // names give way before numbers
}

TEST(TableTest, ShowsAtMostTheLimitAndTheBadFirst) {
  Report report = small_report();
  EdgeReport ok = report.tests[0].edges[0];
  ok.verdict = Verdict::pass;
  ok.source_agent = "good";
  report.tests[0].edges.kept().insert(report.tests[0].edges.kept().begin(), 5, ok);
  std::string text = report_table(report, {.width = 120, .max_edges = 3});
  EXPECT_THAT(text, HasSubstr("branch-1 → dc-1"));
  EXPECT_THAT(text, HasSubstr("branch-2 → dc-1"));
  EXPECT_THAT(text, HasSubstr("    ... and 4 more ok\n"));
  EXPECT_THAT(report_table(report, {.width = 120, .max_edges = 1}),
              HasSubstr("    ... and 1 more not ok\n    ... and 5 more ok\n"));
  EXPECT_THAT(report_table(report, {.width = 120}), Not(HasSubstr("more ok")));
  // Of a report that does not hold all its edges, the summary counts.
  report.tests[0].summary = EdgeSummary{.edges = 100, .ok = 90, .verdicts = {}, .states = {}};
  EXPECT_THAT(report_table(report, {.width = 120, .max_edges = 2}),
              HasSubstr("    ... and 8 more not ok\n    ... and 90 more ok\n"));
}

TEST(TableTest, TheTotalOfManyEdgesSaysWhatBecameOfTheirProbes) {
  Report report = small_report();
  auto& total = report.tests[0].total;
  const auto counter = [](double n) { return MetricReport{MetricKind::counter, "{probe}", n}; };
  total["planned"] = counter(4094);
  total["sent"] = counter(4090);
  total["unsent"] = counter(4);
  total["received"] = counter(4089);
  total["lost"] = counter(1);
  total["undetermined"] = counter(0);
  report.tests[0].summary = EdgeSummary{.edges = 4094, .ok = 4092, .verdicts = {}, .states = {}};
  const std::string text = report_table(report, {.width = 120});
  EXPECT_THAT(text, HasSubstr("    ... and 4,092 more ok\n    total of 4,094"));
  EXPECT_THAT(text, HasSubstr("  4,090 sent, 4,089 received, 1 lost, 4 unsent\n"));
  report.tests[0].summary.reset();
  report.tests[0].edges.kept().resize(1);
  EXPECT_THAT(report_table(report, {.width = 120}), Not(HasSubstr("total of")));
}

// A name with an address of each family is two edges.
TEST(TableTest, EdgesOfOneNameSayTheirAddresses) {
  Report report = small_report();
  auto& edges = report.tests[0].edges.kept();
  edges.push_back(edges[0]);
  edges.back().address = "2001:db8::1";
  const std::string text = report_table(report, {.width = 120});
  EXPECT_THAT(text, HasSubstr("branch-1 → dc-1 (198.51.100.1)"));
  EXPECT_THAT(text, HasSubstr("branch-1 → dc-1 (2001:db8::1)"));
  EXPECT_THAT(text, HasSubstr("branch-2 → dc-1  "));
}

TEST(TableTest, ColourIsOptional) {
  EXPECT_THAT(report_table(small_report()), Not(HasSubstr("\x1b")));
  EXPECT_THAT(report_table(small_report(), {.colour = true}), HasSubstr("\x1b[31m"));
}

TEST(TableTest, ATestletWithoutKnownMetricsShowsItsFirst) {
  Report report = small_report();
  report.tests[0].total = report.tests[0].edges[0].metrics = {{"alpha", {MetricKind::counter, "{x}", 5}}};
  EXPECT_THAT(report_table(report, {.width = 120}), HasSubstr("alpha"));
}

}  // namespace
}  // namespace todd::model
