#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "engine/stats/histogram.h"

namespace todd::stats {

// What a metric is. A ratio and a spread hold nothing themselves: they are computed after merging, from two
// counters or from a histogram of their manifest.
enum class Kind { counter = 1, gauge, histogram, breakdown, ratio, info, spread };
inline bool is_derived(Kind kind) { return kind == Kind::ratio || kind == Kind::spread; }

// How the gauges of several lanes, periods or edges become one.
enum class GaugeMerge { sum, min, max, last };

// The names used in manifests and JSON ("histogram", "sum").
const char* kind_name(Kind kind);
const char* gauge_merge_name(GaugeMerge merge);

// A breakdown names at most this many keys; what comes after is counted under kOtherKey.
inline constexpr size_t kBreakdownKeys = 64;
inline constexpr const char* kOtherKey = "other";

// One metric's value for one edge, in the testlet's base units (ns for durations): conversion to seconds is
// done at output, from the metric's unit. Fields of the other kinds stay as they are here.
struct Value {
  Kind kind = Kind::counter;
  uint64_t counter = 0;
  double gauge = 0;
  bool has_gauge = false;  // false: nobody has set the gauge yet
  Histogram histogram;
  std::map<std::string, uint64_t> breakdown;  // up to kBreakdownKeys + kOtherKey; use add_to_breakdown
  std::string info;

  bool operator==(const Value&) const = default;
};

// The values of one edge, by the name of their metric.
using Values = std::map<std::string, Value>;

// Counts n under key, or under kOtherKey if the key is new and the table is full. The total is always kept.
void add_to_breakdown(std::map<std::string, uint64_t>& breakdown, const std::string& key, uint64_t n = 1);

// Two gauges that were set, by the rule.
double merge_gauges(double into, double from, GaugeMerge rule);

// Merges `from` into `into` and takes over its kind. A default-constructed Value is neutral. The gauge
// follows the rule; an unset gauge and an empty info change nothing, otherwise the info of `from` wins.
void merge(Value& into, const Value& from, GaugeMerge rule);

}  // namespace todd::stats
