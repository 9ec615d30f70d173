#include "coordinator/model/report.h"

#include <algorithm>
#include <span>
#include <utility>

namespace todd::model {

namespace {

template <class Enum>
struct Named {
  Enum value;
  const char* name;
};

constexpr Named<Trigger> kTriggers[] = {
    {Trigger::manual, "manual"}, {Trigger::schedule, "schedule"}, {Trigger::api, "api"}};
constexpr Named<RunState> kRunStates[] = {{RunState::running, "running"},
                                          {RunState::completed, "completed"},
                                          {RunState::partial, "partial"},
                                          {RunState::failed, "failed"},
                                          {RunState::cancelled, "cancelled"}};
constexpr Named<EdgeState> kEdgeStates[] = {
    {EdgeState::complete, "complete"}, {EdgeState::partial, "partial"}, {EdgeState::error, "error"},
    {EdgeState::no_data, "no_data"},   {EdgeState::skipped, "skipped"}, {EdgeState::cancelled, "cancelled"},
    {EdgeState::waiting, "waiting"},   {EdgeState::running, "running"}};
constexpr Named<Grade> kGrades[] = {{Grade::good, "good"}, {Grade::suspect, "suspect"}};
constexpr Named<MetricKind> kMetricKinds[] = {
    {MetricKind::counter, "counter"},     {MetricKind::gauge, "gauge"}, {MetricKind::histogram, "histogram"},
    {MetricKind::breakdown, "breakdown"}, {MetricKind::ratio, "ratio"}, {MetricKind::spread, "spread"}};
constexpr Named<Severity> kSeverities[] = {{Severity::fail, "fail"}, {Severity::warn, "warn"}};

template <class Enum>
const char* find_name(std::span<const Named<Enum>> table, Enum value) {
  for (const auto& entry : table) {
    if (entry.value == value) return entry.name;
  }
  return "";
}

template <class Enum>
std::optional<Enum> find_value(std::span<const Named<Enum>> table, std::string_view name) {
  for (const auto& entry : table) {
    if (name == entry.name) return entry.value;
  }
  return std::nullopt;
}

constexpr const char* kReasons[] = {
    reason::kNameResolution, reason::kPermission,    reason::kUnsupported,     reason::kBadParam,
    reason::kTestletMissing, reason::kTestletFailed, reason::kTestletCrashed,  reason::kQuarantined,
    reason::kLocalResource,  reason::kResponderLost, reason::kResponderFailed, reason::kAgentOffline,
    reason::kAgentLost,      reason::kDeadline,      reason::kCancelled,       reason::kBusy,
    reason::kInternal,       reason::kSecretMissing, reason::kDenied,          reason::kMainNotRun};

}  // namespace

const char* name_of(Trigger value) { return find_name<Trigger>(kTriggers, value); }
const char* name_of(RunState value) { return find_name<RunState>(kRunStates, value); }
const char* name_of(EdgeState value) { return find_name<EdgeState>(kEdgeStates, value); }
const char* name_of(Grade value) { return find_name<Grade>(kGrades, value); }
const char* name_of(MetricKind value) { return find_name<MetricKind>(kMetricKinds, value); }
const char* name_of(Severity value) { return find_name<Severity>(kSeverities, value); }

template <>
std::optional<Trigger> parse_enum(std::string_view name) {
  return find_value<Trigger>(kTriggers, name);
}
template <>
std::optional<RunState> parse_enum(std::string_view name) {
  return find_value<RunState>(kRunStates, name);
}
template <>
std::optional<EdgeState> parse_enum(std::string_view name) {
  return find_value<EdgeState>(kEdgeStates, name);
}
template <>
std::optional<Grade> parse_enum(std::string_view name) {
  return find_value<Grade>(kGrades, name);
}
template <>
std::optional<MetricKind> parse_enum(std::string_view name) {
  return find_value<MetricKind>(kMetricKinds, name);
}
template <>
std::optional<Severity> parse_enum(std::string_view name) {
  return find_value<Severity>(kSeverities, name);
}

bool is_reason(std::string_view word) {
  return std::any_of(std::begin(kReasons), std::end(kReasons),
                     [&](const char* known) { return word == known; });
}

std::string EdgeReport::label() const { return source_agent + " → " + target_name; }

std::vector<EdgeReport>& EdgeReports::kept() {
  if (const auto source = std::exchange(source_, nullptr)) {
    kept_.reserve(source->size());
    for (size_t i = 0; i < source->size(); ++i) kept_.push_back(source->at(i));
  }
  return kept_;
}

size_t EdgeReports::bytes() const {
  if (source_) return source_->bytes();
  size_t bytes = 0;
  for (const EdgeReport& edge : kept_) {
    size_t metrics = edge.metrics.size();
    for (const PeriodReport& period : edge.periods) metrics += period.metrics.size();
    bytes += sizeof edge + metrics * sizeof(MetricReports::value_type) +
             edge.samples.size() * sizeof(SampleReport);
  }
  return bytes;
}

EdgeSummary TestReport::count_edges() const {
  if (summary) return *summary;
  std::map<std::pair<Verdict, EdgeState>, uint64_t> counts;
  std::pair<Verdict, EdgeState> last{};
  uint64_t run = 0;  // of edges alike, one after the other
  for (size_t i = 0; i < edges.size(); ++i) {
    const std::pair now{edges.verdict(i), edges.state(i)};
    if (now != last && run > 0) counts[last] += std::exchange(run, 0);
    last = now;
    ++run;
  }
  if (run > 0) counts[last] += run;
  EdgeSummary all;
  all.edges = edges.size();
  for (const auto& [what, n] : counts) {
    if (is_ok(what.second, what.first)) all.ok += n;
    all.verdicts[verdict_name(what.first)] += n;
    all.states[name_of(what.second)] += n;
  }
  return all;
}

}  // namespace todd::model
