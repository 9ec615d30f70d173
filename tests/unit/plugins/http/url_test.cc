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
}

TEST(UrlTest, Refuses) {
  for (const char* text :
       {"ftp://h/", "http://", "http:///x", "http://u:p@h/", "http://h/a b", "http://h/a\r\nX: y", "h"}) {
    EXPECT_THROW(parse_url(text), error) << text;
  }
}

}  // namespace
}  // namespace todd::http
