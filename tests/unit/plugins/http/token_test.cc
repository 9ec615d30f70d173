// Bearer tokens by OAuth 2.0: what is asked and read, when another is due, and requests that go with one, on
// a virtual network.
#include "plugins/http/token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>

#include "tests/support/testlet_host.h"
#include "todd/testlet.hpp"

namespace todd::http {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kMs = 1'000'000, kS = 1'000 * kMs;
const todd_testlet& kHttp = **todd_entry_v0.testlets;
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

std::string error_of(const TokenSpec& spec) {
  try {
    (void)token_request(spec);
  } catch (const error& e) {
    return e.what();
  }
  return "";
}

TEST(TokenRequestTest, IsAPostWithTheClientsCredentials) {
  const RequestSpec spec = token_request({.url = "https://auth.example/token",
                                          .client = "me:1",
                                          .secret = "a b/\xc3\xa4",
                                          .scope = "read write:all"});
  const std::string wire = Request(spec).wire();
  EXPECT_THAT(wire, StartsWith("POST /token HTTP/1.1\r\nHost: auth.example\r\n"));
  EXPECT_THAT(wire,
              HasSubstr("\r\nAuthorization: Basic bWUlM0ExOmErYiUyRiVDMyVBNA==\r\n"));  // me%3A1:a+b%2F%C3%A4
  EXPECT_THAT(wire, HasSubstr("\r\nContent-Type: application/x-www-form-urlencoded\r\n"));
  EXPECT_TRUE(wire.ends_with("\r\n\r\ngrant_type=client_credentials&scope=read+write%3Aall")) << wire;
  EXPECT_EQ(error_of({.url = "auth.example", .client = "a", .secret = "b"}).substr(0, 11), "oauth_url: ");
  EXPECT_EQ(error_of({.url = "http://me:geheim@a/", .client = "a", .secret = "b"}),
            "oauth_url: has credentials; give oauth_client and oauth_secret");
  EXPECT_EQ(error_of({.url = "http://a/", .secret = "b"}), "oauth_client: is missing; oauth_url needs it");
  EXPECT_EQ(error_of({.url = "http://a/", .client = "b"}), "oauth_secret: is missing; oauth_url needs it");
}

TEST(ReadTokenTest, TakesWhatRfc6749Has) {
  std::string why;
  auto token = read_token(
      200, R"({"access_token": "a.b-c", "token_type": "bearer", "expires_in": 3600, "x": [1]})", why);
  ASSERT_TRUE(token) << why;
  EXPECT_EQ(token->text, "a.b-c");
  EXPECT_EQ(token->lifetime_ns, 3600 * kS);
  token = read_token(200, R"({"token_type": "Bearer", "expires_in": "60", "access_token": "x"})", why);
  ASSERT_TRUE(token) << why;
  EXPECT_EQ(token->lifetime_ns, 60 * kS);
  token = read_token(200, R"({"token_type": "Bearer", "access_token": "x"})", why);
  ASSERT_TRUE(token) << why;
  EXPECT_EQ(token->lifetime_ns, 0);
  token = read_token(200, R"({"token_type": "Bearer", "access_token": "x", "expires_in": 1e300})", why);
  ASSERT_TRUE(token) << why;
  EXPECT_GT(token->lifetime_ns, 0);
}

TEST(ReadTokenTest, SaysWhatThereWasInstead) {
  struct Case {
    int status;
    std::string body, why;
  };
  for (const Case& c :
       {Case{400, R"({"error": "invalid_client", "error_description": "no\nsuch"})",
             "400: invalid_client: no\nsuch"},
        {503, "<html>", "503"},
        {302, "", "302"},
        {200, "", "200: not JSON at line 1, column 1: it ends too early"},
        {200, "[]", "200, but no access_token"},
        {200, R"({"access_token": 7, "token_type": "Bearer"})", "200, but no access_token"},
        {200, R"({"access_token": "a b", "token_type": "Bearer"})",
         "200, but an access_token that no header can have"},
        {200, R"({"access_token": "a\r\nX: y", "token_type": "Bearer"})",
         "200, but an access_token that no header"},
        {200, R"({"access_token": ")" + std::string(kMaxToken + 1, 'x') + R"(", "token_type": "Bearer"})",
         "longer than 8 KiB"},
        {200, R"({"access_token": "a"})", "200, but a token_type other than Bearer"},
        {200, R"({"access_token": "a", "token_type": "mac"})", "200, but a token_type other than Bearer"},
        {200, R"({"access_token": "a", "token_type": "Bearer", "expires_in": 0})",
         "an expires_in that is no number of seconds"},
        {200, R"({"access_token": "a", "token_type": "Bearer", "expires_in": -5})", "an expires_in"},
        {200, R"({"access_token": "a", "token_type": "Bearer", "expires_in": -1e300})", "an expires_in"},
        {200, R"({"access_token": "a", "token_type": "Bearer", "expires_in": "soon"})", "an expires_in"},
        {200, R"({"access_token": "a", "token_type": "Bearer", "expires_in": null})", "an expires_in"}}) {
    std::string why;
    EXPECT_FALSE(read_token(c.status, c.body, why)) << c.body;
    EXPECT_THAT(why, HasSubstr(c.why));
    EXPECT_LT(why.size(), 500u);
  }
}

TEST(TokensTest, AnotherIsFetchedBeforeTheLastOneEnds) {
  Tokens tokens;
  EXPECT_TRUE(tokens.wanted(0));
  EXPECT_FALSE(tokens.usable(0));
  tokens.asked();
  EXPECT_FALSE(tokens.wanted(0)) << "somebody does";
  tokens.got({"a", 100 * kS}, 0, 1 * kS);
  EXPECT_TRUE(tokens.usable(1 * kS));
  EXPECT_FALSE(tokens.wanted(89 * kS - 1));
  EXPECT_TRUE(tokens.wanted(89 * kS));
  EXPECT_TRUE(tokens.usable(99 * kS - 1));
  EXPECT_FALSE(tokens.usable(99 * kS))
      << "counted from when it was asked for, and requests are under way for a while";
  tokens.asked();
  tokens.failed("503", 95 * kS);
  EXPECT_TRUE(tokens.usable(95 * kS));
  EXPECT_FALSE(tokens.wanted(95 * kS + 999 * kMs)) << "not at once again";
  EXPECT_TRUE(tokens.wanted(96 * kS));
  tokens.asked();
  tokens.got({"b", 3600 * kS}, 96 * kS, 96 * kS);
  EXPECT_FALSE(tokens.wanted(96 * kS + 3569 * kS - 1)) << "at most 30 s before";
  EXPECT_TRUE(tokens.wanted(96 * kS + 3569 * kS));
  tokens.got({"c", 0}, 0, 0);
  EXPECT_TRUE(tokens.usable(INT64_MAX - 1)) << "its end was not said";
  tokens.got({"e", 1 * kS}, 0, 950 * kMs - 1);
  EXPECT_TRUE(tokens.usable(950 * kMs - 1));
  EXPECT_FALSE(tokens.usable(950 * kMs)) << "a twentieth of a short life";
  tokens.got({"d", 1 * kS}, 0, 2 * kS);
  EXPECT_FALSE(tokens.usable(2 * kS));
  EXPECT_EQ(tokens.why(), "it had expired when it came");
}

TEST(TokensTest, OneThatIsRevokedIsReplacedButNotForEver) {
  Tokens tokens;
  tokens.got({"a", 0}, 0, 0);
  tokens.revoked(1, 0);
  EXPECT_FALSE(tokens.usable(0));
  EXPECT_TRUE(tokens.wanted(0));
  tokens.got({"b", 0}, 0, 0);
  tokens.revoked(1, 5 * kS);
  EXPECT_TRUE(tokens.usable(5 * kS)) << "said of the last one";
  tokens.revoked(2, kS - 1);
  EXPECT_TRUE(tokens.usable(kS - 1)) << "so soon after another";
  tokens.revoked(2, kS);
  EXPECT_FALSE(tokens.usable(kS));
}

struct HttpTokenTest : testing::Test {
  World world;
  Script web, auth;
  std::string answer = kOk;
  std::vector<std::string> requests, asked;
  int64_t auth_ns = 10 * kMs, life_s = 3600;
  int tokens = 0;

