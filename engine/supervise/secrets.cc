#include "engine/supervise/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/fd.h"
#include "engine/base/utf8.h"
#include "engine/manifest/params.h"
#include "todd/v1/task.pb.h"

namespace todd::supervise {
namespace {

// A FIFO must not hold us up, so it is opened without waiting and refused afterwards. openat2 is of Linux
// 5.6, and some sandboxes do not know it: there no link is followed at all.
int open_beneath(int folder, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  const long fd = syscall(SYS_openat2, folder, name.c_str(), &how, sizeof how);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(fd);
  return openat(folder, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
}

Status check_file(int fd, const std::string& path) {
  struct stat about {};
  if (fstat(fd, &about) != 0) return fail_errno(errno, path);
  if (!S_ISREG(about.st_mode)) return fail(Errc::invalid, path + " is no regular file");
  if ((about.st_mode & S_IRWXO) != 0)
    return fail(Errc::denied, fmt::format("{} is open to everybody (mode {:04o}); chmod 600 {}", path,
                                          about.st_mode & 07777, path));
  return {};
}

Result<std::string> read_all(int fd, const std::string& path) {
  std::string text(kMaxSecretBytes + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd, text.data() + size, text.size() - size);
    if (n == 0) break;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, path);
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  if (size > kMaxSecretBytes) return fail(Errc::invalid, path + " is longer than 64 KiB");
  return text;
}

Result<std::string> value_of(std::string text, const std::string& path) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.empty()) return fail(Errc::invalid, path + " is empty");
  if (text.find('\0') != text.npos) return fail(Errc::invalid, path + " is no text: it has a NUL byte");
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_length(std::string_view(text).substr(at));
    if (length == 0) return fail(Errc::invalid, path + " is no text in UTF-8");
    at += length;
  }
  return text;
}

// not_found if the place has no such file.
Result<std::string> read_from(const std::string& place, const std::string& name) {
  const std::string path = place + "/" + name;
  const UniqueFd folder(open(place.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return fail_errno(errno, place);
  const UniqueFd file(open_beneath(folder.get(), name));
  if (!file && (errno == EXDEV || errno == ELOOP))
    return fail(
        Errc::invalid,
        fmt::format("{} is a symbolic link that leads out of {}; put the file itself there", path, place));
  if (!file && errno == EACCES)
    return fail(Errc::denied, path + " may not be read by the user of this process; chown it");
  if (!file) return fail_errno(errno, path);
  if (auto good = check_file(file.get(), path); !good) return tl::unexpected(good.error());
  auto text = read_all(file.get(), path);
  if (!text) return text;
  return value_of(std::move(*text), path);
}

}  // namespace

Result<std::string> read_secret(const SecretPlaces& places, const std::string& name) {
  const auto of_secret = [&](const Error& error) {
    return fail(error.code, fmt::format("secret \"{}\": {}", name, error.detail));
  };
  if (auto good = manifest::check_secret_name(name); !good) return of_secret(good.error());
  std::string looked;
  for (const std::string* place : {&places.folder, &places.credentials}) {
    if (place->empty()) continue;
    auto value = read_from(*place, name);
    if (value) return value;
    if (value.error().code != Errc::not_found) return of_secret(value.error());
    looked += (looked.empty() ? "not in " : " nor in ") + *place;
  }
  if (looked.empty()) looked = "no folder of secrets is set";
  if (places.credentials.empty()) looked += ", and systemd passed no credentials";
  const std::string remedy =
      places.folder.empty() ? "" : fmt::format("; put its value into {}/{}, mode 0600", places.folder, name);
  return of_secret({Errc::not_found, 0, looked + remedy});
}

Status fill_secrets(v1::Task& task, const SecretPlaces& places) {
  for (auto& param : *task.mutable_params()) {
    if (!param.has_secret()) continue;
    auto value = read_secret(places, param.secret());
    if (!value) return tl::unexpected(value.error());
    param.set_s(std::move(*value));
  }
  return {};
}

}  // namespace todd::supervise
