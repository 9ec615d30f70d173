#pragma once
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace todd::cli {

// The targets of a command line with every @FILE replaced by its lines ('#' starts a comment, '-' in @- is stdin).
// Errors: invalid (a file that cannot be read, no target at all).
Result<std::vector<std::string>> expand_target_args(const std::vector<std::string>& args);

// How many addresses they stand for. Errors name the argument that is no target.
Result<uint64_t> count_targets(const std::vector<std::string>& targets);

}  // namespace todd::cli
