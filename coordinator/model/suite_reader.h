#pragma once
#include "coordinator/model/fields.h"
#include "coordinator/model/objects.h"

namespace todd::model {

// Reads the `tests` of a Suite. Problems are left in `problems`.
void read_tests(const Node& tests, Suite& suite, Problems& problems);

}  // namespace todd::model
