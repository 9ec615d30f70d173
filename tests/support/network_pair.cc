#include "tests/support/network_pair.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/check.h"

namespace todd::test {
namespace {

UniqueFd own_namespace() { return UniqueFd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

// A new one; the thread is in it afterwards.
UniqueFd new_namespace() { return unshare(CLONE_NEWNET) == 0 ? own_namespace() : UniqueFd(); }

}  // namespace

std::unique_ptr<NetworkPair> NetworkPair::make(std::string& why) {
  std::unique_ptr<NetworkPair> made(new NetworkPair);
  made->home_ = own_namespace();
  made->far_ = new_namespace();
  if (made->far_) made->near_ = new_namespace();
  if (!made->near_) {
    why = std::string("network namespaces need root: ") + strerror(errno);
    return nullptr;
  }
  const std::string far = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(made->far_.get());
  const bool joined = made->near("link set lo up") && made->far("link set lo up") &&
                      made->near(
                          "link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address "
                          "02:00:00:00:00:02 netns " +
                          far) &&
                      made->near("addr add 192.0.2.1/24 dev eth0") &&
                      made->far("addr add 192.0.2.2/24 dev eth0") && made->near("link set eth0 up") &&
                      made->far("link set eth0 up") &&
                      made->near("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0 nud permanent") &&
                      made->far("neigh replace 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent");
  if (joined) return made;
  why = "no pair of network namespaces can be made here; is iproute2 installed?";
  return nullptr;
}

NetworkPair::~NetworkPair() {
  if (home_) TODD_CHECK(setns(home_.get(), CLONE_NEWNET) == 0);
}

bool NetworkPair::ip(const UniqueFd& where, const std::string& words) {
  const std::string command = "PATH=$PATH:/usr/sbin:/sbin; exec ip " + words;
  const pid_t child = fork();
  TODD_CHECK(child >= 0);
  if (child == 0) {
    if (setns(where.get(), CLONE_NEWNET) == 0) execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  int status = 0;
  TODD_CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool NetworkPair::set_near(const std::string& file, const std::string& value) const {
  const UniqueFd fd(open(("/proc/sys/net/" + file).c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

NetworkPair::AtFar::AtFar(const NetworkPair& pair) : pair_(pair) {
  TODD_CHECK(setns(pair.far_.get(), CLONE_NEWNET) == 0);
}
NetworkPair::AtFar::~AtFar() { TODD_CHECK(setns(pair_.near_.get(), CLONE_NEWNET) == 0); }

}  // namespace todd::test
