#include "engine/schedule/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::schedule {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

TargetSpec of(const std::string& host) {
  TargetSpec spec;
  spec.host = host;
  return spec;
}

TEST(Targets, CountAndExpand) {
  struct Case {
    const char* host;
    uint64_t n;
    const char *first, *last;
  };
  for (const Case& c : {
           Case{"192.0.2.7", 1, "192.0.2.7", "192.0.2.7"},
           Case{"example.net", 1, "example.net", "example.net"},
           Case{"a-b.example", 1, "a-b.example", "a-b.example"},
           Case{"2001:DB8::1", 1, "2001:DB8::1", "2001:DB8::1"},
           Case{"fe80::1%eth0", 1, "fe80::1%eth0", "fe80::1%eth0"},
           Case{"192.0.2.0/24", 254, "192.0.2.1", "192.0.2.254"},
           Case{"192.0.2.77/24", 254, "192.0.2.1", "192.0.2.254"},
           Case{"192.0.2.4/30", 2, "192.0.2.5", "192.0.2.6"},
           Case{"192.0.2.4/31", 2, "192.0.2.4", "192.0.2.5"},
           Case{"192.0.2.4/32", 1, "192.0.2.4", "192.0.2.4"},
           Case{"10.0.0.0/12", (1u << 20) - 2, "10.0.0.1", "10.15.255.254"},
           Case{"2001:db8::/126", 4, "2001:db8::", "2001:db8::3"},
           Case{"2001:db8::/108", 1u << 20, "2001:db8::", "2001:db8::f:ffff"},
           Case{"192.0.2.254-192.0.3.1", 4, "192.0.2.254", "192.0.3.1"},
           Case{"2001:db8::fffe-2001:db8::1:0", 3, "2001:db8::fffe", "2001:db8::1:0"},
           Case{"192.0.2.1-192.0.2.1", 1, "192.0.2.1", "192.0.2.1"},
       }) {
    const auto n = count(of(c.host));
    ASSERT_TRUE(n) << n.error().detail;
    EXPECT_EQ(*n, c.n) << c.host;
    EXPECT_EQ(host_at(of(c.host), 0), c.first);
    EXPECT_EQ(host_at(of(c.host), *n - 1), c.last);
  }
}

TEST(Targets, TooManyIsExhaustedWithTheNumber) {
  for (const auto& [host, n] : {std::pair{"10.0.0.0/8", "16777214"},
                                {"2001:db8::/64", "18446744073709551616"},
                                {"::/0", "340282366920938463463374607431768211455"},
                                {"0.0.0.0-255.255.255.255", "4294967296"}}) {
    const auto result = count(of(host));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::exhausted);
    EXPECT_THAT(result.error().detail, HasSubstr(n));
  }
}

