// Routes and neighbours as the kernel of a namespace has them, told as it would act on them.
#include "engine/io/next_hops.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>

#include <string>

#include "tests/support/network_pair.h"

namespace todd::io {
namespace {

constexpr MacAddress kNear{2, 0, 0, 0, 0, 1}, kFar{2, 0, 0, 0, 0, 2}, kOther{2, 0, 0, 0, 0, 3};

class NextHopsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    network_ = test::NetworkPair::make(why);
    if (!network_) GTEST_SKIP() << why;
  }
  void ip(const std::string& words) { ASSERT_TRUE(network_->near(words)) << words; }
  void read() {
    uint64_t calls = 0;
    auto hops = NextHops::read(calls);
    ASSERT_TRUE(hops) << hops.error().detail;
    EXPECT_GE(calls, 10u);  // a socket, four dumps
    hops_ = std::move(*hops);
  }
  // Whose link address frames to there get: "far", "other", or "kernel" if none are sent.
  std::string way_to(const char* address) {
    in_addr to{};
    EXPECT_EQ(inet_pton(AF_INET, address, &to), 1);
    const NextHop* const hop = hops_.find(to);
    if (hop == nullptr) return "kernel";
    EXPECT_EQ(hop->interface, if_nametoindex("eth0"));
    EXPECT_EQ(hop->own, kNear);
    EXPECT_EQ(hop->source.s_addr, inet_addr("192.0.2.1"));
    return hop->peer == kFar ? "far" : hop->peer == kOther ? "other" : "?";
  }

  std::unique_ptr<test::NetworkPair> network_;
  NextHops hops_;
};

TEST_F(NextHopsTest, WithoutAGatewayEverythingIsTheKernels) {
  read();
  EXPECT_FALSE(hops_.only_unresolved());
  for (const char* to : {"192.0.2.2", "192.0.2.1", "127.0.0.1", "198.51.100.1", "255.255.255.255"})
    EXPECT_EQ(way_to(to), "kernel") << to;
}

TEST_F(NextHopsTest, AGatewayThatIsNotResolvedIsToldFromNone) {
  ip("route add default via 192.0.2.9");
  read();
  EXPECT_TRUE(hops_.only_unresolved());
  ip("neigh replace 192.0.2.9 lladdr 02:00:00:00:00:03 dev eth0 nud permanent");
  read();
  EXPECT_FALSE(hops_.only_unresolved());
  EXPECT_EQ(way_to("198.51.100.1"), "other");
}

TEST_F(NextHopsTest, AGatewayNotHeardOfLatelyIsDoubtful) {
  ip("route add default via 192.0.2.2");
  in_addr to{};
  inet_pton(AF_INET, "198.51.100.1", &to);
  read();
  ASSERT_NE(hops_.find(to), nullptr);
  EXPECT_FALSE(hops_.find(to)->doubtful);
  ip("neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0 nud stale");
  read();
  ASSERT_NE(hops_.find(to), nullptr);
  EXPECT_TRUE(hops_.find(to)->doubtful);
  hops_.trust(*hops_.find(to));
  EXPECT_FALSE(hops_.find(to)->doubtful);
}

TEST_F(NextHopsTest, ADefaultGatewayIsTheWayOut) {
  ip("route add default via 192.0.2.2");
  read();
  for (const char* to : {"198.51.100.1", "10.0.0.1", "1.0.0.0", "223.255.255.254"})
    EXPECT_EQ(way_to(to), "far") << to;
  for (const char* to : {"192.0.2.2", "192.0.2.77", "192.0.2.255", "192.0.2.1", "127.0.0.1", "127.9.9.9"})
    EXPECT_EQ(way_to(to), "kernel") << to << " is on the link, or this host";
}

TEST_F(NextHopsTest, TheLongestPrefixDecides) {
  ip("neigh replace 192.0.2.3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent");
  ip("route add default via 192.0.2.2");
  ip("route add 10.0.0.0/8 via 192.0.2.3");
  ip("route add 10.1.0.0/16 via 192.0.2.2");
  ip("route add 10.1.2.3/32 via 192.0.2.3");
  ip("route add 10.2.0.0/16 dev eth0");
  read();
  EXPECT_EQ(way_to("9.255.255.255"), "far");
  EXPECT_EQ(way_to("10.0.0.1"), "other");
  EXPECT_EQ(way_to("10.255.255.255"), "other");
  EXPECT_EQ(way_to("11.0.0.0"), "far");
  EXPECT_EQ(way_to("10.1.2.2"), "far");
  EXPECT_EQ(way_to("10.1.2.3"), "other");
  EXPECT_EQ(way_to("10.2.0.1"), "kernel") << "on the link";
}

TEST_F(NextHopsTest, TheLowerMetricDecidesBetweenEqualPrefixes) {
  ip("neigh replace 192.0.2.3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent");
  ip("route add 10.0.0.0/8 via 192.0.2.3 metric 200");
  ip("route add 10.0.0.0/8 via 192.0.2.2 metric 100");
  read();
  EXPECT_EQ(way_to("10.0.0.1"), "far");
}

