#include "coordinator/model/plan_estimate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "coordinator/model/table.h"
#include "engine/schedule/ramp.h"

namespace todd::model {

namespace {

// An IPv4 header and eight bytes of ICMP or UDP: what a probe of `size` payload bytes adds on the wire.
constexpr int64_t kProbeOverheadBytes = 28;

const manifest::TypedValue* value_of(const TestPlan& plan, std::string_view name) {
  for (size_t i = 0; i < plan.testlet.params.size() && i < plan.params.size(); ++i) {
    if (plan.testlet.params[i].name == name) return &plan.params[i];
  }
  return nullptr;
}

// The end of a task by the host's params, for so many targets; 0: none known. The mean if it is drawn.
double seconds_for(const TestPlan& plan, uint64_t targets) {
  const manifest::HostParams& host = plan.host;
  double seconds = HUGE_VAL;
  if (host.duration_ns > 0) seconds = static_cast<double>(host.duration_ns) / 1e9;
  if (plan.testlet.schedule.tickets && host.count > 0) {
    const double turns = std::ceil(static_cast<double>(host.count) / host.burst);
    double by_count = 0;  // as fast as it goes
    if (host.interval_ns > 0)
      by_count = turns * static_cast<double>(host.interval_ns) / 1e9;
    else if (host.rate > 0 && std::isfinite(host.rate))
      by_count = turns * host.burst * static_cast<double>(targets) / host.rate;
    if (host.counted_ramp_ns() > 0 && by_count < 9e9)
      by_count = static_cast<double>(
                     schedule::Ramp(host.counted_ramp_ns()).due_ns(static_cast<int64_t>(by_count * 1e9))) /
                 1e9;
    seconds = std::min(seconds, by_count);
  }
  if (std::isinf(seconds)) {
    const manifest::TypedValue* own = value_of(plan, "duration");
    return own && own->i > 0 ? static_cast<double>(own->i) / 1e9 : 0;
  }
  // What sends on no schedule stops at its end; only a probe's answer is waited for.
  const int64_t wait_ns = plan.testlet.schedule.tickets ? host.timeout_ns : 0;
  return seconds + static_cast<double>(host.uncounted_ns() + wait_ns) / 1e9;
}

// Probes per second of one source to so many of its targets.
double probe_rate(const TestPlan& plan, uint64_t targets, uint64_t of_targets) {
  if (!plan.testlet.schedule.tickets || of_targets == 0) return 0;
  if (plan.host.interval_ns > 0)
    return static_cast<double>(targets) * plan.host.burst * 1e9 / static_cast<double>(plan.host.interval_ns);
  if (std::isinf(plan.host.rate)) return HUGE_VAL;
  return plan.host.rate * static_cast<double>(targets) / static_cast<double>(of_targets);
}

double bit_rate(const TestPlan& plan, uint64_t edges, double packets_per_s) {
  const manifest::TypedValue* bitrate = value_of(plan, "bitrate");
  if (bitrate && bitrate->type == manifest::ParamType::bitrate && bitrate->i > 0) {
    return static_cast<double>(bitrate->i) * static_cast<double>(edges);
  }
  if (plan.testlet.heavy) return HUGE_VAL;
  const manifest::TypedValue* size = value_of(plan, "size");
  if (!size || size->type != manifest::ParamType::size) return 0;
  return packets_per_s * static_cast<double>(size->i + kProbeOverheadBytes) * 8;
}

uint64_t targets_of(const Edge& edge) { return schedule::count(edge.target).value_or(1); }

std::map<std::string, uint64_t> targets_by_source(const TestPlan& plan) {
  std::map<std::string, uint64_t> targets;
  for (const Edge& edge : plan.edges) targets[edge.source.agent] += targets_of(edge);
  return targets;
}

// How many edges of an agent run at the same time.
uint64_t running(const TestPlan& plan, uint64_t edges) {
  return plan.at_once > 0 ? std::min<uint64_t>(plan.at_once, edges) : edges;
}

// Beyond 292 years there is no number of ns: not known.
int64_t capped_ns(double ns) { return ns < 9e18 ? static_cast<int64_t>(ns) : 0; }

// How long a test alongside another measures in the window.
int64_t window_ns(const TestPlan& plan, Window window) {
  if (window == Window::idle) return plan.test.before_ns + plan.test.after_ns;
  if (plan.main_ns == 0) return 0;
  return plan.main_ns + (window == Window::loaded ? 0 : plan.test.before_ns + tail_ns(plan));
}

}  // namespace

int64_t turn_ns(const TestPlan& plan) {
  if (!plan.alongside.empty()) return window_ns(plan, Window::whole);
  if (plan.at_once > 0) return capped_ns(seconds_for(plan, 1) * 1e9);
  double longest = 0;
  for (const auto& [agent, of_source] : targets_by_source(plan))
    longest = std::max(longest, seconds_for(plan, of_source));
  return capped_ns(longest * 1e9);
}

void estimate(TestPlan& plan, int64_t around_ns) {
  const auto targets = targets_by_source(plan);
  std::map<std::pair<bool, std::string>, Load> loads;
  std::map<std::string, uint64_t> edges_of;  // in either role
  for (const Edge& edge : plan.edges) {
    const uint64_t of_source = targets.at(edge.source.agent);
    const double rate = probe_rate(plan, targets_of(edge), of_source);
    Load& source = loads[{false, edge.source.agent}];
    ++source.edges;
    source.targets += targets_of(edge);
    source.packets_per_s += rate;
    ++edges_of[edge.source.agent];
    if (edge.target_agent.agent.empty()) continue;
    Load& responder = loads[{true, edge.target_agent.agent}];
    ++responder.edges;
    ++responder.targets;
    responder.packets_per_s += rate;
    ++edges_of[edge.target_agent.agent];
  }
  for (auto& [key, load] : loads) {
    load.responder = key.first;
    load.agent = key.second;
    // Of edges that take turns so many at a time; a rate is that of each turn already.
    if (plan.at_once > 0 && plan.host.interval_ns > 0)
      load.packets_per_s *= static_cast<double>(running(plan, load.edges)) / static_cast<double>(load.edges);
    load.bits_per_s = bit_rate(plan, running(plan, load.edges), load.packets_per_s);
    plan.loads.push_back(load);
  }

  const int64_t turn = turn_ns(plan);
  if (turn == 0) return;
  uint64_t turns = 1;
  if (plan.at_once > 0) {
    uint64_t most = 0;
    for (const auto& [agent, edges] : edges_of) most = std::max(most, edges);
    turns = (most + plan.at_once - 1) / plan.at_once;
  }
  plan.duration_ns = capped_ns(static_cast<double>(turn + around_ns) * static_cast<double>(turns));
}

uint64_t planned_samples(const TestPlan& plan, Window window) {
  if (!plan.testlet.schedule.tickets) return 0;
  const manifest::HostParams& host = plan.host;
  double samples = host.count > 0 ? static_cast<double>(host.count) : HUGE_VAL;
  const int64_t duration_ns = plan.alongside.empty() ? host.duration_ns : window_ns(plan, window);
  if (duration_ns > 0) {
    const schedule::Ramp ramp(host.counted_ramp_ns());
    const double seconds = static_cast<double>(ramp.even_ns(duration_ns)) / 1e9;
    double rate = HUGE_VAL;
    if (host.interval_ns > 0)
      rate = host.burst * 1e9 / static_cast<double>(host.interval_ns);
    else if (host.rate > 0) {
      uint64_t most = 1;
      for (const auto& [agent, targets] : targets_by_source(plan)) most = std::max(most, targets);
      rate = host.rate / static_cast<double>(most);
    }
    samples = std::min(samples, seconds * rate);
  }
  return samples < 1e18 ? static_cast<uint64_t>(samples) : 0;
}

void warn_of_resolution(TestPlan& plan) {
  for (const Expectation& e : plan.expectations) {
    const uint64_t per_edge = planned_samples(plan, e.window);
    if (per_edge == 0) continue;
    const uint64_t planned = e.scope == Expectation::Scope::total ? per_edge * plan.edges.size() : per_edge;
    const auto count_text = [](uint64_t n) { return format_amount(static_cast<double>(n), ""); };
    const bool of_answers = e.metric.kind == stats::Kind::histogram || e.metric.kind == stats::Kind::spread;
    if (of_answers && samples_needed(e) > planned) {
      plan.warnings.push_back(fmt::format("\"{}\" will be unknown: it needs {} answers, {} are planned",
                                          e.text, count_text(samples_needed(e)), count_text(planned)));
    }
    if (const uint64_t needed = events_needed(e, planned); needed > 0) {
      plan.warnings.push_back(
          fmt::format("\"{}\" will be unknown unless it fails: {} probes resolve {} by {}, it needs {}",
                      e.text, count_text(planned), e.metric.name,
                      format_amount(1 / static_cast<double>(planned), "%"), count_text(needed)));
    }
  }
}

}  // namespace todd::model
