#pragma once
// Small files read and written whole.

#include <functional>
#include <string>

#include "engine/base/result.h"

namespace todd {

// All of the file. Errors: not_found, denied, exhausted (longer than max_bytes), system.
Result<std::string> read_file(const std::string& path, size_t max_bytes = 16u << 20);

// The file holds either its old content or all of the new one, after a crash too: written beside it, synced,
// renamed, and the folder synced. mode e.g. 0600, regardless of the umask.
Status write_file(const std::string& path, const std::string& content, unsigned mode);

// The same of content that comes in pieces: `write` hands over one after the other and fails if one could not
// be written.
using FilePiece = std::function<Status(const std::string&)>;
Status write_file_by(const std::string& path, unsigned mode,
                     const std::function<Status(const FilePiece&)>& write);

// The folder and those above it, where missing; the last one gets the mode.
Status make_folders(const std::string& path, unsigned mode);

// So that a name that was made, changed or removed in the folder survives a crash.
Status sync_folder(const std::string& path);

// Removing what is not there is no error. Durable on return.
Status remove_file(const std::string& path);

}  // namespace todd
