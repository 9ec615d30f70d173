#include "coordinator/store/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "engine/base/fd.h"

namespace todd::store {
namespace {
std::string folder_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

Status write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot write " + path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}
}  // namespace

Status write_atomically(const std::string& path, std::string_view bytes) {
  const std::string beside = path + ".new";
  UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
  if (!fd) return fail_errno(errno, "cannot create " + beside);
  Status written = write_all(fd.get(), bytes, beside);
  if (written && ::fsync(fd.get()) != 0) written = fail_errno(errno, "cannot sync " + beside);
  if (written && ::rename(beside.c_str(), path.c_str()) != 0)
    written = fail_errno(errno, "cannot replace " + path);
  if (!written) {
    ::unlink(beside.c_str());
    return written;
  }
  return sync_folder(folder_of(path));
}

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "cannot read " + path);
  std::string bytes;
  char block[65536];
  for (;;) {
    const ssize_t n = ::read(fd.get(), block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot read " + path);
    if (n == 0) return bytes;
    bytes.append(block, static_cast<size_t>(n));
    if (bytes.size() > max_bytes) {
      return fail(Errc::exhausted, path + " is larger than " + std::to_string(max_bytes) + " bytes");
    }
  }
}

Status make_folder(const std::string& path) {
  std::error_code error;
  const bool made = std::filesystem::create_directories(path, error);
  if (error) return fail_errno(error.value(), "cannot make folder " + path);
  if (made) std::filesystem::permissions(path, std::filesystem::perms::owner_all, error);
  return {};
}

Status sync_folder(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail_errno(errno, "cannot sync folder " + path);
  return {};
}

}  // namespace todd::store
