#include "engine/base/privileges.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "engine/base/fd.h"

namespace todd {
namespace {

// errno of a raw socket, 0 if there is one.
int raw_socket_error() {
  const UniqueFd fd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  return fd ? 0 : errno;
}

TEST(GiveUpNetRaw, LeavesNoRawSocketToTheThreadNorToWhatItExecutes) {
  const int before = raw_socket_error();
  std::thread([] {  // capabilities belong to a thread
    ASSERT_TRUE(give_up_net_raw());
    EXPECT_EQ(raw_socket_error(), EPERM);
    EXPECT_TRUE(give_up_net_raw()) << "there is none to take";
    const pid_t child = fork();
    if (child == 0) {
      // CAP_NET_RAW is bit 13: the fourth digit from the right of the effective set.
      execlp("sh", "sh", "-c", "grep -Eq '^CapEff:.*[2367abefABEF]...$' /proc/self/status && exit 1; exit 0",
             nullptr);
      _exit(9);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  })
      .join();
  EXPECT_EQ(raw_socket_error(), before) << "other threads keep theirs";
}

}  // namespace
}  // namespace todd
