#pragma once
// What a testlet says about itself before it is loaded: JSON, embedded in the library as section
// ".todd.manifest", sent to coordinators and known there by its hash.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/stats/cells.h"
#include "engine/stats/metric.h"

namespace todd::manifest {

enum class ParamType { boolean = 1, integer, real, text, duration, size, rate, bitrate, ratio, choice };

// The name used in JSON ("duration").
const char* param_type_name(ParamType type);

struct Param {
  std::string name, dflt, min, max;  // dflt, min, max as text in the parameter's own syntax; "" = none
  std::vector<std::string> choices;  // of a choice
  std::string doc;
  std::string pattern;  // of a text: what a value must match as a whole, in RE2 syntax; "" = anything
  ParamType type = ParamType::text;
  bool required = false;
  bool secret = false;  // a text that is never written down, shown or logged; see parse_secret (params.h)
  bool repeat = false;  // a text that may be given several times; see join_texts (params.h)
  bool proxy = false;   // a text: where it is given, the targets' names are resolved by somebody else

  bool operator==(const Param&) const = default;
};

struct Metric {
  std::string name, unit, doc;  // unit in UCUM: "ns", "B", "bit/s", "1", "{probe}"
  stats::Kind kind = stats::Kind::counter;
  stats::GaugeMerge merge = stats::GaugeMerge::sum;  // of a gauge
  std::string numerator, denominator;                // of a ratio: names of counters
  std::string histogram;                             // of a spread: name of one of the same unit
  double low = 0, high = 0;                          // of a spread: the quantiles it lies between, 0..1
  bool host = false;                                 // filled by the host, not by the testlet
  std::vector<std::string> keys;                     // of a breakdown: all there can be; empty = any
  bool only_total = false;  // where a task has very many targets only their total is kept (stats/cells.h)

  bool operator==(const Metric&) const = default;
};

// The testlet's own defaults of the host's params, as text; "" = the host's default.
struct ScheduleDefaults {
  bool tickets = false;  // probes are sent by the host's schedule
  std::string count, interval, rate, duration, timeout;

  bool operator==(const ScheduleDefaults&) const = default;
};

struct Testlet {
  std::string id;  // short name: "ping"
  std::string version, summary, doc;
  bool source = false;
  bool responder = false;
  bool heavy = false;                // loads the network: not many at a time
  bool probes = false;               // has the standard probe metrics
  bool warms_up = false;             // knows a time in which nothing counts
  bool bulk = false;                 // has the host move bytes: all its threads are wanted
  uint32_t needs = 0;                // TODD_NEED_* bits
  std::string target_kind = "host";  // "host", "endpoint", "url"
  uint16_t default_port = 0;
  std::vector<std::string> default_expect;
  ScheduleDefaults schedule;
  std::vector<Param> params;
  std::vector<Metric> metrics;  // with host_metrics() in front

  // nullptr if there is none of that name.
  const Param* param(std::string_view name) const;
  const Metric* metric(std::string_view name) const;

  bool operator==(const Testlet&) const = default;
};

struct Manifest {
  int format = 1;
  uint16_t abi_major = 0, abi_minor = 0;
  std::string sdk;
  std::string hash;  // sha256 of the JSON's bytes in hex; not itself in the JSON
  std::vector<Testlet> testlets;

  // nullptr if there is none of that id.
  const Testlet* testlet(std::string_view id) const;

  bool operator==(const Manifest&) const = default;
};

// Where the results of so many edges lie, of a task of the testlet that has task_edges in all. Its worker and
// who reads them must agree.
stats::CellLayout cell_layout(const Testlet& testlet, uint32_t edges, uint32_t sample_slots,
                              uint32_t task_edges);

inline constexpr int kFormat = 1;
inline constexpr size_t kMaxManifestBytes = 256 * 1024;

// Reads and checks a manifest: types, names (unique, and none of the host's), defaults and ranges of the
// params, the counters of ratios, the histograms of spreads. Unknown fields are ignored. Fills `hash` and
// prepends host_metrics(). Errors: invalid (naming the place, "testlets[0].params[2].type"), exhausted (too
// long), unsupported (format).
Result<Manifest> parse_manifest(std::string_view json);

// The JSON that parse_manifest reads back to an equal manifest (apart from `hash`). Metrics with `host` are
// left out where host_metrics() brings them back.
std::string write_manifest(const Manifest& manifest);

// The host's params, the same words for every testlet: count, interval, rate, duration, timeout, samples,
// period.
const std::vector<Param>& host_params();

// planned, unsent, sent, received, lost, late, duplicate, undetermined, loss, sent_bytes and received_bytes,
// with host = true.
const std::vector<Metric>& probe_metrics();

// Those that the host counts for this testlet, always in front of its own: all of probe_metrics() with
// `probes`, planned and unsent with tickets alone.
std::span<const Metric> host_metrics(const Testlet& testlet);

}  // namespace todd::manifest
