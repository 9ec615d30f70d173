#include "coordinator/model/match.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include "coordinator/model/expand.h"

namespace todd::model {

namespace {

// Anchored glob: * is any text, ? one byte. Goes back to the last star only, so it is at most |pattern| *
// |text| steps.
bool matches_glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  size_t star = std::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool is_expression(const std::string& pattern) {
  return pattern.size() >= 2 && pattern.front() == '/' && pattern.back() == '/';
}

RE2::Options quiet() {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(1 << 20);
  return options;
}

std::string inner(const std::string& pattern) { return pattern.substr(1, pattern.size() - 2); }

// What the agent has under a fact's name: no value for a label it lacks.
std::vector<std::string> values_of(const std::string& fact, const Facts& facts) {
  if (fact == "agent") return {facts.agent};
  if (fact == "hostname") return {facts.hostname};
  if (fact == "os") return {facts.os};
  if (fact == "kernel") return {facts.kernel};
  if (fact == "version") return {facts.version};
  if (fact == "address") {
    std::vector<std::string> all = facts.addresses;
    all.insert(all.end(), facts.test_addresses.begin(), facts.test_addresses.end());
    return all;
  }
  const auto found = facts.labels.find(fact.substr(fact.find('.') + 1));
  if (found == facts.labels.end()) return {};
  return {found->second};
}

Result<bool> leaf_matches(const Matcher& leaf, const Facts& facts) {
  for (const std::string& value : values_of(leaf.fact, facts)) {
    for (const std::string& pattern : leaf.patterns) {
      auto one = matches_pattern(pattern, value, leaf.fact == "address");
      if (!one || *one) return one;
    }
  }
  return false;
}

// Appends the lines of one rule and says whether it holds.
Result<bool> explain_rule(const Matcher& rule, const Facts& facts, size_t depth, std::string& out) {
  const std::string indent(2 * depth, ' ');
  auto holds = matches(rule, facts);
  if (!holds) return holds;
  if (rule.kind == Matcher::Kind::leaf) {
    const auto values = values_of(rule.fact, facts);
    out += fmt::format(
        "{}{} {}: {} ({})\n", indent, *holds ? "yes" : "no ", rule.fact, fmt::join(rule.patterns, " or "),
        values.empty() ? std::string("the agent has none") : fmt::format("is {}", fmt::join(values, ", ")));
    return holds;
  }
  const char* name = rule.kind == Matcher::Kind::any   ? "any of"
                     : rule.kind == Matcher::Kind::all ? "all of"
                                                       : "not";
  out += fmt::format("{}{} {}\n", indent, *holds ? "yes" : "no ", name);
  for (const Matcher& child : rule.children) {
    if (auto told = explain_rule(child, facts, depth + 1, out); !told) return told;
  }
  return holds;
}

}  // namespace

Result<bool> matches_pattern(const std::string& pattern, const std::string& text, bool is_address) {
  if (is_expression(pattern)) {
    const RE2 expression(inner(pattern), quiet());
    if (!expression.ok()) {
      return fail(Errc::invalid, fmt::format("{} is no regular expression: {}", pattern, expression.error()));
    }
    return RE2::FullMatch(text, expression);
  }
  if (is_address && in_network(text, pattern)) return true;
  return matches_glob(pattern, text);
}

Status check_patterns(const std::vector<std::string>& patterns, const std::string& fact) {
  for (const std::string& pattern : patterns) {
    if (auto one = matches_pattern(pattern, "", fact == "address"); !one) return tl::unexpected(one.error());
    // A slash in an address pattern can only be meant as a network.
    if (fact == "address" && !is_expression(pattern) && pattern.find('/') != std::string::npos) {
      const std::string base = pattern.substr(0, pattern.find('/'));
      if (!in_network(base, pattern)) {
        return fail(Errc::invalid,
                    fmt::format("{} is no network: write it as 192.0.2.0/24 or 2001:db8::/32", pattern));
      }
    }
  }
  return {};
}

Result<bool> matches(const Matcher& matcher, const Facts& facts) {
  if (matcher.kind == Matcher::Kind::leaf) return leaf_matches(matcher, facts);
  bool some = false, every = true;
  for (const Matcher& child : matcher.children) {
    auto one = matches(child, facts);
    if (!one) return one;
    some |= *one;
    every &= *one;
  }
  switch (matcher.kind) {
    case Matcher::Kind::any: return some;
    case Matcher::Kind::none_of: return !some;
    default: return every;
  }
}

Result<std::string> explain(const Group& group, const Facts& facts) {
  if (!group.match) {
    return fmt::format("group \"{}\" lists {} hosts without agents: no agent is in it\n", group.name,
                       group.hosts.size());
  }
  std::string rules;
  auto holds = explain_rule(*group.match, facts, 1, rules);
  if (!holds) return tl::unexpected(holds.error());
  return fmt::format("agent \"{}\" is {}in group \"{}\"\n{}", facts.agent, *holds ? "" : "not ", group.name,
                     rules);
}

}  // namespace todd::model
