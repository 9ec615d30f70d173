#include "coordinator/cli/target_args.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <sstream>

#include "engine/base/files.h"
#include "engine/schedule/targets.h"

namespace todd::cli {
namespace {

constexpr size_t kListMost = size_t{64} << 20;

void read_lines(std::istream& in, const std::string& name, TargetArgs& out) {
  out.files.emplace_back(out.texts.size(), name);
  uint32_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    line.erase(std::min(line.find('#'), line.size()));
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    out.add(line.substr(first, line.find_last_not_of(" \t\r") - first + 1), number);
  }
}

bool is_url(const std::string& target) { return target.find("://") != std::string::npos; }

bool is_named(const std::string& target) {
  return target.rfind("agent:", 0) == 0 || target.rfind("group:", 0) == 0;
}

// What is wrong with one of them; empty: nothing.
std::string wrong_with(const std::string& target, const TargetArgs& all, const manifest::Testlet& testlet,
                       bool from) {
  if (is_named(target)) {
    if (!from)
      return fmt::format("{} is known to a coordinator only: add --from GROUP, the agents that test it",
                         target);
    return all.texts.size() > 1 ? fmt::format("{} must be the only target", target) : "";
  }
  if (is_url(target) && testlet.target_kind != "url")
    return fmt::format("{} takes no URLs: give addresses, names or HOST:PORT", testlet.id);
  const auto spec = schedule::parse_target(target);
  return spec ? "" : spec.error().detail;
}

}  // namespace

std::string TargetArgs::place(size_t i) const {
  if (lines[i] == 0) return "";
  const auto after = std::upper_bound(files.begin(), files.end(), i,
                                      [](size_t index, const auto& file) { return index < file.first; });
  return fmt::format("{}:{}: ", std::prev(after)->second, lines[i]);
}

Result<TargetArgs> expand_target_args(const std::vector<std::string>& args) {
  TargetArgs out;
  for (const auto& arg : args) {
    if (arg.empty() || arg[0] != '@') {
      out.add(arg, 0);
    } else if (arg == "@-") {
      read_lines(std::cin, "stdin", out);
    } else {
      const auto text = read_file(arg.substr(1), kListMost);
      if (!text) return fail(Errc::invalid, "list of targets: " + text.error().detail);
      std::istringstream lines(*text);
      read_lines(lines, arg.substr(1), out);
    }
  }
  if (out.texts.empty())
    return fail(Errc::invalid, "no target: give addresses, names, ranges, URLs or @FILE");
  return out;
}

Status check_target_args(const TargetArgs& targets, const manifest::Testlet& testlet, bool from) {
  size_t urls = 0;
  for (size_t i = 0; i < targets.texts.size(); ++i) {
    const std::string wrong = wrong_with(targets.texts[i], targets, testlet, from);
    if (!wrong.empty()) return fail(Errc::invalid, targets.place(i) + wrong);
    urls += is_url(targets.texts[i]);
  }
  if (urls > 0 && urls < targets.texts.size())
    return fail(Errc::invalid, "URLs and other targets do not mix: give either");
  return {};
}

Result<uint64_t> count_targets(const std::vector<std::string>& targets) {
  uint64_t total = 0;
  for (const auto& text : targets) {
    auto spec = schedule::parse_target(text);
    if (!spec) return tl::unexpected(spec.error());
    auto n = schedule::count(*spec);
    if (!n) return tl::unexpected(n.error());
    total += *n;
  }
  return total;
}

}  // namespace todd::cli
