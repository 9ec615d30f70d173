#pragma once
#include "coordinator/model/fields.h"
#include "coordinator/model/objects.h"

namespace todd::model {

// Reads the `spec` of a Group. Problems are left in `problems`.
void read_group(const Node& spec, Group& group, Problems& problems);

// A map of text to text; what names it in messages.
std::map<std::string, std::string> read_labels(const Node& node, const std::string& what, Problems& problems);

}  // namespace todd::model
