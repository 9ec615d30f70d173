#include "engine/agent/facts.h"

#include <gtest/gtest.h>

#include "engine/agent/backoff.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {
TEST(FactsTest, FindsTheDefaultRouteOfLowestMetric) {
  const char* const table =
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth1\t00000000\t0100000A\t0003\t0\t0\t200\t00000000\t0\t0\t0\n"
      "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
      "eth2\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
      "tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n";  // 0.0.0.0/1 is not the default route
  EXPECT_EQ(default_interface_v4(table), "eth0");
  EXPECT_EQ(default_interface_v4(""), "");
}

TEST(FactsTest, FindsTheDefaultRouteOfIpv6) {
  const std::string zeros(32, '0');
  const std::string table =
      zeros + " 00 " + zeros + " 00 " + zeros + " ffffffff 00000001 00000000 00200200       lo\n" + zeros +
      " 00 " + zeros + " 00 fe800000000000000000000000000001 00000400 00000000 00000000 00450003     eth0\n";
  EXPECT_EQ(default_interface_v6(table), "eth0");
  EXPECT_EQ(default_interface_v6("garbage\n"), "");
}

TEST(FactsTest, ReadsTheNameOfTheSystem) {
  EXPECT_EQ(os_name("NAME=\"x\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"),
            "Debian GNU/Linux 12 (bookworm)");
  EXPECT_EQ(os_name("PRETTY_NAME=Plain\n"), "Plain");
  EXPECT_EQ(os_name(""), "");
}

TEST(FactsTest, AreCompleteOnThisHost) {
  Config config;
  config.name = "lab-1";
  config.labels = {{"site", "a"}};
  v1::Facts facts;
  fill_facts(facts, config);
  EXPECT_FALSE(facts.hostname().empty());
  EXPECT_FALSE(facts.kernel().empty());
  EXPECT_GT(facts.addresses_size(), 0);
  EXPECT_GT(facts.test_addresses_size(), 0);
  EXPECT_EQ(facts.labels().at("site"), "a");
  EXPECT_EQ(facts.listen_last(), 7599u);
  config.test_addresses = {"192.0.2.9"};
  v1::Facts chosen;
  fill_facts(chosen, config);
  ASSERT_EQ(chosen.test_addresses_size(), 1);
  EXPECT_EQ(chosen.test_addresses(0), "192.0.2.9");
}

TEST(BackoffTest, DoublesItsBoundUpToTheLongest) {
  Backoff backoff(100, 1000, 1);
  for (const int64_t bound : {100, 200, 400, 800, 1000, 1000}) {
    EXPECT_EQ(backoff.bound_ns(), bound);
    const int64_t delay = backoff.next_ns();
    EXPECT_GE(delay, 0);
    EXPECT_LE(delay, bound);
  }
  for (int i = 0; i < 100; ++i) backoff.next_ns();
  EXPECT_EQ(backoff.bound_ns(), 1000);
  backoff.reset();
  EXPECT_EQ(backoff.bound_ns(), 100);
}

TEST(BackoffTest, SpreadsOverTheWholeRange) {
  Backoff backoff(1000, 1000, 7);
  int low = 0, high = 0;
  for (int i = 0; i < 1000; ++i) (backoff.next_ns() < 500 ? low : high) += 1;
  EXPECT_GT(low, 400);
  EXPECT_GT(high, 400);
}
}  // namespace
}  // namespace todd::agent
