#pragma once
// Files that survive a crash.

#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace todd::store {

// The whole file holds `bytes` or what it held before: written beside it, synced, renamed, folder synced.
Status write_atomically(const std::string& path, std::string_view bytes);

// Errors: not_found, denied, system; exhausted above max_bytes.
Result<std::string> read_file(const std::string& path, size_t max_bytes = size_t{1} << 30);

// mkdir -p, private to the owner.
Status make_folder(const std::string& path);

// So that a created, renamed or removed name survives a crash.
Status sync_folder(const std::string& path);

}  // namespace todd::store
