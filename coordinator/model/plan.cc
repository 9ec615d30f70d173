#include "coordinator/model/plan.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "coordinator/model/match.h"
#include "coordinator/model/plan_alongside.h"
#include "coordinator/model/plan_estimate.h"
#include "engine/manifest/nearest.h"

namespace todd::model {

namespace {

class Planner {
 public:
  Planner(const Suite& suite, const std::vector<Group>& groups, const std::vector<Facts>& agents,
          const std::map<std::string, manifest::Testlet>& testlets)
      : suite_(suite), groups_(groups), agents_(agents), testlets_(testlets) {}

  Result<std::vector<TestPlan>> plans(const std::map<std::string, std::string>& sets,
                                      const std::vector<std::string>& only) {
    flatten();
    if (auto unique = check_labels(); !unique) return tl::unexpected(unique.error());
    if (auto applied = apply_sets(sets); !applied) return tl::unexpected(applied.error());
    if (auto chosen = keep_only(only); !chosen) return tl::unexpected(chosen.error());
    for (TestPlan& plan : plans_) {
      if (auto made = complete(plan); !made) return tl::unexpected(made.error());
    }
    for (TestPlan& plan : plans_) {
      estimate(plan, around_ns(plan));
      if (auto few = check_targets(plan); !few) return tl::unexpected(few.error());
      if (auto given = give_expectations(plan); !given) return tl::unexpected(given.error());
    }
    for (TestPlan& plan : plans_) {
      warn_of_resolution(plan);
      warn_of_agents(plan);
    }
    return std::move(plans_);
  }

 private:
  // One plan per test, those alongside behind the one they go with; steps as the file's order and `parallel`
  // ask.
  void flatten() {
    size_t step = 0;
    for (const Test& test : suite_.tests) {
      if (!plans_.empty() && !test.parallel) ++step;
      plans_.push_back(bare_plan(test, test.name, step));
      for (const Test& beside : test.alongside) {
        plans_.push_back(bare_plan(beside, test.name + "+" + beside.name, step));
        plans_.back().test.name = plans_.back().label;
        plans_.back().alongside = test.name;
      }
    }
  }

  static TestPlan bare_plan(const Test& test, std::string label, size_t step) {
    TestPlan plan;
    plan.test = test;
    plan.test.alongside.clear();
    plan.label = std::move(label);
    plan.step = step;
    return plan;
  }

  tl::unexpected<Error> refuse(Position position, const Error& error) const {
    return fail(error.code, at(suite_.origin, position, error.detail));
  }
  tl::unexpected<Error> refuse(const TestPlan& plan, const Error& error) const {
    return refuse(plan.test.position,
                  Error{error.code, 0, fmt::format("test \"{}\": {}", plan.label, error.detail)});
  }

  std::vector<std::string> labels() const {
    std::vector<std::string> all;
    for (const TestPlan& plan : plans_) all.push_back(plan.label);
    return all;
  }

  Status check_labels() const {
    std::set<std::string> seen;
    for (const TestPlan& plan : plans_) {
      if (seen.insert(plan.label).second) continue;
      return refuse(
          plan.test.position,
          Error{Errc::invalid, 0,
                fmt::format("two tests are named \"{}\": give each a name of its own", plan.label)});
    }
    return {};
  }

  Result<TestPlan*> find(const std::string& label, const std::string& where) {
    for (TestPlan& plan : plans_) {
      if (plan.label == label) return &plan;
    }
    std::string hint = manifest::did_you_mean(label, labels());
    if (hint.empty()) hint = fmt::format(": it has {}", fmt::join(labels(), ", "));
    return fail(Errc::invalid,
                fmt::format("{}: suite \"{}\" has no test \"{}\"{}", where, suite_.name, label, hint));
  }

  Status apply_sets(const std::map<std::string, std::string>& sets) {
    for (const auto& [path, value] : sets) {
      // Names of tests may hold dots, those of params do not.
      const size_t dot = path.rfind('.');
      if (dot == std::string::npos || dot == 0 || dot + 1 == path.size()) {
        return fail(Errc::invalid, fmt::format("--set {}: write TEST.PARAM=VALUE", path));
      }
      auto plan = find(path.substr(0, dot), "--set " + path);
      if (!plan) return tl::unexpected(plan.error());
      const std::string param = path.substr(dot + 1);
      (*plan)->test.params[param] = value;
      (*plan)->test.param_forms.erase(param);
      (*plan)->test.param_positions.erase(param);
    }
    return {};
  }

