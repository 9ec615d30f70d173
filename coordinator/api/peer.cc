#include "coordinator/api/peer.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59  // Linux 4.13
#endif

namespace todd::api {

bool peer_may(int fd, gid_t group) {
  ucred peer{};
  socklen_t len = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) return false;
  if (peer.uid == 0 || peer.uid == geteuid() || peer.gid == group) return true;
  std::vector<gid_t> groups(65536);  // NGROUPS_MAX
  len = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &len) != 0) return false;
  groups.resize(len / sizeof(gid_t));
  return std::find(groups.begin(), groups.end(), group) != groups.end();
}

}  // namespace todd::api