  HttpTokenTest() {
    web.data = [this](Wire& w, std::string_view bytes) {
      requests.emplace_back(bytes);
      w.send(answer, 10 * kMs);
    };
    auth.data = [this](Wire& w, std::string_view bytes) {
      asked.emplace_back(bytes);
      w.send(token_answer(), auth_ns);
    };
  }
  std::string token_answer() {
    const std::string body = R"({"access_token": "geheim-)" + std::to_string(++tokens) +
                             R"(", "token_type": "Bearer", "expires_in": )" + std::to_string(life_s) + "}";
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  Options options(std::map<std::string, std::string> params = {}) {
    Options o;
    o.targets[0].url = "http://192.0.2.1/";
    o.params = std::move(params);
    for (const auto& [name, value] : {std::pair{"oauth_url", "https://auth.example/token"},
                                      {"oauth_client", "me"},
                                      {"oauth_secret", "sesam"}})
      o.params.emplace(name, value);
    o.max_piece = 300;
    o.connect = [this](uint32_t target) { return target == 0 ? &web : &auth; };
    return o;
  }
  // Starts, is ready, and runs so many requests, one every 100 ms.
  void go(TestletHost& host, uint32_t count, int64_t ready_within_ns = kS) {
    ASSERT_EQ(host.start(), 0) << host.error_text;
    world.run_for(ready_within_ns);
    ASSERT_TRUE(host.ready());
    host.begin();
    for (uint32_t i = 0; i < count; ++i) host.ticket(0, i, world.now_ns + i * 100 * kMs);
    world.run_for(count * 100 * kMs + 3 * kS);
  }
};

