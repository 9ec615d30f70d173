#pragma once
#include <vector>

#include "engine/manifest/params.h"

namespace todd::v1 {
class Task;
}

namespace todd::run {

// Puts a testlet's params into a task, as what they resolved to, in the order they are declared.
void encode_params(const std::vector<manifest::TypedValue>& values, v1::Task& out);

}  // namespace todd::run
