#include "plugins/http/redirect.h"

#include <gtest/gtest.h>

#include "plugins/http/reference.h"

namespace todd::http {
namespace {

using Next = Redirects::Next;

// RFC 3986 sections 5.4.1 and 5.4.2, all of them.
TEST(ReferenceTest, TheExamplesOfTheRfc) {
  const std::pair<const char*, const char*> cases[] = {
      {"g:h", "g:h"},
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q#s"},
      {"g#s", "http://a/b/c/g#s"},
      {"g?y#s", "http://a/b/c/g?y#s"},
      {";x", "http://a/b/c/;x"},
      {"g;x", "http://a/b/c/g;x"},
      {"g;x?y#s", "http://a/b/c/g;x?y#s"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../..", "http://a/"},
      {"../../", "http://a/"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"../../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},
      {".g", "http://a/b/c/.g"},
      {"g..", "http://a/b/c/g.."},
      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},
      {"./g/.", "http://a/b/c/g/"},
      {"g/./h", "http://a/b/c/g/h"},
      {"g/../h", "http://a/b/c/h"},
      {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"g?y/./x", "http://a/b/c/g?y/./x"},
      {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"g#s/./x", "http://a/b/c/g#s/./x"},
      {"g#s/../x", "http://a/b/c/g#s/../x"},
      {"http:g", "http:g"},
  };
  for (const auto& [reference, url] : cases)
    EXPECT_EQ(resolve_reference("http://a/b/c/d;p?q", reference), url) << reference;
  EXPECT_EQ(resolve_reference("http://a", "g"), "http://a/g");
}

RequestSpec post(const char* url) {
  RequestSpec spec;
  spec.url = parse_url(url);
  spec.method = "POST";
  spec.body = "x";
  spec.user = "u", spec.password = "p";
  spec.secret_header = "X-Api-Key", spec.secret_value = "k";
  spec.host = "other";
  spec.headers = {"Content-Type: a/b", "cookie: c", "X-Kept: d"};
  return spec;
}

TEST(RedirectTest, WhatBecomesOfMethodAndBody) {
  const struct {
    int status;
    const char *method, *then;
  } cases[] = {{301, "POST", "GET"},  {302, "POST", "GET"},  {303, "POST", "GET"},
               {307, "POST", "POST"}, {308, "POST", "POST"}, {301, "PUT", "PUT"},
               {303, "PUT", "GET"},   {303, "HEAD", "HEAD"}, {302, "DELETE", "DELETE"}};
  for (const auto& c : cases) {
    RequestSpec spec = post("http://a/b");
    spec.method = c.method;
    Redirects chain(spec, 5);
    ASSERT_EQ(chain.answered(c.status, "/c", 7), Next::kFollow);
    EXPECT_EQ(chain.spec().method, c.then) << c.status << c.method;
    const bool same = chain.spec().method == c.method;
    EXPECT_EQ(chain.spec().body, same ? "x" : "");
    EXPECT_EQ(chain.spec().headers.size(), same ? 3u : 2u);
    EXPECT_EQ(chain.spec().url.text(), "http://a/c");
    EXPECT_EQ(chain.spec().user, "u");
    EXPECT_EQ(chain.spec().host, "other");
  }
}

TEST(RedirectTest, AnotherOriginGetsNoCredentials) {
  for (const char* to : {"http://b/", "https://a/", "http://a:81/", "//b"}) {
    Redirects chain(post("http://a/"), 5);
    ASSERT_EQ(chain.answered(307, to, 0), Next::kFollow) << to;
    EXPECT_EQ(chain.spec().user + chain.spec().password + chain.spec().host, "") << to;
    EXPECT_EQ(chain.spec().secret_header + chain.spec().secret_value, "") << to;
    EXPECT_EQ(chain.spec().headers, (std::vector<std::string>{"Content-Type: a/b", "X-Kept: d"}));
  }
  Redirects chain(post("http://a/"), 5);
  ASSERT_EQ(chain.answered(307, "http://A:80/x", 0), Next::kFollow);
  EXPECT_EQ(chain.spec().user, "u");
  EXPECT_EQ(chain.spec().secret_value, "k");
}

TEST(RedirectTest, StaysOrRefuses) {
  Redirects stay(post("http://a/"), 5);
  for (const int status : {200, 300, 304, 305, 404}) EXPECT_EQ(stay.answered(status, "/b", 0), Next::kStay);
  EXPECT_EQ(stay.answered(302, std::nullopt, 0), Next::kStay);
  for (const char* to : {"http://a/", "ftp://a/", "https://u:p@a/", "https://a:0/", "/\t", "https://"}) {
    Redirects chain(post("https://a/"), 5);
    EXPECT_EQ(chain.answered(302, to, 0), Next::kRefused) << to;
    EXPECT_NE(chain.why(), "") << to;
  }
  Redirects utf8(post("http://a/"), 5);
  ASSERT_EQ(utf8.answered(302, "/\xc3\xa4 b", 0), Next::kFollow);
  EXPECT_EQ(utf8.spec().url.path, "/%C3%A4%20b");
}

TEST(RedirectTest, ALoopEndsAtTheLimit) {
  Redirects chain(post("http://a/"), 3);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(chain.answered(308, "/", 10 + i), Next::kFollow);
  EXPECT_EQ(chain.answered(308, "/", 13), Next::kRefused);
  EXPECT_EQ(chain.why(), "more than 3 redirects");
  ASSERT_EQ(chain.hops().size(), 4u);
  EXPECT_EQ(chain.hops()[2].url, "http://a/");
  EXPECT_EQ(chain.hops()[3].status, 308);
  EXPECT_EQ(chain.hops()[3].ns, 13);
  Redirects none(post("http://a/"), 0);
  EXPECT_EQ(none.answered(301, "/", 0), Next::kRefused);
}

TEST(RedirectsTest, HopsAreToldWithTheirOwnTimes) {
  EXPECT_EQ(text_of({}), "");
  std::vector<Hop> hops = {{"http://a/x", 302, 1'500'000}, {"http://a/y", 200, 1'750'000}};
  EXPECT_EQ(text_of(hops), "302 http://a/x (1.5 ms), 200 http://a/y (0.25 ms)");
  hops.resize(1);
  for (int i = 1; i < 20; ++i)
    hops.push_back({"https://example.net/" + std::string(100, 'x'), 307, hops.back().ns + i * 1'000'000});
  const std::string cut = "https://example.net/" + std::string(16, 'x') + "...";
  EXPECT_EQ(text_of(hops), "302 http://a/x (1.5 ms), 307 " + cut + " (1 ms), 307 " + cut +
                               " (2 ms), ... 16 more, 307 " + cut + " (19 ms)");
  hops[0].url = hops[1].url;
  for (size_t i = 0; i < hops.size(); ++i)
    hops[i].ns = static_cast<int64_t>(i + 1) * 123'456'789'012;  // the longest number
  EXPECT_LE(text_of(hops).size(), 252u) << text_of(hops);
  hops.resize(4);
  EXPECT_EQ(text_of(hops).find("more"), std::string::npos);
}

}  // namespace
}  // namespace todd::http
