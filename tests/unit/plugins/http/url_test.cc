#include "plugins/http/url.h"

#include <gtest/gtest.h>

#include "todd/testlet.hpp"

namespace todd::http {
namespace {

TEST(UrlTest, TakesApart) {
  const Url url = parse_url("http://example.net:8080/a?b=c#d");
  EXPECT_FALSE(url.https);
  EXPECT_EQ(url.authority, "example.net:8080");
  EXPECT_EQ(url.path, "/a?b=c");
  EXPECT_EQ(parse_url("http://h?q").path, "/?q");
  EXPECT_TRUE(parse_url("https://h").https);
  EXPECT_EQ(authority_of("2001:db8::1", 8080), "[2001:db8::1]:8080");
  EXPECT_EQ(authority_of("h", 80), "h");
  EXPECT_EQ(authority_of("h", 443, 443), "h");
  EXPECT_EQ(authority_of("h", 80, 443), "h:80");
  EXPECT_EQ(url.host, "example.net");
  EXPECT_EQ(url.port, 8080);
  EXPECT_EQ(url.text(), "http://example.net:8080/a?b=c");
  const Url v6 = parse_url("HTTPS://[2001:DB8::1]/");
  EXPECT_EQ(v6.host, "2001:db8::1");
  EXPECT_EQ(v6.effective_port(), 443);
  EXPECT_TRUE(same_origin(parse_url("http://A/x"), parse_url("http://a:80/y")));
  EXPECT_FALSE(same_origin(parse_url("http://a"), parse_url("https://a:80")));
}

TEST(UrlTest, Refuses) {
  for (const char* text : {"ftp://h/", "http://", "http:///x", "http://u:p@h/", "http://h/a b",
                           "http://h/a\r\nX: y", "h", "http://h:x/", "http://h:0/", "http://h:65536/",
                           "http://[::1/", "http://[::1]x/", "http://h\\x/", "http://h:1:2/"}) {
    EXPECT_THROW(parse_url(text), BadUrl) << text;
  }
}

std::string refusal_of(const char* text) {
  try {
    (void)parse_url(text);
  } catch (const BadUrl& e) {
    return e.what();
  }
  return "";
}

// A refusal is shown, and kept in logs.
TEST(UrlTest, ARefusalDoesNotRepeatAPassword) {
  EXPECT_EQ(refusal_of("http://h:0/"), "http://h:0/: the port must be 1 to 65535");
  EXPECT_EQ(refusal_of("http://me:geheim@h/"),
            "credentials in a URL are not taken; user and password give them");
  for (const char* text : {"ftp://me:geheim@h/", "me:geheim@h", "http://me:ge/heim@h/"})
    EXPECT_EQ(refusal_of(text).find("heim"), std::string::npos) << text;
}

}  // namespace
}  // namespace todd::http
