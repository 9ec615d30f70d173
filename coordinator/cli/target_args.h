#pragma once
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/manifest/manifest.h"

namespace todd::cli {

// The targets of a command line with every @FILE replaced by its lines ('#' starts a comment, '-' in @- is
// stdin). Errors: invalid (a file that cannot be read, no target at all).
Result<std::vector<std::string>> expand_target_args(const std::vector<std::string>& args);

// Refuses what no --from can mean, and what such a testlet cannot take, in the words of a command line:
// agent:NAME and group:NAME without --from or beside other targets, URLs where there must be none, URLs
// beside others.
Status check_target_args(const std::vector<std::string>& targets, const manifest::Testlet& testlet,
                         bool from);

// How many addresses they stand for. Errors name the argument that is no target.
Result<uint64_t> count_targets(const std::vector<std::string>& targets);

}  // namespace todd::cli
