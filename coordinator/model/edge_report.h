#pragma once
// What a report says of one edge. Plain values in base units: s, B, bit/s, 1.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/model/verdict.h"

namespace todd::model {

enum class Trigger { manual, schedule, api };
// running: of a run that has not ended; every other state is final.
enum class RunState { running, completed, partial, failed, cancelled };
// Whether we measured: what the network did is in the metrics. Up to cancelled they are final, and a journal
// holds their numbers; waiting (not started) and running are of a run that has not ended.
enum class EdgeState { complete, partial, error, no_data, skipped, cancelled, waiting, running };
enum class Grade { good, suspect };
enum class MetricKind { counter, gauge, histogram, breakdown, ratio, spread };
enum class Severity { fail, warn };

// Why an edge is not complete: the only words EdgeReport::reason may hold.
namespace reason {
inline constexpr const char* kNameResolution = "name_resolution";  // the target's name has no address
inline constexpr const char* kPermission = "permission";           // a privilege is missing on the agent
inline constexpr const char* kUnsupported = "unsupported";         // this version or host cannot
inline constexpr const char* kBadParam = "bad_param";              // the testlet refused a value
inline constexpr const char* kDenied = "denied";  // the agent's configuration refuses the target
inline constexpr const char* kSecretMissing =
    "secret_missing";  // the agent does not have it, or may not use it
inline constexpr const char* kTestletMissing = "testlet_missing";    // the agent does not have it
inline constexpr const char* kTestletFailed = "testlet_failed";      // it gave up
inline constexpr const char* kTestletCrashed = "testlet_crashed";    // its worker died
inline constexpr const char* kQuarantined = "quarantined";           // it crashed too often
inline constexpr const char* kLocalResource = "local_resource";      // sockets, memory, ports
inline constexpr const char* kResponderLost = "responder_lost";      // the other side's worker or agent died
inline constexpr const char* kResponderFailed = "responder_failed";  // the other side could not be prepared
inline constexpr const char* kAgentOffline = "agent_offline";        // not connected when the run began
inline constexpr const char* kAgentLost = "agent_lost";              // no records by the deadline
inline constexpr const char* kDeadline = "deadline";                 // not finished in time
inline constexpr const char* kCancelled = "cancelled";
inline constexpr const char* kBusy = "busy";                // waited too long for its turn
inline constexpr const char* kMainNotRun = "main_not_run";  // the test it goes along with did not run
inline constexpr const char* kInternal = "internal";
}  // namespace reason
// Whether the word is one of those.
bool is_reason(std::string_view word);

const char* name_of(Trigger);
const char* name_of(RunState);
const char* name_of(EdgeState);
const char* name_of(Grade);
const char* name_of(MetricKind);
const char* name_of(Severity);
// The value so named; nullopt for any other text. Instances exist for the enums above.
template <class Enum>
std::optional<Enum> parse_enum(std::string_view name);

// One metric of one edge or of a total. Which fields mean something follows from kind.
struct MetricReport {
  MetricKind kind = MetricKind::counter;
  std::string unit;  // base unit: "s", "B", "bit/s", "1", "{probe}"
  double value = 0;  // counter, gauge, ratio, spread; NaN: there is none (a ratio over nothing)
  // histogram; all but count and sum are NaN where count is 0, stddev and percentiles where only the least
  // and the greatest value are known
  uint64_t count = 0;
  double sum = 0, min = 0, max = 0, mean = 0, stddev = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, p999 = 0;
  std::map<std::string, uint64_t> values;  // breakdown
};
using MetricReports = std::map<std::string, MetricReport>;

struct Quality {
  std::optional<Grade> grade;  // none: nothing was measured that could be good
  std::vector<std::string> causes;
  std::string tx_stamp, rx_stamp;  // "kernel", "nic", "user"
  std::string engine;              // "uring" or "event"
  double lateness_p99_s = 0;
  uint64_t local_drops = 0;
  double clock_error_s = 0;
  uint64_t unmatched = 0;        // packets that came and answer no probe
  uint64_t samples_dropped = 0;  // single samples without room; the metrics count them all the same
  // CPU time of the source's threads that probed, and of their whole process, while they measured for so
  // long.
  double lane_cpu_s = 0, worker_cpu_s = 0, measured_s = 0;
  uint64_t other_tasks = 0;  // the most that these ran beside it
};

struct Example {
  int64_t at_ns = 0;  // wall clock
  std::string outcome;
  std::string detail;
};

struct PeriodReport {
  int64_t started_at_ns = 0;
  double seconds = 0;
  bool partial = false;  // cut short: what a dead worker last measured
  MetricReports metrics;
};

struct SampleReport {
  int64_t at_ns = 0;
  double rtt_s = 0;  // NaN without an answer
  std::string outcome;
  uint64_t seq = 0;
  int ttl = -1;  // -1: unknown
  std::string tx_stamp, rx_stamp;
};

// Measured whole, and nothing that was expected of it failed or is unknown.
inline bool is_ok(EdgeState state, Verdict verdict) {
  return state == EdgeState::complete && (verdict == Verdict::pass || verdict == Verdict::none);
}

struct EdgeReport {
  std::string source_agent;
  std::vector<std::string> source_groups;
  std::string target_name;
  std::vector<std::string> target_groups;
  std::string target_agent;  // empty: a host without an agent
  std::string address;       // the one really tested
  double resolve_s = 0;      // how long it took to resolve the target's name to it; 0: it is no name
  Verdict verdict = Verdict::none;
  EdgeState state = EdgeState::no_data;
  std::string reason;  // closed set of codes, set where the state is not complete
  std::string detail;  // the same for people
  MetricReports metrics;
  // Of a test alongside another: what it measured while that one did not run, and while it did. Periods in
  // which that began or ended are in neither.
  MetricReports idle, loaded;
  std::map<std::string, std::string> info;
  std::vector<Example> examples;
  std::vector<PeriodReport> periods;
  std::vector<SampleReport> samples;
  Quality quality;

  // "from → to"
  std::string label() const;
  bool is_ok() const { return model::is_ok(state, verdict); }
};

}  // namespace todd::model
