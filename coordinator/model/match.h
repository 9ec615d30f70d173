#pragma once
// Which agents a group's rule takes. A pattern is an anchored glob (* and ?, case kept), or an anchored RE2
// expression between slashes; the fact
// `address` also takes a CIDR.

#include <string>
#include <vector>

#include "coordinator/model/facts.h"
#include "coordinator/model/objects.h"
#include "engine/base/result.h"

namespace todd::model {

// Errc::invalid for a pattern that cannot be read.
Result<bool> matches(const Matcher& matcher, const Facts& facts);

// Checks all patterns of a rule; parse_documents calls it. The error names no place.
Status check_patterns(const std::vector<std::string>& patterns, const std::string& fact);

// Whether the text fits a single pattern.
Result<bool> matches_pattern(const std::string& pattern, const std::string& text, bool is_address);

// Why a group takes an agent or not, one line per rule.
Result<std::string> explain(const Group& group, const Facts& facts);

}  // namespace todd::model
