#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::cli {

// Targets, and where each stands: in a file, or as a word of the command line.
struct TargetArgs {
  std::vector<std::string> texts;
  std::vector<uint32_t> lines;                        // of each: its line; 0: of no file
  std::vector<std::pair<size_t, std::string>> files;  // the index of the first text of each, and its name

  void add(std::string text, uint32_t line) {
    texts.push_back(std::move(text));
    lines.push_back(line);
  }
  std::string place(size_t i) const;  // "hosts.txt:3: "; empty for a word of the command line
};

// The targets of a command line with every @FILE replaced by its lines ('#' starts a comment, '-' in @- is
// stdin). Errors: invalid (a file that cannot be read, no target at all).
Result<TargetArgs> expand_target_args(const std::vector<std::string>& args);

// Refuses what no --from can mean, and what such a testlet cannot take, in the words of a command line:
// agent:NAME and group:NAME without --from or beside other targets, URLs where there must be none, URLs
// beside others, and what is no target. Errors name the argument, and its file and line.
Status check_target_args(const TargetArgs& targets, const manifest::Testlet& testlet, bool from);

// How many addresses they stand for. Requires: they are checked.
Result<uint64_t> count_targets(const std::vector<std::string>& targets);

}  // namespace todd::cli
