#pragma once
#include <string>
#include <vector>

namespace todd::manifest {

// The candidate that `word` was most likely meant to be (fewest insertions, deletions, changes and swaps of
// neighbours; the first of equals), or "" if none is close.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

// `: did you mean "interval"?`, or "" if none is close. To be appended to an error.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

}  // namespace todd::manifest
