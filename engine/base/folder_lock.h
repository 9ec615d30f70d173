#pragma once
#include <string>

#include "engine/base/fd.h"
#include "engine/base/result.h"

namespace todd {

// One process at a time may use the folder: held while the descriptor is open, so it ends with its process,
// however that ends. `holder` is the program's name, for the message to the second, which names the folder
// and the pid of the first. Errors: exists (in use), denied, system.
Result<UniqueFd> lock_folder(const std::string& folder, const std::string& holder);

}  // namespace todd