TEST_F(HttpTokenTest, IsFetchedBeforeTheFirstRequestAndCountsAsNone) {
  TestletHost host(world, kHttp, options());
  ASSERT_EQ(host.start(), 0) << host.error_text;
  EXPECT_FALSE(host.ready());
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(host.counter("opened"), 1u);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_THAT(asked[0], AllOf(StartsWith("POST /token HTTP/1.1\r\nHost: auth.example\r\n"),
                              HasSubstr("Authorization: Basic bWU6c2VzYW0=\r\n")));
  ASSERT_EQ(requests.size(), 3u);
  for (const std::string& request : requests)
    EXPECT_THAT(request, HasSubstr("Authorization: Bearer geheim-1\r\n"));
  ASSERT_EQ(host.observed("token_time").size(), 1u);
  EXPECT_GE(host.observed("token_time")[0], 10u * kMs);
  EXPECT_TRUE(host.observed("tls").empty() && host.observed("resolve").empty()) << "of no edge";
  EXPECT_EQ(host.observed("connect").size(), 1u);
  EXPECT_EQ(host.counter("head_bytes"), 3u * 38);
  EXPECT_EQ(host.observed("response_time").size(), 3u);
  for (const uint64_t ns : host.observed("corrected_time")) EXPECT_LT(ns, 20u * kMs);
  EXPECT_EQ(host.server_names, (std::vector<std::string>{"auth.example"}));
}

TEST_F(HttpTokenTest, AnotherComesBeforeItEndsWithoutARequestThatWaits) {
  life_s = 2;
  TestletHost host(world, kHttp, options());
  go(host, 50);
  EXPECT_EQ(host.counter("ok"), 50u);
  EXPECT_EQ(host.counter("dropped"), 0u);
  EXPECT_THAT(asked.size(), AllOf(testing::Ge(3u), testing::Le(5u)));
  EXPECT_THAT(requests.back(), HasSubstr("Bearer geheim-" + std::to_string(tokens)));
  for (const uint64_t ns : host.observed("corrected_time")) EXPECT_LT(ns, 20u * kMs);
}

TEST_F(HttpTokenTest, ARevokedOneIsReplacedAndOneThatIsNeverTakenIsNot) {
  TestletHost host(world, kHttp, options());
  web.data = [this](Wire& w, std::string_view bytes) {
    requests.emplace_back(bytes);
    const bool revoked = requests.size() > 2 && bytes.find("geheim-1\r") != bytes.npos;
    w.send(revoked ? "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n" : kOk, 10 * kMs);
  };
  go(host, 6);
  EXPECT_EQ(host.counter("ok"), 5u);
  EXPECT_EQ(host.tally("status", "401"), 1u) << "told as it was";
  EXPECT_EQ(asked.size(), 2u);

  answer = "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n";
  web.data = [this](Wire& w, std::string_view) { w.send(answer, 10 * kMs); };
  TestletHost never(world, kHttp, options());
  go(never, 6);
  EXPECT_EQ(never.tally("reasons", "status"), 6u);
  EXPECT_EQ(asked.size(), 3u);
}

