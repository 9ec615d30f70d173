#include <cmath>

#include <fmt/format.h>

#include "coordinator/model/plan.h"
#include "coordinator/model/table.h"

namespace todd::model {

namespace {

// Long lists are cut here: a plan is to be read, --dry-run -o json has it all.
constexpr size_t kShown = 20;

std::string amount(double value, const char* unit) {
  return value == 0 ? "-" : std::isinf(value) ? "as fast as it goes" : format_amount(value, unit);
}

std::string load_text(const Load& load) {
  std::string text = fmt::format("    {} {}: {} edge{}", load.responder ? "responder" : "source   ",
                                 load.agent, load.edges, load.edges == 1 ? "" : "s");
  if (load.targets > load.edges) text += fmt::format(" of {} targets", load.targets);
  if (load.packets_per_s > 0)
    text += fmt::format(", {}", std::isinf(load.packets_per_s)
                                    ? "probes as fast as it goes"
                                    : format_amount(load.packets_per_s, "") + " probes/s");
  if (load.bits_per_s > 0) text += fmt::format(", {}", amount(load.bits_per_s, "bit/s"));
  return text + "\n";
}

// Whether the duration is where the probes end at the latest: the params bound them, and the edges take no
// turns.
bool is_most(const TestPlan& plan) {
  if (!plan.alongside.empty()) return false;
  if (plan.host.shape == manifest::Shape::poisson && plan.host.duration_ns == 0) return false;
  const bool paced = plan.host.interval_ns > 0 || (plan.host.rate > 0 && std::isfinite(plan.host.rate));
  return plan.at_once == 0 && plan.testlet.schedule.tickets && (plan.host.duration_ns > 0 || paced);
}

std::string seconds_text(int64_t ns) { return format_amount(static_cast<double>(ns) / 1e9, "s"); }

// Its edges are those of the test above it.
std::string alongside_text(const TestPlan& plan) {
  return fmt::format("  {} ({} {}): alongside {}, from {} before to {} after it\n", plan.label,
                     plan.testlet.id, plan.testlet.version, plan.alongside, seconds_text(plan.test.before_ns),
                     seconds_text(plan.test.after_ns));
}

std::string edges_text(const TestPlan& plan) {
  std::string out = fmt::format("  {} ({} {}): {} edge{}, {}\n", plan.label, plan.testlet.id,
                                plan.testlet.version, plan.edges.size(), plan.edges.size() == 1 ? "" : "s",
                                plan.duration_ns > 0
                                    ? (is_most(plan) ? "at most " : "about ") + seconds_text(plan.duration_ns)
                                    : std::string("as long as it takes"));
  if (plan.at_once > 0)
    out += fmt::format("    at most {} edge{} at a time per agent\n", plan.at_once,
                       plan.at_once == 1 ? "" : "s");
  for (size_t i = 0; i < plan.edges.size() && i < kShown; ++i) {
    const Edge& edge = plan.edges[i];
    out += fmt::format("    {}", edge.label());
    if (!edge.address.empty() && edge.address != edge.target_name) out += fmt::format("  {}", edge.address);
    out += '\n';
  }
  if (plan.edges.size() > kShown)
    out += fmt::format("    ... and {} more edges\n", plan.edges.size() - kShown);
  return out;
}

std::string test_text(const TestPlan& plan) {
  std::string out = plan.alongside.empty() ? edges_text(plan) : alongside_text(plan);
  for (size_t i = 0; i < plan.loads.size() && i < kShown; ++i) out += load_text(plan.loads[i]);
  if (plan.loads.size() > kShown)
    out += fmt::format("    ... and {} more agents\n", plan.loads.size() - kShown);
  for (const Expectation& expectation : plan.expectations) {
    out += fmt::format("    expects {}{}\n", expectation.text,
                       expectation.severity == Severity::warn ? " (warning only)" : "");
  }
  for (const std::string& warning : plan.warnings) out += fmt::format("    ! {}\n", warning);
  return out;
}

}  // namespace

std::string plan_text(const Suite& suite, const std::vector<TestPlan>& plans) {
  std::string out = fmt::format("suite {}\n", suite.name);
  size_t edges = 0;
  int64_t total_ns = 0, step_ns = 0;
  bool known = true, most = true;
  for (size_t i = 0; i < plans.size(); ++i) {
    if (i == 0 || plans[i].step != plans[i - 1].step) {
      total_ns += step_ns;
      step_ns = 0;
    } else if (plans[i].alongside.empty()) {
      out += "  and at the same time:\n";
    }
    out += test_text(plans[i]);
    edges += plans[i].edges.size();
    known &= plans[i].duration_ns > 0;
    most &= is_most(plans[i]);
    step_ns = std::max(step_ns, plans[i].duration_ns);
  }
  total_ns += step_ns;
  const std::string duration = seconds_text(total_ns);
  return out + fmt::format("{} tests, {} edges, {} {}\n", plans.size(), edges,
                           !known ? "more than"
                           : most ? "at most"
                                  : "about",
                           duration);
}

}  // namespace todd::model
