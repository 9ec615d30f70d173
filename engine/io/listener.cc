#include "engine/io/channel.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "engine/io/endpoint.h"

namespace todd::io {
namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerTurn = 64;  // the other events of the loop want their turn too
constexpr int64_t kPauseNs = 1'000'000'000;

// The file of a unix listener. Removed only while it is still the one we made: a successor may have replaced
// it.
class SocketFile {
 public:
  explicit SocketFile(std::string path) : path_(std::move(path)) {
    struct stat s {};
    if (!path_.empty() && ::stat(path_.c_str(), &s) == 0) device_ = s.st_dev, inode_ = s.st_ino;
  }
  ~SocketFile() {
    struct stat s {};
    if (path_.empty() || ::lstat(path_.c_str(), &s) != 0) return;
    if (S_ISSOCK(s.st_mode) && s.st_dev == device_ && s.st_ino == inode_) ::unlink(path_.c_str());
  }
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

class SocketListener final : public Listener {
 public:
  SocketListener(Loop& loop, UniqueFd fd, uint16_t port, std::string path, Accepted accepted)
      : loop_(loop),
        fd_(std::move(fd)),
        port_(port),
        file_(std::move(path)),
        accepted_(std::make_shared<Accepted>(std::move(accepted))) {
    resume();
  }
  uint16_t port() const override { return port_; }

 private:
  void resume() {
    readable_ = loop_.on_readable(fd_.get(), [this] { accept_some(); });
  }

  void accept_some() {
    for (int i = 0; i < kAcceptsPerTurn; ++i) {
      UniqueFd fd(accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) return stopped(errno);
      const std::shared_ptr<Accepted> call = accepted_;
      (*call)(std::move(fd));
      if (call.use_count() == 1) return;  // the callback destroyed this listener
    }
  }

  void stopped(int error) {
    // Nobody waits, or that peer has gone again. Anything else (EMFILE above all) would be there again at
    // once.
    if (error == EAGAIN || error == ECONNABORTED || error == EINTR || error == EPROTO) return;
    readable_.reset();
    retry_ = loop_.after(kPauseNs, [this] { resume(); });
  }

  Loop& loop_;
  UniqueFd fd_;
  const uint16_t port_;
  SocketFile file_;
  std::shared_ptr<Accepted> accepted_;
  HandlePtr readable_;
  HandlePtr retry_;
};

uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    return ntohs(v6.sin6_port);
  }
  sockaddr_in v4;
  std::memcpy(&v4, &address, sizeof v4);
  return ntohs(v4.sin_port);
}

// Makes room at path for a new socket. Refuses to take the place of a living one, or of anything that is no
// socket.
Status clear_stale_socket(const std::string& path, const Endpoint& endpoint) {
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0) return {};
  if (!S_ISSOCK(s.st_mode))
    return fail(Errc::exists, "unix socket " + path + ": a file that is no socket is in the way; remove it");
  const UniqueFd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe) return fail_errno(errno, "unix socket " + path);
  // EAGAIN is a living listener with a full backlog.
  if (connect(probe.get(), endpoint.address(), endpoint.size) == 0 || errno == EAGAIN ||
      errno == EINPROGRESS) {
    return fail(Errc::exists,
                "unix socket " + path + ": another process listens there; stop it or choose another path");
  }
  if (::unlink(path.c_str()) != 0) return fail_errno(errno, "removing the stale unix socket " + path);
  return {};
}

}  // namespace

Result<std::unique_ptr<Listener>> listen_tcp(Loop& loop, const std::string& address, uint16_t port,
                                             Accepted accepted) {
  const std::string name = "listening on " + host_and_port(address, port);
  const auto endpoint = literal_endpoint(address, port);
  if (!endpoint) return fail(Errc::invalid, name + ": the address must be literal, such as 127.0.0.1 or ::1");
  UniqueFd fd(socket(endpoint->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, name);
  const int on = 1;
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return fail_errno(errno, name);
  if (bind(fd.get(), endpoint->address(), endpoint->size) != 0) return fail_errno(errno, name);
  if (listen(fd.get(), kBacklog) != 0) return fail_errno(errno, name);
  const uint16_t got = bound_port(fd.get());
  return std::make_unique<SocketListener>(loop, std::move(fd), got, "", std::move(accepted));
}

Result<std::unique_ptr<Listener>> listen_unix(Loop& loop, const std::string& path, unsigned mode,
                                              Accepted accepted) {
  const auto endpoint = unix_endpoint(path);
  if (!endpoint) return fail(Errc::invalid, "unix socket '" + path + "': a path of 1 to 107 bytes is needed");
  if (auto room = clear_stale_socket(path, *endpoint); !room) return tl::unexpected(room.error());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "unix socket " + path);
  if (bind(fd.get(), endpoint->address(), endpoint->size) != 0)
    return fail_errno(errno, "unix socket " + path);
  // Nobody can connect before listen(), so the mode is right from the first connection on.
  if (::chmod(path.c_str(), mode) != 0 || listen(fd.get(), kBacklog) != 0) {
    const int error = errno;
    ::unlink(path.c_str());
    return fail_errno(error, "unix socket " + path);
  }
  return std::make_unique<SocketListener>(loop, std::move(fd), 0, path, std::move(accepted));
}

}  // namespace todd::io
