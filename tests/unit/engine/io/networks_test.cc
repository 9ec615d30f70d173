#include "engine/io/networks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/io/sockets.h"

namespace todd::io {
namespace {

using testing::HasSubstr;

bool in(const std::string& network, const std::string& address) {
  const auto parsed = Network::parse(network);
  EXPECT_TRUE(parsed) << network;
  return parsed && parsed->contains(*parse_address(address, 80));
}

TEST(NetworkTest, HoldsWhatItsPrefixSays) {
  EXPECT_TRUE(in("10.0.0.0/8", "10.255.255.255"));
  EXPECT_FALSE(in("10.0.0.0/8", "11.0.0.0"));
  EXPECT_FALSE(in("10.0.0.0/8", "9.255.255.255"));
  EXPECT_TRUE(in("192.0.2.128/25", "192.0.2.128"));
  EXPECT_FALSE(in("192.0.2.128/25", "192.0.2.127"));
  EXPECT_TRUE(in("192.0.2.7", "192.0.2.7"));
  EXPECT_FALSE(in("192.0.2.7", "192.0.2.6"));
  EXPECT_TRUE(in("192.0.2.7/32", "192.0.2.7"));
  EXPECT_TRUE(in("2001:db8::/33", "2001:db8:7fff:ffff::1"));
  EXPECT_FALSE(in("2001:db8::/33", "2001:db8:8000::"));
  EXPECT_TRUE(in("fe80::/10", "fe80::1%lo"));
  EXPECT_TRUE(in("::/0", "2001:db8::1"));
}

TEST(NetworkTest, EachFamilyByItself) {
  EXPECT_TRUE(in("0.0.0.0/0", "192.0.2.1"));
  EXPECT_FALSE(in("0.0.0.0/0", "2001:db8::1"));
  EXPECT_FALSE(in("::/0", "192.0.2.1"));
  EXPECT_FALSE(in("2001:db8::/32", "192.0.2.1"));
}

TEST(NetworkTest, SeesThroughAddressesThatCarryIPv4) {
  for (const char* disguise : {"::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:201::5"}) {
    EXPECT_TRUE(in("192.0.2.0/24", disguise)) << disguise;
    EXPECT_FALSE(in("198.51.100.0/24", disguise)) << disguise;
  }
  EXPECT_TRUE(in("2002::/16", "2002:c000:201::5")) << "and is what it is, too";
}

TEST(NetworkTest, MeetsRanges) {
  const auto meets = [](const char* network, const char* first, const char* last) {
    return Network::parse(network)->meets(*parse_address(first, 0), *parse_address(last, 0));
  };
  EXPECT_TRUE(meets("10.1.2.3", "10.0.0.0", "10.255.255.255"));
  EXPECT_TRUE(meets("10.0.0.0/8", "10.1.2.3", "10.1.2.4"));
  EXPECT_TRUE(meets("10.0.0.0/8", "9.0.0.0", "10.0.0.0"));
  EXPECT_FALSE(meets("10.0.0.0/8", "9.0.0.0", "9.255.255.255"));
  EXPECT_FALSE(meets("10.0.0.0/8", "11.0.0.0", "12.0.0.0"));
  EXPECT_TRUE(meets("10.0.0.0/8", "64:ff9b::10.1.0.0", "64:ff9b::10.1.0.9"));
  EXPECT_TRUE(meets("10.0.0.0/8", "64:ff9a:ffff:ffff:ffff:ffff:ffff:fff0", "64:ff9b::9"))
      << "amid: look at each";
  EXPECT_FALSE(meets("10.0.0.0/8", "2001:db8::", "2001:db8::ffff"));
}

TEST(NetworkTest, RefusesWhatIsNone) {
  for (const char* bad : {"", "10", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8x",
                          "2001:db8::/129", "example.net", "fe80::1%lo", "10.0.0.0-10.0.0.9"}) {
    const auto parsed = Network::parse(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error().detail, HasSubstr("\"" + std::string(bad) + "\"")) << bad;
  }
  EXPECT_THAT(Network::parse("10.0.0.1/8").error().detail, HasSubstr("bits behind its prefix"));
}

TEST(NetworkTest, TheFirstThatFitsIsFound) {
  const std::vector<Network> all{*Network::parse("10.0.0.0/8"), *Network::parse("10.1.0.0/16")};
  EXPECT_EQ(find_network(all, *parse_address("10.1.0.1", 0))->text(), "10.0.0.0/8");
  EXPECT_EQ(find_network(all, *parse_address("11.1.0.1", 0)), nullptr);
}

}  // namespace
}  // namespace todd::io