TEST_F(NextHopsTest, RoutesThatRefuseAreTheKernels) {
  ip("route add default via 192.0.2.2");
  ip("route add blackhole 10.1.0.0/16");
  ip("route add unreachable 10.2.0.0/16");
  ip("route add prohibit 10.3.0.0/16");
  ip("route add throw 10.4.0.0/16");
  ip("route add local 10.5.0.0/16 dev lo");
  read();
  EXPECT_EQ(way_to("10.0.0.1"), "far");
  for (const char* to : {"10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "10.5.0.1"})
    EXPECT_EQ(way_to(to), "kernel") << to;
}

// The kernel chooses the path by a hash of its own, and knows what a route's MTU means.
TEST_F(NextHopsTest, SeveralPathsMetricsAndNexthopObjectsAreTheKernels) {
  ip("neigh replace 192.0.2.3 lladdr 02:00:00:00:00:03 dev eth0 nud permanent");
  ip("route add 10.1.0.0/16 nexthop via 192.0.2.2 nexthop via 192.0.2.3");
  ip("route add 10.2.0.0/16 via 192.0.2.2 mtu 1200");
  ip("nexthop add id 7 via 192.0.2.2 dev eth0");
  ip("route add 10.3.0.0/16 nhid 7");
  ip("route add 10.4.0.0/16 tos 0x10 via 192.0.2.2");
  ip("route add 10.5.0.0/16 via 192.0.2.2");
  read();
  for (const char* to : {"10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1"})
    EXPECT_EQ(way_to(to), "kernel") << to;
  EXPECT_EQ(way_to("10.5.0.1"), "far");
}

TEST_F(NextHopsTest, AGatewayThatIsNotResolvedIsTheKernels) {
  ip("route add 10.1.0.0/16 via 192.0.2.99");
  ip("route add 10.2.0.0/16 via 192.0.2.3");
  ip("neigh replace 192.0.2.3 dev eth0 nud failed");
  read();
  EXPECT_EQ(way_to("10.1.0.1"), "kernel");
  EXPECT_EQ(way_to("10.2.0.1"), "kernel");
  ip("neigh replace 192.0.2.3 lladdr 02:00:00:00:00:03 dev eth0 nud stale");
  read();
  EXPECT_EQ(way_to("10.2.0.1"), "other") << "stale: the kernel would use it too, and ask meanwhile";
}

TEST_F(NextHopsTest, OnlyEthernetThatIsUpAndResolves) {
  ip("link add two address 02:00:00:00:00:09 type veth peer name three");
  ip("addr add 198.18.0.1/24 dev two");
  ip("link set two up");
  ip("neigh replace 198.18.0.2 lladdr 02:00:00:00:00:03 dev two nud permanent");
  ip("route add 10.1.0.0/16 via 198.18.0.2");
  read();
  const in_addr behind{inet_addr("10.1.0.1")};
  EXPECT_EQ(hops_.find(behind), nullptr) << "its peer is down: no carrier";
  ip("link set three up");
  // The kernel tells of a carrier when it comes to it.
  for (int tries = 0; tries < 1000 && hops_.find(behind) == nullptr; ++tries) read();
  ASSERT_NE(hops_.find(behind), nullptr);
  EXPECT_EQ(hops_.find(behind)->interface, if_nametoindex("two"));
  ip("link set two arp off");
  read();
  EXPECT_EQ(hops_.find(behind), nullptr) << "without link addresses";
  ip("tuntap add four mode tun");
  ip("addr add 198.18.1.1/24 dev four");
  ip("link set four up");
  ip("route add 10.2.0.0/16 via 198.18.1.2");
  read();
  EXPECT_EQ(way_to("10.2.0.1"), "kernel") << "a tunnel";
}

TEST_F(NextHopsTest, TheSourceIsTheRoutes) {
  ip("addr add 192.0.2.77/24 dev eth0");
  ip("route add 10.0.0.0/8 via 192.0.2.2 src 192.0.2.77");
  read();
  const NextHop* const hop = hops_.find({inet_addr("10.0.0.1")});
  ASSERT_NE(hop, nullptr);
  EXPECT_EQ(hop->source.s_addr, inet_addr("192.0.2.77"));
}

TEST_F(NextHopsTest, RulesOfTheHostsOwnAreNotFollowed) {
  ip("route add default via 192.0.2.2");
  for (const std::string rule :
       {"from 198.51.100.1 lookup main", "to 198.51.100.0/24 lookup 100", "fwmark 7 lookup main",
        "iif lo lookup main", "tos 0x10 lookup main", "prohibit", "lookup 100"}) {
    ip("rule add priority 1000 " + rule);
    uint64_t calls = 0;
    const auto hops = NextHops::read(calls);
    ASSERT_FALSE(hops) << rule;
    EXPECT_EQ(hops.error().code, Errc::unsupported) << rule;
    ip("rule del priority 1000");
  }
  read();
  EXPECT_EQ(way_to("198.51.100.1"), "far");
}

TEST_F(NextHopsTest, VeryManyRoutesAreLeftToTheKernel) {
  // What a namespace has of its own: local and broadcast addresses of lo and eth0, and the link.
  std::string words = "-batch /dev/stdin <<TODD\n";
  for (size_t i = 0; i <= NextHops::kMostRoutes; ++i)
    words += "route add 10." + std::to_string(i) + ".0.0/16 via 192.0.2.2\n";
  ip(words + "TODD");
  uint64_t calls = 0;
  const auto hops = NextHops::read(calls);
  ASSERT_FALSE(hops);
  EXPECT_EQ(hops.error().code, Errc::unsupported);
  for (size_t i = 0; i < 20; ++i) ip("route del 10." + std::to_string(i) + ".0.0/16");
  read();
  EXPECT_EQ(way_to("10.19.0.1"), "kernel");
  EXPECT_EQ(way_to("10.20.0.1"), "far");
}

}  // namespace
}  // namespace todd::io