  // A named test brings what goes alongside it.
  Status keep_only(const std::vector<std::string>& only) {
    if (only.empty()) return {};
    std::set<std::string> wanted;
    for (const std::string& name : only) {
      auto plan = find(name, "--only " + name);
      if (!plan) return tl::unexpected(plan.error());
      if (!(*plan)->alongside.empty()) {
        return fail(Errc::invalid, fmt::format("--only {}: it goes along with {}, which brings it: name that",
                                               name, (*plan)->alongside));
      }
      wanted.insert(name);
    }
    std::erase_if(plans_, [&](const TestPlan& plan) {
      return !wanted.contains(plan.alongside.empty() ? plan.label : plan.alongside);
    });
    return {};
  }

  Status complete(TestPlan& plan) {
    const auto found = testlets_.find(plan.test.testlet);
    if (found == testlets_.end()) return refuse(plan, no_testlet(plan.test.testlet));
    plan.testlet = found->second;
    const TestPlan* main = plan.alongside.empty() ? nullptr : *find(plan.alongside, "alongside");
    if (main != nullptr) {
      if (auto fit = fit_params(plan, *main); !fit) return refuse_param(plan, fit.error());
    }
    if (auto ok = resolve(plan); !ok) return ok;
    if (auto ok = read_expectations(plan); !ok) return ok;
    if (main != nullptr) {
      if (auto taken = take_edges(plan, *main); !taken) return refuse(plan, taken.error());
    } else if (auto made = make_edges(plan); !made) {
      return made;
    }
    return {};
  }

  Status make_edges(TestPlan& plan) const {
    if (plan.test.to.kind == TestTo::Kind::urls && plan.testlet.target_kind != "url") {
      return refuse(
          plan.test.to.position,
          Error{Errc::invalid, 0, fmt::format("{} takes no URLs: write {{hosts: [...]}}", plan.testlet.id)});
    }
    auto edges = expand_test(plan.test, groups_, agents_);
    if (!edges) return refuse(plan, edges.error());
    plan.edges = std::move(*edges);
    plan.at_once = plan.test.at_once > 0 ? plan.test.at_once : plan.testlet.heavy ? 1 : 0;
    return {};
  }

  // By how much the tests alongside make each turn of the test longer.
  int64_t around_ns(const TestPlan& plan) const {
    int64_t before = 0, after = 0;
    for (const TestPlan& other : plans_) {
      if (other.alongside != plan.label) continue;
      before = std::max(before, other.test.before_ns);
      after = std::max(after, tail_ns(other));
    }
    return before + after;
  }

  // A range is one edge here, and its addresses an agent's: what no agent takes is refused before it is
  // tried.
  Status check_targets(const TestPlan& plan) const {
    for (const Load& load : plan.loads) {
      if (load.targets <= kMaxEdges) continue;
      return refuse(plan, Error{Errc::invalid, 0,
                                fmt::format("{} would have {} targets, at most {} are allowed: name fewer or "
                                            "smaller networks",
                                            load.agent, load.targets, kMaxEdges)});
    }
    return {};
  }

  Error no_testlet(const std::string& name) const {
    std::vector<std::string> names;
    for (const auto& [id, testlet] : testlets_) names.push_back(id);
    std::string hint = manifest::did_you_mean(name, names);
    if (hint.empty())
      hint = names.empty() ? ": no agent has told of any"
                           : fmt::format(": there are {}", fmt::join(names, ", "));
    return {Errc::invalid, 0, fmt::format("there is no testlet \"{}\"{}", name, hint)};
  }

  // Where the param an error is about was given: its message begins with the name or holds it in quotes.
  Position position_in(const TestPlan& plan, const std::string& detail) const {
    for (const auto& [name, position] : plan.test.param_positions) {
      if (detail.starts_with(name + ":") || detail.find("\"" + name + "\"") != std::string::npos)
        return position;
    }
    return plan.test.position;
  }

