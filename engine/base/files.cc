#include "engine/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "engine/base/fd.h"

namespace todd {
namespace {
std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status write_all(int fd, const std::string& content, const std::string& path) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::write(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "writing " + path);
    done += static_cast<size_t>(n);
  }
  return {};
}
}  // namespace

Result<std::string> read_file(const std::string& path, size_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "opening " + path);
  std::string content;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "reading " + path);
    if (n == 0) return content;
    content.append(buffer, static_cast<size_t>(n));
    if (content.size() > max_bytes) {
      return fail(Errc::exhausted, path + " is longer than " + std::to_string(max_bytes) + " bytes");
    }
  }
}

Status write_file(const std::string& path, const std::string& content, unsigned mode) {
  return write_file_by(path, mode, [&](const FilePiece& put) { return put(content); });
}

Status write_file_by(const std::string& path, unsigned mode,
                     const std::function<Status(const FilePiece&)>& write) {
  const std::string beside = path + ".new";
  ::unlink(beside.c_str());  // of an earlier crash; its mode may be another
  UniqueFd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "making " + beside);
  Status written = write([&](const std::string& piece) { return write_all(fd.get(), piece, beside); });
  if (written && ::fchmod(fd.get(), static_cast<mode_t>(mode)) != 0)
    written = fail_errno(errno, "setting the mode of " + beside);
  if (written && ::fsync(fd.get()) != 0) written = fail_errno(errno, "syncing " + beside);
  if (written && ::rename(beside.c_str(), path.c_str()) != 0)
    written = fail_errno(errno, "renaming " + beside);
  if (!written) {
    ::unlink(beside.c_str());
    return written;
  }
  return sync_folder(folder_of(path));
}

Status make_folders(const std::string& path, unsigned mode) {
  for (size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (::mkdir(path.substr(0, slash).c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno(errno, "making folder " + path.substr(0, slash));
    }
  }
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, "making folder " + path);
  if (::chmod(path.c_str(), static_cast<mode_t>(mode)) != 0)
    return fail_errno(errno, "setting the mode of folder " + path);
  return {};
}

Status sync_folder(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "opening folder " + path);
  if (::fsync(fd.get()) != 0) return fail_errno(errno, "syncing folder " + path);
  return {};
}

Status remove_file(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno(errno, "removing " + path);
  return sync_folder(folder_of(path));
}

}  // namespace todd
