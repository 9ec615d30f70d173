#include "coordinator/api/http_server.h"

#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "coordinator/api/connection.h"
#include "coordinator/api/peer.h"
#include "coordinator/api/problem.h"

namespace todd::api {

struct HttpServer::Impl {
  Impl(io::Loop& l, ServerOptions o, Handler h) : loop(l), options(std::move(o)), handler(std::move(h)) {}

  void accept(UniqueFd fd, std::optional<Response> refusal) {
    if (connections.size() >= options.max_connections) return;  // closed at once: nothing to spend on it
    const uint64_t id = ++last_id;
    auto connection =
        std::make_shared<Connection>(loop, options, handler, [this, id] { connections.erase(id); });
    connections.emplace(id, connection);
    connection->open(std::move(fd), std::move(refusal));
  }

  io::Loop& loop;
  ServerOptions options;
  Handler handler;
  std::vector<std::unique_ptr<io::Listener>> listeners;
  std::map<uint64_t, std::shared_ptr<Connection>> connections;
  uint64_t last_id = 0;
};

HttpServer::HttpServer(io::Loop& loop, ServerOptions options, Handler handler)
    : impl_(std::make_unique<Impl>(loop, std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() {
  impl_->listeners.clear();
  while (!impl_->connections.empty()) {
    const auto connection = impl_->connections.begin()->second;
    connection->close();
  }
}

Result<uint16_t> HttpServer::listen_tcp(const std::string& address, uint16_t port) {
  auto listener = io::listen_tcp(impl_->loop, address, port,
                                 [this](UniqueFd fd) { impl_->accept(std::move(fd), std::nullopt); });
  if (!listener) return tl::unexpected(listener.error());
  const uint16_t bound = (*listener)->port();
  impl_->listeners.push_back(std::move(*listener));
  return bound;
}

Status HttpServer::listen_unix(const std::string& path, gid_t group) {
  const gid_t members = group == static_cast<gid_t>(-1) ? getegid() : group;
  auto listener = io::listen_unix(impl_->loop, path, 0660, [this, members](UniqueFd fd) {
    std::optional<Response> refusal;
    if (!peer_may(fd.get(), members)) {
      refusal = problem(403, "denied",
                        "this user may not use this coordinator: become a member of the socket's group");
    }
    impl_->accept(std::move(fd), std::move(refusal));
  });
  if (!listener) return tl::unexpected(listener.error());
  if (group != static_cast<gid_t>(-1) && chown(path.c_str(), static_cast<uid_t>(-1), group) != 0) {
    return fail_errno(errno, "socket " + path + ": cannot give it to group " + std::to_string(group));
  }
  impl_->listeners.push_back(std::move(*listener));
  return {};
}

size_t HttpServer::connections() const { return impl_->connections.size(); }

}  // namespace todd::api