// A probe to 0.0.0.0 would reach this host, one to a multicast address many.
TEST(Targets, WhatIsNoHostsAddressIsRefused) {
  for (const auto& [text, why] : {std::pair{"0.0.0.0", "0.0.0.0 is no host; this host is 127.0.0.1"},
                                  {"0.0.0.0:80", "no host"},
                                  {"0.0.0.0-0.0.0.9", "no host"},
                                  {"0.0.0.0/31", "no host"},
                                  {"http://0.0.0.0:8080/", "no host"},
                                  {"::", ":: is no host; this host is ::1"},
                                  {"[::]:80", "no host"},
                                  {"::/120", "no host"},
                                  {"::%lo", "no host"},
                                  {"224.0.0.1", "224.0.0.0/4 is multicast; name each host"},
                                  {"239.255.255.255", "multicast"},
                                  {"223.255.255.254-224.0.0.0", "multicast"},
                                  {"239.1.2.0/24", "multicast"},
                                  {"ff02::1", "ff00::/8 is multicast"},
                                  {"ff02::1%eth0", "multicast"},
                                  {"[ff0e::1]:7", "multicast"},
                                  {"http://[ff0e::1]/", "multicast"},
                                  {"::ffff:0.0.0.0", "0.0.0.0 is no host"},
                                  {"[::ffff:0:0]:80", "no host"},
                                  {"http://[::ffff:0.0.0.0]/", "no host"},
                                  {"::ffff:e000:1", "224.0.0.0/4 is multicast"},
                                  {"::ffff:239.1.2.0/120", "multicast"},
                                  {"::ffff:223.255.255.254-::ffff:224.0.0.0", "multicast"},
                                  {"::fffe:ffff:fff0-::ffff:0:5", "no host"},
                                  {"::ffff:255.255.255.255", "broadcast"},
                                  {"255.255.255.255", "broadcast"},
                                  {"255.255.255.0-255.255.255.255", "broadcast"}}) {
    const auto spec = parse_target(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_EQ(spec.error().code, Errc::invalid);
    EXPECT_THAT(spec.error().detail, AllOf(StartsWith("target \""), HasSubstr(why))) << text;
  }
  for (const char* text :
       {"0.0.0.1", "0.0.0.0/24", "223.255.255.255", "240.0.0.1", "255.255.255.254", "::1", "::2-::9",
        "feff::1", "::ffff:0.0.0.1", "::ffff:192.0.2.0/120", "::fffe:0:0", "::1:0:0:1", "fe80::1%eth0"})
    EXPECT_TRUE(parse_target(text)) << text;
}

TEST(Targets, LiteralsAreNotNames) {
  for (const char* host : {"192.0.2.1", "::1", "fe80::1%eth0", "::ffff:192.0.2.1"})
    EXPECT_TRUE(is_literal(host)) << host;
  for (const char* host :
       {"example.net", "192.0.2", "192.0.2.01", "192.0.2.1%eth0", "fe80::1%", "", "10.0.0.0/8"}) {
    EXPECT_FALSE(is_literal(host)) << host;
  }
  EXPECT_FALSE(is_literal(std::string("192.0.2.1\0x", 11)));
}

TEST(ParseTarget, HostsAndPorts) {
  struct Case {
    const char *text, *host;
    uint16_t port;
    const char* url;
  };
  for (const Case& c : {
           Case{"192.0.2.1", "192.0.2.1", 0, ""},
           Case{"192.0.2.1:7", "192.0.2.1", 7, ""},
           Case{"example.net", "example.net", 0, ""},
           Case{"example.net.:65535", "example.net.", 65535, ""},
           Case{"_srv.host_1", "_srv.host_1", 0, ""},
           Case{"::1", "::1", 0, ""},
           Case{"[::1]", "::1", 0, ""},
           Case{"[fe80::1%eth0]:443", "fe80::1%eth0", 443, ""},
           Case{"192.0.2.0/24", "192.0.2.0/24", 0, ""},
           Case{"2001:db8::/120", "2001:db8::/120", 0, ""},
           Case{"192.0.2.1-192.0.2.9", "192.0.2.1-192.0.2.9", 0, ""},
           Case{"http://example.net", "example.net", 80, "http://example.net"},
           Case{"https://[::1]:8443/a?b=http://c", "::1", 8443, "https://[::1]:8443/a?b=http://c"},
           Case{"https://192.0.2.1/x", "192.0.2.1", 443, "https://192.0.2.1/x"},
       }) {
    const auto spec = parse_target(c.text);
    ASSERT_TRUE(spec) << spec.error().detail;
    EXPECT_EQ(spec->name, c.text);
    EXPECT_EQ(spec->host, c.host);
    EXPECT_EQ(spec->port, c.port) << c.text;
    EXPECT_EQ(spec->url, c.url);
    EXPECT_TRUE(count(*spec));
  }
}

TEST(ParseTarget, ErrorsNameTextAndExpectation) {
  for (const auto& [text, expected] : {
           std::pair{"", "expected an address"},
           {"192.0.2.256", "expected an address"},
           {"192.0.2", "expected an address"},
           {"exa mple", "expected an address"},
           {"-x", "expected an address"},
           {"a..b", "expected an address"},
           {"example.net:", "1 to 65535"},
           {"example.net:0", "1 to 65535"},
           {"example.net:65536", "1 to 65535"},
           {"example.net:+1", "1 to 65535"},
           {"[::1", "not closed"},
           {"[::1]80", "after ]"},
           {"[example]:80", "no IPv6 address"},
           {"192.0.2.0/33", "0 to 32"},
           {"::/129", "0 to 128"},
           {"example.net/24", "no address"},
           {"192.0.2.1-9", "192.0.2.10-192.0.2.20"},
           {"192.0.2.9-192.0.2.1", "ends before it begins"},
           {"192.0.2.1-::1", "family"},
           {"ftp://example.net", "http:// or https://"},
           {"http://", "neither an address nor a name"},
           {"http://a b/", "percent-encode"},
       }) {
    const auto result = parse_target(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, Errc::invalid);
    EXPECT_THAT(result.error().detail, HasSubstr(expected));
    EXPECT_THAT(result.error().detail, HasSubstr("\"" + std::string(text) + "\"")) << text;
  }
}

TEST(ParseTarget, DoesNotRepeatCredentials) {
  const auto result = parse_target("https://user:geheim@example.net/");
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().detail, testing::Not(HasSubstr("geheim")));
}

}  // namespace
}  // namespace todd::schedule
