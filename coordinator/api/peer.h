#pragma once
#include <sys/types.h>

namespace todd::api {

// Whether the process at the other end of a unix socket is root's, this process's user's, or in the group.
bool peer_may(int fd, gid_t group);

}  // namespace todd::api