// Each of its answers had a token that the other had taken given up, and another fetched.
TEST_F(HttpTokenTest, ATargetThatTakesNoneLeavesTheOthersTheirs) {
  Script never;
  never.data = [](Wire& w, std::string_view) { w.send("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", kMs); };
  Options o = options();
  o.targets.push_back(o.targets[0]);
  o.connect = [&](uint32_t target) { return target == 0 ? &web : target == 1 ? &never : &auth; };
  TestletHost host(world, kHttp, o);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  world.run_for(kS);
  host.begin();
  for (uint32_t i = 0; i < 40; ++i) host.ticket(i % 2, i / 2, world.now_ns + i * 50 * kMs);
  world.run_for(4 * kS);
  EXPECT_EQ(host.tally("status", "200"), 20u);
  EXPECT_EQ(host.tally("status", "401", 1), 20u);
  EXPECT_EQ(asked.size(), 1u);
}

// Nothing is done for it between ready and the START; what it had waited counted as its own time.
TEST_F(HttpTokenTest, AFetchThatIsUnderWayAtTheStartHasItsTime) {
  auth.tls_ns = 3500 * kMs;
  Options o = options();
  o.timeout_ns = 5 * kS;
  TestletHost host(world, kHttp, o);
  go(host, 2, 8 * kS);
  EXPECT_EQ(host.counter("ok"), 2u);
  EXPECT_EQ(asked.size(), 1u);
}

