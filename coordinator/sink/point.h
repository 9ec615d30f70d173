#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "engine/manifest/manifest.h"
#include "engine/stats/metric.h"

namespace todd::sink {

// What one period added to one edge. All references only for the call that takes the point.
struct Point {
  const std::string& run;
  const std::string& suite;
  const std::string& test;
  const manifest::Testlet& testlet;
  const std::string& source;     // agent
  const std::string& target;     // as shown
  const std::string& address;    // may be empty
  int64_t at_ns = 0;             // wall clock, end of the period, different for every point of a series
  const stats::Values& metrics;  // deltas, in the testlet's units
};

// Appends one line of InfluxDB line protocol (version 1), or nothing if the point has no field.
//
//   todd_ping,run=...,suite=...,test=...,source=...,target=...,address=...
//   sent=10i,rtt_count=10i,rtt_sum=0.1,... 1700000000000000000
//
// Counters are integer deltas; histograms become _count, _sum, _min, _max, _p50, _p90, _p99 in base units
// (seconds for ns); gauges floats; breakdowns one field per key, NAME_KEY; ratios and infos are left out (a
// ratio is its counters).
void append_influx(std::string& out, const Point& point);

// Appends the same as one JSON object on a line.
void append_jsonl(std::string& out, const Point& point);

}  // namespace todd::sink
