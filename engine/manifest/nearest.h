#pragma once
#include <string>
#include <vector>

namespace todd::manifest {

// The candidate that `word` was most likely meant to be (fewest insertions, deletions, changes and swaps of
// neighbours; the first of equals), or "" if none is close.
std::string nearest(const std::string& word, const std::vector<std::string>& candidates);

// `: did you mean "interval"?`, or "" if none is close. To be appended to an error.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates);

// What is wrong with a file of options, from the words of CLI11, which name a key alone: the file, the key,
// and the nearest of the known ones, with the hint behind that; other faults as they are told.
std::string config_fault(const std::string& file, const std::string& told,
                         const std::vector<std::string>& known, const std::string& hint = "");

}  // namespace todd::manifest
