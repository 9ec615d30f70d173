#pragma once
// The values of secrets: known by their names alone everywhere but on the host that tests with them.

#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace todd::v1 {
class Task;
}

namespace todd::supervise {

inline constexpr size_t kMaxSecretBytes = 64 * 1024;

// Where they are looked for, in this order. "" is no place. Each is a folder with a file per secret, which
// has its name.
struct SecretPlaces {
  std::string folder;
  std::string credentials;  // $CREDENTIALS_DIRECTORY, what systemd passes to a service
};

// The value: the file's text without its last newline. A symbolic link may lead to another file of the
// folder. Blocks no longer than a small file takes. Errors: not_found (no such file; names the places),
// denied (not readable, or by everybody), invalid (no name, no regular file, empty, longer than
// kMaxSecretBytes, with a NUL or no UTF-8, a link that leads out). No error quotes what is in the file.
Result<std::string> read_secret(const SecretPlaces& places, const std::string& name);

// Puts the values in place of the names among the task's params. Errors: as read_secret's, of the first.
Status fill_secrets(v1::Task& task, const SecretPlaces& places);

}  // namespace todd::supervise
