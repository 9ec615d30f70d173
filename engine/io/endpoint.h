#pragma once
// Socket addresses of the control plane as text and back.

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

namespace todd::io {

struct Endpoint {
  sockaddr_storage storage{};
  socklen_t size = 0;

  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// "192.0.2.1", "2001:db8::1", "fe80::1%eth0"; nothing else, names least of all.
std::optional<Endpoint> literal_endpoint(const std::string& host, uint16_t port);
// "/run/todd/link.sock"; none when empty or longer than the kernel takes (107 bytes).
std::optional<Endpoint> unix_endpoint(const std::string& path);
// "192.0.2.1:443", "[2001:db8::1]:443".
std::string host_and_port(const std::string& host, uint16_t port);
// Who is at the other end of a connected socket: as above, or "unix:uid=0". "unknown" if the kernel does not
// say.
std::string peer_name(int fd);
uint32_t peer_uid_of(int fd);  // UINT32_MAX when it is not a unix socket

}  // namespace todd::io
