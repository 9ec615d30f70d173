#include "engine/base/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/files.h"

namespace todd {

Result<UniqueFd> lock_folder(const std::string& folder, const std::string& holder) {
  const std::string path = folder + "/lock";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, path);
    // Only for people: between its lock and its pid the first says nothing yet.
    const auto pid = read_file(path, 64);
    const bool known = pid && !pid->empty() && pid->find_first_not_of("0123456789\n") == std::string::npos;
    return fail(Errc::exists, folder + " is in use by another " + holder +
                                  (known ? ", pid " + pid->substr(0, pid->find('\n')) : "") +
                                  "; stop it or name another --data-dir");
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(fd.get(), 0) != 0 || pwrite(fd.get(), pid.data(), pid.size(), 0) < 0)
    return fail_errno(errno, path);
  return fd;
}

}  // namespace todd
