#include "engine/io/endpoint.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

namespace todd::io {
namespace {

template <class T>
Endpoint endpoint_of(const T& address) {
  Endpoint out;
  std::memcpy(&out.storage, &address, sizeof address);
  out.size = sizeof address;
  return out;
}

}  // namespace

std::optional<Endpoint> literal_endpoint(const std::string& host, uint16_t port) {
  sockaddr_in v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return endpoint_of(v4);
  }
  const size_t percent = host.find('%');
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &v6.sin6_addr) != 1) return std::nullopt;
  if (percent != std::string::npos) {
    v6.sin6_scope_id = if_nametoindex(host.c_str() + percent + 1);
    if (v6.sin6_scope_id == 0) return std::nullopt;
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  return endpoint_of(v6);
}

std::optional<Endpoint> unix_endpoint(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return endpoint_of(address);
}

std::string host_and_port(const std::string& host, uint16_t port) {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string peer_name(int fd) {
  Endpoint peer;
  peer.size = sizeof peer.storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer.storage), &peer.size) != 0) return "unknown";
  char text[INET6_ADDRSTRLEN] = "";
  switch (peer.storage.ss_family) {
    case AF_UNIX: return "unix:uid=" + std::to_string(peer_uid_of(fd));
    case AF_INET: {
      sockaddr_in v4;
      std::memcpy(&v4, &peer.storage, sizeof v4);
      inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
      return host_and_port(text, ntohs(v4.sin_port));
    }
    case AF_INET6: {
      sockaddr_in6 v6;
      std::memcpy(&v6, &peer.storage, sizeof v6);
      inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
      return host_and_port(text, ntohs(v6.sin6_port));
    }
    default: return "unknown";
  }
}

uint32_t peer_uid_of(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) return UINT32_MAX;
  ucred credentials{};
  size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return UINT32_MAX;
  return credentials.uid;
}

}  // namespace todd::io