  static bool is_host_param(const std::string& name) {
    const auto& params = manifest::host_params();
    return std::any_of(params.begin(), params.end(), [&](const auto& param) { return param.name == name; });
  }

  // What is written in a form that its param does not take. Unknown names are left to who resolves them.
  Status check_forms(const TestPlan& plan) const {
    for (const auto& [name, text] : plan.test.params) {
      const auto written = plan.test.param_forms.find(name);
      const ParamForm form = written == plan.test.param_forms.end() ? ParamForm::text : written->second;
      const manifest::Param* param = plan.testlet.param(name);
      const bool repeat = param != nullptr && param->repeat;
      const bool secret = param != nullptr && param->secret;
      const bool in_file = plan.test.param_positions.contains(name);
      if (form == ParamForm::secret && !secret && (param != nullptr || is_host_param(name)))
        return refuse_param(plan, Error{Errc::invalid, 0, name + ": is no secret; write its value"});
      if (form == ParamForm::text && secret && in_file && text.starts_with(manifest::kSecretPrefix))
        return refuse_param(plan, Error{Errc::invalid, 0, name + ": is a secret; write {secret: NAME}"});
      if (form == ParamForm::list && !repeat && (param != nullptr || is_host_param(name)))
        return refuse_param(plan, Error{Errc::invalid, 0, name + ": takes one value, not a list"});
      if (form == ParamForm::text && repeat && text.find('\n') != text.npos)
        return refuse_param(plan, Error{Errc::invalid, 0,
                                        name + ": has more than one line; write a list, [ONE, ANOTHER], with "
                                               "each of them by itself"});
    }
    return {};
  }

  Status resolve(TestPlan& plan) {
    if (auto good = check_forms(plan); !good) return good;
    auto params = manifest::resolve_params(plan.testlet.params, plan.test.params);
    if (!params) return refuse_param(plan, params.error());
    plan.params = std::move(*params);
    if (auto fit = check_patterns(plan); !fit) return fit;
    auto host = host_params_of(plan);
    if (!host) return refuse_param(plan, host.error());
    plan.host = *host;
    if (const Status taken = take_family_of_source(plan); !taken) return taken;
    return take_family_of_label(plan);
  }

  // Texts that only the testlet can read whole: what is plainly wrong is refused here and not by the agents.
  Status check_patterns(const TestPlan& plan) const {
    for (size_t i = 0; i < plan.params.size(); ++i) {
      const manifest::Param& param = plan.testlet.params[i];
      const manifest::TypedValue& value = plan.params[i];
      if (param.pattern.empty() || !value.given) continue;
      const auto texts = param.repeat ? manifest::split_texts(value.s) : std::vector{value.s};
      for (const std::string& text : texts) {
        const auto fits = matches_pattern("/" + param.pattern + "/", text, false);
        if (!fits || *fits)
          continue;  // a pattern that is none is its author's fault: the testlet checks itself
        return refuse_param(
            plan,
            Error{Errc::invalid, 0, fmt::format("{}: \"{}\" does not fit: {}", param.name, text, param.doc)});
      }
    }
    return {};
  }

  // A source address leaves only its own family to send to.
  Status take_family_of_source(TestPlan& plan) const {
    const std::string& source = plan.host.egress.source;
    if (source.empty()) return {};
    const bool v6 = source.find(':') != std::string::npos;
    const Family own = v6 ? Family::v6 : Family::v4;
    if (plan.test.family != Family::any && plan.test.family != own) {
      return refuse_param(plan, Error{Errc::invalid, 0,
                                      fmt::format("source: {} is {}, which is not the family of the test",
                                                  source, v6 ? "IPv6" : "IPv4")});
    }
    plan.test.family = own;
    return {};
  }

  Status take_family_of_label(TestPlan& plan) const {
    if (plan.host.egress.flow_label == 0) return {};
    if (plan.test.family != Family::any && plan.test.family != Family::v6)
      return refuse_param(plan, Error{Errc::invalid, 0,
                                      "flow_label: only IPv6 has one, which is not the family of the test"});
    plan.test.family = Family::v6;
    return {};
  }