TEST_F(HttpTokenTest, WithoutOneRequestsFailAndSayWhy) {
  const std::string body = R"({"error": "invalid_client", "error_description": "not sesam, me"})";
  auth.data = [this, body](Wire& w, std::string_view bytes) {
    asked.emplace_back(bytes);
    w.send("HTTP/1.1 401 No\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body, kMs);
  };
  for (const bool paced : {true, false}) {
    Options o = options();
    if (!paced) o.rate = HUGE_VAL;
    TestletHost host(world, kHttp, o);
    asked.clear();
    go(host, 10);
    EXPECT_EQ(host.counter("failed"), 10u) << paced;
    EXPECT_EQ(host.tally("reasons", "token"), 10u) << paced;
    EXPECT_TRUE(requests.empty());
    EXPECT_THAT(asked.size(), AllOf(testing::Ge(2u), testing::Le(5u)))
        << "it is tried again, but not at every request";
    ASSERT_FALSE(host.notes.empty());
    EXPECT_THAT(
        host.notes[0],
        HasSubstr(
            "token: GET http://192.0.2.1/: https://auth.example/token: 401: invalid_client: not ***, me"));
    EXPECT_EQ(host.open_streams(), 0u);
  }
}

// Each character that is not ASCII was told as ??, and so the secret was not known in what was told.
TEST_F(HttpTokenTest, ASecretThatIsNotAsciiIsBlankedToo) {
  const std::string body = "{\"error\": \"no p\xc3\xa4sswort\"}";
  auth.data = [body](Wire& w, std::string_view) {
    w.send("HTTP/1.1 401 No\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body, kMs);
  };
  TestletHost host(world, kHttp, options({{"oauth_secret", "p\xc3\xa4sswort"}}));
  go(host, 1);
  EXPECT_THAT(host.notes.at(0), testing::EndsWith("https://auth.example/token: 401: no ***"));
}

TEST_F(HttpTokenTest, AServerOfTokensThatStallsHoldsTheStartUpForNoMoreThanSeconds) {
  auth.data = [this](Wire&, std::string_view bytes) { asked.emplace_back(bytes); };
  Options o = options();
  o.timeout_ns = 20 * kS;
  TestletHost host(world, kHttp, o);
  ASSERT_EQ(host.start(), 0);
  world.run_for(2900 * kMs);
  EXPECT_FALSE(host.ready());
  world.run_for(200 * kMs);
  EXPECT_TRUE(host.ready());
  host.begin();
  for (uint32_t i = 0; i < 3; ++i) host.ticket(0, i, world.now_ns + i * 100 * kMs);
  world.run_for(kS);
  host.drain();
  world.run_for(30 * kS);
  EXPECT_TRUE(host.finished());
  EXPECT_EQ(host.counter("failed") + host.counter("dropped"), 3u);
  EXPECT_EQ(host.tally("reasons", "token"), 2u) << "as many as may wait";
  EXPECT_THAT(host.notes.at(0), HasSubstr("not a byte came"));
}

// Each fetch lost the hash of the call that it took the place of.
TEST_F(HttpTokenTest, LeavesTheHashesOfItsCallsOpen) {
  life_s = 1;
  TestletHost host(world, kHttp,
                   options({{"check",
                             "hash sha256 = "
                             "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}}));
  go(host, 50);
  EXPECT_EQ(host.counter("ok"), 50u);
  EXPECT_GE(asked.size(), 5u);
  EXPECT_LE(host.open_digests(), 2u);
}

TEST_F(HttpTokenTest, NothingIsLeftOfItWhenCancelled) {
  auth.data = [](Wire&, std::string_view) {};
  TestletHost host(world, kHttp, options());
  ASSERT_EQ(host.start(), 0);
  world.run_for(100 * kMs);
  host.cancel();
  world.run_for(100 * kMs);
  EXPECT_EQ(host.status(), 1);
}

// It was copied past the end of a piece of 24 KiB.
TEST_F(HttpTokenTest, ThereIsRoomForWhatIsAsked) {
  TestletHost host(world, kHttp, options({{"oauth_scope", std::string(40'000, 'x')}}));
  go(host, 1);
  EXPECT_EQ(host.counter("ok"), 1u);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_GT(asked[0].size(), 40'000u);
}

TEST_F(HttpTokenTest, AnotherOriginDoesNotGetIt) {
  Script other;
  std::vector<std::string> there;
  other.data = [&](Wire& w, std::string_view bytes) {
    there.emplace_back(bytes);
    w.send(kOk, 10 * kMs);
  };
  answer = "HTTP/1.1 307 Moved\r\nLocation: http://b.example/\r\nContent-Length: 0\r\n\r\n";
  Options o = options({{"follow", "1"}});
  o.connect = [&](uint32_t target) { return target == 0 ? &web : target == 1 ? &auth : &other; };
  TestletHost host(world, kHttp, o);
  go(host, 1);
  EXPECT_EQ(host.counter("ok"), 1u);
  ASSERT_EQ(there.size(), 1u);
  EXPECT_THAT(there[0], testing::Not(HasSubstr("geheim")));
}

TEST_F(HttpTokenTest, ItsServerIsReachedThroughTheProxyToo) {
  std::vector<std::string> ways;
  auth.data = [this, &ways](Wire& w, std::string_view bytes) {
    if (bytes.starts_with("CONNECT")) {
      ways.emplace_back(bytes);
      w.send("HTTP/1.1 200 OK\r\n\r\n", kMs);
    } else if (bytes.starts_with("POST")) {
      asked.emplace_back(bytes);
      w.send(token_answer(), kMs);
    } else {
      requests.emplace_back(bytes);
      w.send(kOk, kMs);
    }
  };
  TestletHost host(world, kHttp, options({{"proxy", "http://proxy.example:3128"}}));
  go(host, 2);
  EXPECT_EQ(host.counter("ok"), 2u);
  ASSERT_EQ(ways.size(), 1u);
  EXPECT_THAT(ways[0], StartsWith("CONNECT auth.example:443 HTTP/1.1\r\n"));
  EXPECT_EQ(asked.size(), 1u);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_THAT(requests[0], StartsWith("GET http://192.0.2.1/ HTTP/1.1\r\n"));
  EXPECT_TRUE(host.observed("proxy").empty()) << "of no edge";
}

TEST_F(HttpTokenTest, WhatItMakesNoSenseWithIsRefused) {
  struct Case {
    std::map<std::string, std::string> params;
    const char* text;
  };
  for (const Case& c : {Case{{{"token", "x"}}, "oauth_url: requests have credentials already"},
                        {{{"user", "x"}}, "oauth_url: requests have credentials already"},
                        {{{"header", "Authorization: x"}}, "cannot be given with a user or token"},
                        {{{"oauth_url", ""}}, "oauth_client: is of no use without oauth_url"},
                        {{{"oauth_url", "ftp://a/"}}, "oauth_url: ftp://a/: not a URL"},
                        {{{"oauth_client", ""}}, "oauth_client: is missing"}}) {
    TestletHost host(world, kHttp, options(c.params));
    EXPECT_NE(host.check(), 0);
    EXPECT_THAT(host.error_text, HasSubstr(c.text));
  }
}

}  // namespace
}  // namespace todd::http
