#include "engine/io/interfaces.h"

#include <gtest/gtest.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cstring>

#include "engine/io/sockets.h"
#include "tests/support/network_pair.h"

namespace todd::io {
namespace {

TEST(InterfacesTest, TakesPagesWhereItScattersAndGathers) {
  for (const char* own : {"127.0.0.1", "127.3.2.1"}) {
    const auto fd =
        open_socket({.kind = SocketRequest::udp, .family = AF_INET, .bind_to = *parse_address(own, 0)});
    ASSERT_TRUE(fd);
    EXPECT_TRUE(takes_pages(fd->get())) << own;
  }
  std::string why;
  const auto pair = test::NetworkPair::make(why);
  if (pair == nullptr) GTEST_SKIP() << why;
  const auto fd =
      open_socket({.kind = SocketRequest::udp, .family = AF_INET, .bind_to = *parse_address("192.0.2.1", 0)});
  ASSERT_TRUE(fd);
  EXPECT_TRUE(takes_pages(fd->get()));
  ethtool_value off{.cmd = ETHTOOL_SSG, .data = 0};
  ifreq request{};
  strcpy(request.ifr_name, "eth0");
  request.ifr_data = reinterpret_cast<char*>(&off);
  ASSERT_EQ(ioctl(fd->get(), SIOCETHTOOL, &request), 0);
  EXPECT_FALSE(takes_pages(fd->get()));
}

}  // namespace
}  // namespace todd::io
