#include "coordinator/sink/point.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace todd::sink {
namespace {

struct Given {
  std::string run = "r1", suite = "health", test = "lat", source = "a", target = "b", address = "192.0.2.1";
  manifest::Testlet testlet;
  stats::Values metrics;

  Given() {
    testlet.id = "ping";
    const auto declare = [&](const char* name, const char* unit, stats::Kind kind) {
      manifest::Metric metric;
      metric.name = name;
      metric.unit = unit;
      metric.kind = kind;
      testlet.metrics.push_back(metric);
    };
    declare("sent", "{probe}", stats::Kind::counter);
    declare("rtt", "ns", stats::Kind::histogram);
    declare("status", "{response}", stats::Kind::breakdown);
    declare("loss", "1", stats::Kind::ratio);
    declare("rtt_spread", "ns", stats::Kind::spread);
    testlet.metrics.back().histogram = "rtt", testlet.metrics.back().high = 1;
    metrics["sent"].counter = 10;
  }
  std::string influx() const {
    std::string out;
    append_influx(out, {run, suite, test, testlet, source, target, address, 42, metrics});
    return out;
  }
};

TEST(PointTest, OneLineWithDeltas) {
  Given given;
  stats::Value& rtt = given.metrics["rtt"];
  rtt.kind = stats::Kind::histogram;
  rtt.histogram.add(2'000'000, 4);
  EXPECT_EQ(given.influx(),
            "todd_ping,run=r1,suite=health,test=lat,source=a,target=b,address=192.0.2.1 "
            "sent=10i,rtt_count=4i,rtt_sum=0.008,rtt_min=0.002,rtt_max=0.002,rtt_p50=0.002,rtt_p90=0.002,rtt_"
            "p99=0.002,rtt_spread=0 42\n");
  rtt.histogram.add(5'000'000);
  EXPECT_NE(given.influx().find(",rtt_spread=0.003 42\n"), std::string::npos) << given.influx();
}

// Of tasks with very many edges no distribution is kept of each: every percentile came out as the greatest
// value.
TEST(PointTest, WithoutADistributionThereAreNoPercentiles) {
  Given given;
  stats::Value& rtt = given.metrics["rtt"];
  rtt.kind = stats::Kind::histogram;
  rtt.histogram.add(2'000'000);
  rtt.histogram.add(4'000'000);
  rtt.histogram.buckets.clear();
  EXPECT_NE(given.influx().find("rtt_count=2i,rtt_sum=0.006,rtt_min=0.002,rtt_max=0.004 42\n"),
            std::string::npos)
      << given.influx();
}

TEST(PointTest, WithoutValuesThereIsNoSpread) {
  Given given;
  given.metrics["rtt"].kind = stats::Kind::histogram;
  EXPECT_EQ(given.influx().find("spread"), std::string::npos) << given.influx();
}

TEST(PointTest, NamesCannotAddTagsFieldsOrLines) {
  Given given;
  given.target = "x,run=evil y=1i\nother value=1 1\\";
  given.address = "";
  stats::Value& status = given.metrics["status"];
  status.kind = stats::Kind::breakdown;
  status.breakdown["200 OK,a=b\r\nz"] = 3;
  EXPECT_EQ(given.influx(),
            "todd_ping,run=r1,suite=health,test=lat,source=a,target=x\\,run\\=evil\\ y\\=1i\\ other\\ "
            "value\\=1\\ 1/ "
            "sent=10i,status_200\\ OK\\,a\\=b\\ \\ z=3i 42\n");
}

TEST(PointTest, AMeasurementNeedsNoQuotesInQueries) {
  Given given;
  given.testlet.id = "com.my-firm.beat";
  EXPECT_EQ(
      given.influx(),
      "todd_com_my_firm_beat,run=r1,suite=health,test=lat,source=a,target=b,address=192.0.2.1 sent=10i 42\n");
}

TEST(PointTest, NothingToSayIsNoLine) {
  Given given;
  given.metrics.clear();
  EXPECT_EQ(given.influx(), "");
}

TEST(PointTest, Json) {
  Given given;
  given.target = "b\"\n";
  std::string out;
  append_jsonl(out, {given.run, given.suite, given.test, given.testlet, given.source, given.target,
                     given.address, 42, given.metrics});
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  EXPECT_NE(out.find("\"fields\":{\"sent\":10}"), std::string::npos) << out;
}

}  // namespace
}  // namespace todd::sink
