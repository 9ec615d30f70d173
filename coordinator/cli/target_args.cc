#include "coordinator/cli/target_args.h"

#include <fmt/format.h>

#include <iostream>
#include <sstream>

#include "engine/base/files.h"
#include "engine/schedule/targets.h"

namespace todd::cli {
namespace {

constexpr size_t kListMost = size_t{64} << 20;

void read_lines(std::istream& in, std::vector<std::string>& out) {
  for (std::string line; std::getline(in, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    const auto first = line.find_first_not_of(" \t\r");
    if (first == std::string::npos) continue;
    out.push_back(line.substr(first, line.find_last_not_of(" \t\r") - first + 1));
  }
}

}  // namespace

Result<std::vector<std::string>> expand_target_args(const std::vector<std::string>& args) {
  std::vector<std::string> out;
  for (const auto& arg : args) {
    if (arg.empty() || arg[0] != '@') {
      out.push_back(arg);
    } else if (arg == "@-") {
      read_lines(std::cin, out);
    } else {
      const auto text = read_file(arg.substr(1), kListMost);
      if (!text) return fail(Errc::invalid, "list of targets: " + text.error().detail);
      std::istringstream lines(*text);
      read_lines(lines, out);
    }
  }
  if (out.empty()) return fail(Errc::invalid, "no target: give addresses, names, ranges, URLs or @FILE");
  return out;
}

Status check_target_args(const std::vector<std::string>& targets, const manifest::Testlet& testlet,
                         bool from) {
  size_t urls = 0;
  for (const auto& target : targets) {
    const bool named = target.rfind("agent:", 0) == 0 || target.rfind("group:", 0) == 0;
    if (named && !from) {
      return fail(Errc::invalid,
                  fmt::format("{} is known to a coordinator only: add --from GROUP, the agents that test it",
                              target));
    }
    if (named && targets.size() > 1)
      return fail(Errc::invalid, fmt::format("{} must be the only target", target));
    urls += target.find("://") != std::string::npos;
  }
  if (urls > 0 && testlet.target_kind != "url") {
    return fail(Errc::invalid,
                fmt::format("{} takes no URLs: give addresses, names or HOST:PORT", testlet.id));
  }
  if (urls > 0 && urls < targets.size())
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
