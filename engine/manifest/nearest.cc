#include "engine/manifest/nearest.h"

#include <algorithm>
#include <cstddef>

#include <fmt/format.h>

namespace todd::manifest {
namespace {

// Words are names; longer input is no misspelling of any and must not cost time.
constexpr size_t kMaxWord = 64;

// Optimal string alignment distance.
size_t distance(const std::string& a, const std::string& b) {
  std::vector<size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    next[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        next[j] = std::min(next[j], before[j - 2] + 1);
    }
    before.swap(row);
    row.swap(next);
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(const std::string& word, const std::vector<std::string>& candidates) {
  if (word.empty() || word.size() > kMaxWord) return "";
  size_t best = std::clamp<size_t>(word.size() / 3, 1, 3) + 1;
  std::string found;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kMaxWord) continue;
    const size_t d = distance(word, candidate);
    // A word with nothing in common is not near, however short both are.
    if (d < best && d < std::max(word.size(), candidate.size())) {
      best = d;
      found = candidate;
    }
  }
  return found;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string found = nearest(word, candidates);
  return found.empty() ? "" : fmt::format(": did you mean \"{}\"?", found);
}

std::string config_fault(const std::string& file, const std::string& told,
                         const std::vector<std::string>& known, const std::string& hint) {
  if (told.rfind("INI was not able to parse ", 0) != 0) return file + ": " + told;
  const std::string key = told.substr(told.rfind(' ') + 1);
  return file + ": there is no option \"" + key + "\"" + did_you_mean(key, known) + hint;
}

}  // namespace todd::manifest
