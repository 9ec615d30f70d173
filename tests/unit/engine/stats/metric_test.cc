#include "engine/stats/metric.h"

#include <gtest/gtest.h>

namespace todd::stats {
namespace {

Value gauge(double v) {
  Value value;
  value.kind = Kind::gauge;
  value.gauge = v;
  value.has_gauge = true;
  return value;
}

double merged_gauge(double a, double b, GaugeMerge rule) {
  Value into = gauge(a);
  merge(into, gauge(b), rule);
  return into.gauge;
}

TEST(Metric, GaugesFollowTheirRule) {
  EXPECT_EQ(merged_gauge(3, 2, GaugeMerge::sum), 5);
  EXPECT_EQ(merged_gauge(3, 2, GaugeMerge::min), 2);
  EXPECT_EQ(merged_gauge(3, 2, GaugeMerge::max), 3);
  EXPECT_EQ(merged_gauge(3, 2, GaugeMerge::last), 2);
}

TEST(Metric, AnUnsetGaugeChangesNothing) {
  Value into;
  merge(into, gauge(7), GaugeMerge::min);  // not the minimum of 7 and an unset 0
  EXPECT_EQ(into, gauge(7));
  Value unset;
  unset.kind = Kind::gauge;
  merge(into, unset, GaugeMerge::last);
  EXPECT_EQ(into, gauge(7));
}

TEST(Metric, CountersHistogramsAndInfoMerge) {
  Value a, b;
  a.counter = 2, b.counter = 40;
  a.histogram.add(5), b.histogram.add(6);
  a.info = "1.2", b.info = "1.3";
  merge(a, b, GaugeMerge::sum);
  EXPECT_EQ(a.counter, 42u);
  EXPECT_EQ(a.histogram.count, 2u);
  EXPECT_EQ(a.info, "1.3");
  merge(a, Value{}, GaugeMerge::sum);
  EXPECT_EQ(a.info, "1.3");
}

TEST(Metric, ADefaultValueIsNeutral) {
  Value from;
  from.kind = Kind::breakdown;
  from.breakdown = {{"200", 3}, {"503", 1}};
  Value into;
  merge(into, from, GaugeMerge::sum);
  EXPECT_EQ(into, from);
}

TEST(Metric, BreakdownsKeepTheTotalWhenFull) {
  Value a;
  for (int i = 0; i < 100; ++i) add_to_breakdown(a.breakdown, "a" + std::to_string(i));
  EXPECT_EQ(a.breakdown.size(), kBreakdownKeys + 1);
  EXPECT_EQ(a.breakdown.at(kOtherKey), 100 - kBreakdownKeys);
  Value b;
  b.breakdown = {{"a0", 5}, {"new", 2}, {kOtherKey, 1}};
  merge(a, b, GaugeMerge::sum);
  EXPECT_EQ(a.breakdown.size(), kBreakdownKeys + 1);
  EXPECT_EQ(a.breakdown.at("a0"), 6u);
  EXPECT_EQ(a.breakdown.at(kOtherKey), 100 - kBreakdownKeys + 3);
  EXPECT_EQ(a.breakdown.count("new"), 0u);
}

TEST(Metric, NamesAreThoseOfManifests) {
  EXPECT_STREQ(kind_name(Kind::histogram), "histogram");
  EXPECT_STREQ(gauge_merge_name(GaugeMerge::last), "last");
}

}  // namespace
}  // namespace todd::stats
