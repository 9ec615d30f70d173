#include "engine/io/connector.h"

#include <cerrno>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/clock.h"

namespace todd::io {

Connector::Connector(Loop& loop, std::string name, int64_t within_ns, Done done)
    : loop_(loop), name_(std::move(name)), deadline_ns_(monotonic_ns() + within_ns), done_(std::move(done)) {}

void Connector::tcp(const std::string& host, uint16_t port) {
  if (const auto literal = literal_endpoint(host, port)) {
    left_.push_back(*literal);
    timer_ = loop_.after(0, [this] { try_next(); });
    return;
  }
  timer_ = loop_.after(deadline_ns_ - monotonic_ns(), [this] {
    finish(fail(Errc::timed_out,
                "resolving " + name_ + ": no answer in time; check the name servers in resolv.conf"));
  });
  resolver_ = std::make_unique<Resolver>(loop_);
  resolver_->resolve(host, AF_UNSPEC, [this, port](Result<std::vector<std::string>> addresses) {
    if (!addresses) return finish(tl::unexpected(addresses.error()));
    for (const std::string& address : *addresses) {
      if (const auto endpoint = literal_endpoint(address, port)) left_.push_back(*endpoint);
    }
    try_next();
  });
}

void Connector::local(const std::string& path) {
  const auto endpoint = unix_endpoint(path);
  if (!endpoint)
    return fail_soon({Errc::invalid, 0, "unix socket '" + path + "': a path of 1 to 107 bytes is needed"});
  left_.push_back(*endpoint);
  timer_ = loop_.after(0, [this] { try_next(); });
}

void Connector::fail_soon(Error error) {
  timer_ = loop_.after(0, [this, error = std::move(error)] { finish(tl::unexpected(error)); });
}

void Connector::try_next() {
  if (left_.empty()) return finish(tl::unexpected(last_));
  const auto share = (deadline_ns_ - monotonic_ns()) / static_cast<int64_t>(left_.size());
  const Endpoint to = left_.front();
  left_.pop_front();
  timer_ = loop_.after(share, [this] {
    failed({Errc::timed_out, 0, "connecting to " + name_ + ": no answer in time"});
  });
  attempt(to);
}

void Connector::attempt(const Endpoint& to) {
  fd_ = UniqueFd(socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd_) return failed(fail_errno(errno, "socket for " + name_).value());
  if (connect(fd_.get(), to.address(), to.size) == 0) return finish(std::move(fd_));
  if (errno != EINPROGRESS) return failed(fail_errno(errno, "connecting to " + name_).value());
  writable_ = loop_.on_writable(fd_.get(), [this] { completed(); });
}

void Connector::completed() {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
  if (error != 0) return failed(fail_errno(error, "connecting to " + name_).value());
  finish(std::move(fd_));
}

void Connector::failed(Error error) {
  writable_.reset();
  fd_.reset();
  last_ = std::move(error);
  try_next();
}

// done_ may destroy this: nothing of it is touched afterwards.
void Connector::finish(Result<UniqueFd> result) {
  writable_.reset();
  timer_.reset();
  const Done done = std::move(done_);
  done(std::move(result));
}

}  // namespace todd::io
