#include "engine/stats/metric.h"

#include <algorithm>

#include "engine/base/check.h"

namespace todd::stats {

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::counter: return "counter";
    case Kind::gauge: return "gauge";
    case Kind::histogram: return "histogram";
    case Kind::breakdown: return "breakdown";
    case Kind::ratio: return "ratio";
    case Kind::info: return "info";
    case Kind::spread: return "spread";
  }
  TODD_CHECK(!"a kind");
  __builtin_unreachable();
}

const char* gauge_merge_name(GaugeMerge merge) {
  switch (merge) {
    case GaugeMerge::sum: return "sum";
    case GaugeMerge::min: return "min";
    case GaugeMerge::max: return "max";
    case GaugeMerge::last: return "last";
  }
  TODD_CHECK(!"a merge rule");
  __builtin_unreachable();
}

void add_to_breakdown(std::map<std::string, uint64_t>& breakdown, const std::string& key, uint64_t n) {
  auto found = breakdown.find(key);
  if (found == breakdown.end()) {
    const size_t named = breakdown.size() - breakdown.count(kOtherKey);
    found = breakdown.try_emplace(named < kBreakdownKeys ? key : kOtherKey).first;
  }
  found->second += n;
}

double merge_gauges(double into, double from, GaugeMerge rule) {
  switch (rule) {
    case GaugeMerge::sum: return into + from;
    case GaugeMerge::min: return std::min(into, from);
    case GaugeMerge::max: return std::max(into, from);
    case GaugeMerge::last: break;
  }
  return from;
}

void merge(Value& into, const Value& from, GaugeMerge rule) {
  into.kind = from.kind;
  into.counter += from.counter;
  if (from.has_gauge) {
    into.gauge = into.has_gauge ? merge_gauges(into.gauge, from.gauge, rule) : from.gauge;
    into.has_gauge = true;
  }
  into.histogram.merge(from.histogram);
  for (const auto& [key, n] : from.breakdown) add_to_breakdown(into.breakdown, key, n);
  if (!from.info.empty()) into.info = from.info;
}

}  // namespace todd::stats