  Status refuse_param(const TestPlan& plan, const Error& error) const {
    const std::string what = fmt::format("test \"{}\": {}", plan.label, error.detail);
    return refuse(position_in(plan, error.detail), Error{error.code, 0, what});
  }

  Status read_expectations(TestPlan& plan) {
    std::vector<ExpectationText> texts;
    if (plan.test.expect) {
      texts = *plan.test.expect;
    } else {
      for (const std::string& text : plan.testlet.default_expect)
        texts.push_back({text, false, plan.test.position});
    }
    for (const ExpectationText& text : texts) {
      if (plan.alongside.empty() && names_window(text.text)) continue;  // give_expectations
      if (auto read = read_expectation(plan, text); !read) return read;
    }
    return {};
  }

  Status read_expectation(TestPlan& plan, const ExpectationText& text) const {
    auto expectation = parse_expectation(text.text, plan.testlet, !plan.alongside.empty());
    if (!expectation) return refuse(text.position, expectation.error());
    if (text.warn_only) expectation->severity = Severity::warn;
    plan.expectations.push_back(std::move(*expectation));
    return {};
  }

  // What a test expects of idle. and loaded. metrics goes to the test alongside it that has them.
  Status give_expectations(const TestPlan& main) {
    if (!main.test.expect || !main.alongside.empty()) return {};
    std::vector<const TestPlan*> alongside;
    for (const TestPlan& plan : plans_) {
      if (plan.alongside == main.label) alongside.push_back(&plan);
    }
    for (const ExpectationText& text : *main.test.expect) {
      if (!names_window(text.text)) continue;
      const auto taker = whose(text.text, alongside);
      if (!taker) return refuse(text.position, taker.error());
      TestPlan& plan = **find(alongside[*taker]->label, "alongside");
      if (auto read = read_expectation(plan, text); !read) return read;
    }
    return {};
  }

  void warn_of_agents(TestPlan& plan) const {
    std::set<std::string> away;
    for (const Facts& facts : agents_) {
      if (!facts.connected) away.insert(facts.agent);
    }
    std::set<std::string> missing;
    for (const Edge& edge : plan.edges) {
      if (away.contains(edge.source.agent)) missing.insert(edge.source.agent);
      if (away.contains(edge.target_agent.agent)) missing.insert(edge.target_agent.agent);
    }
    static constexpr size_t kNamed = 5;
    if (missing.empty()) return;
    std::vector<std::string> names(missing.begin(), missing.end());
    const size_t more = names.size() > kNamed ? names.size() - kNamed : 0;
    names.resize(names.size() - more);
    plan.warnings.push_back(fmt::format("not connected: {}{}; their edges will have no data",
                                        fmt::join(names, ", "),
                                        more > 0 ? fmt::format(" and {} more", more) : ""));
  }

  const Suite& suite_;
  const std::vector<Group>& groups_;
  const std::vector<Facts>& agents_;
  const std::map<std::string, manifest::Testlet>& testlets_;
  std::vector<TestPlan> plans_;
};

}  // namespace

std::map<std::string, ParamReport> params_of(const TestPlan& plan) {
  std::map<std::string, ParamReport> params;
  for (const auto& [name, value] : plan.test.params) {
    const manifest::Param* param = plan.testlet.param(name);
    const bool repeat = param != nullptr && param->repeat;
    const bool secret = param != nullptr && param->secret;
    params[name] = {secret   ? ParamForm::secret
                    : repeat ? ParamForm::list
                             : ParamForm::text,
                    secret ? value.substr(std::min(manifest::kSecretPrefix.size(), value.size())) : value};
  }
  return params;
}

uint64_t report_edges(const std::vector<TestPlan>& plans) {
  uint64_t edges = 0;
  for (const TestPlan& plan : plans) {
    for (const Load& load : plan.loads) edges += load.responder ? 0 : load.targets;
  }
  return edges;
}

Result<std::vector<TestPlan>> plan_suite(const Suite& suite, const std::vector<Group>& groups,
                                         const std::vector<Facts>& agents,
                                         const std::map<std::string, manifest::Testlet>& testlets,
                                         const std::map<std::string, std::string>& sets,
                                         const std::vector<std::string>& only) {
  return Planner(suite, groups, agents, testlets).plans(sets, only);
}

}  // namespace todd::model
