// TLS and redirects of the http testlet, on a virtual network: handshakes happen and tell what the test says,
// nothing is encrypted.
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>

#include "tests/support/testlet_host.h"

namespace todd::http {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;

constexpr int64_t kMs = 1'000'000, kDay = 86400;
const todd_testlet& kHttp = **todd_entry_v0.testlets;
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

std::string redirect(const std::string& to, int status = 302) {
  return "HTTP/1.1 " + std::to_string(status) + " Moved\r\nLocation: " + to + "\r\nContent-Length: 0\r\n\r\n";
}

struct HttpsTest : testing::Test {
  World world;
  Script server;
  std::deque<std::string> answers;  // the last one is given again and again
  std::string requests;
  int accepted = 0;

  HttpsTest() {
    server.tls.version = TODD_TLS_1_3;
    server.tls.cipher = "TLS_AES_256_GCM_SHA384";
    server.accepted = [this](Wire&) { ++accepted; };
    server.data = [this](Wire& w, std::string_view bytes) {
      requests += bytes;
      w.send(answers.front(), 10 * kMs);
      if (answers.size() > 1) answers.pop_front();
    };
  }
  Options options(const std::string& url) {
    Options o;
    o.targets[0].host = "www.example";
    o.targets[0].url = url;
    o.targets[0].port = 0;
    o.connect = [this](uint32_t) { return &server; };
    return o;
  }
  void go(TestletHost& host, uint32_t count = 1) {
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t i = 0; i < count; ++i) host.ticket(0, i, world.now_ns + i * 100 * kMs);
    world.run_for(int64_t{count} * 100 * kMs + 3000 * kMs);
  }
};

TEST_F(HttpsTest, TimesTheHandshakeAndTellsOfTheCertificate) {
  answers = {kOk};
  server.tls.not_before_s = -10 * kDay;  // the world begins at 0
  server.tls.not_after_s = 30 * kDay;
  server.tls.subject = "CN=www.example";
  Options o = options("https://www.example/x");
  o.targets[0].host = "192.0.2.1";
  TestletHost host(world, kHttp, o);
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(host.counter("opened"), 1u);
  EXPECT_EQ(host.counter("reused"), 2u);
  EXPECT_EQ(host.observed("tls"), (std::vector<uint64_t>{2 * kMs}));
  EXPECT_EQ(host.server_names, (std::vector<std::string>{"www.example"}));
  EXPECT_EQ(host.information("tls_version"), "1.3");
  EXPECT_EQ(host.information("alpn"), "none");
  EXPECT_EQ(host.information("certificate_verdict"), "ok");
  EXPECT_EQ(host.information("certificate_subject"), "CN=www.example");
  EXPECT_EQ(host.information("certificate_dates").substr(0, 10), "1969-12-22");
  EXPECT_NEAR(host.gauge("certificate_days"), 30.0, 0.01);
  EXPECT_NEAR(host.gauge("certificate_life_left"), 0.75, 0.001);
}

TEST_F(HttpsTest, ACertificateThatDoesNotVerifyIsAFailureOfItsOwnAndToldOf) {
  answers = {kOk};
  server.tls_result = -EKEYREJECTED;
  server.tls.verify = 10;
  server.tls.not_after_s = -2 * kDay;
  server.tls.verify_text = server.tls.error = "certificate has expired";
  TestletHost host(world, kHttp, options("https://www.example/"));
  go(host);
  EXPECT_EQ(host.tally("reasons", "certificate"), 1u);
  EXPECT_EQ(host.information("certificate_verdict"), "certificate has expired");
  EXPECT_NEAR(host.gauge("certificate_days"), -2.0, 0.01);
  EXPECT_EQ(host.counter("opened"), 0u);
  EXPECT_TRUE(requests.empty());
  EXPECT_EQ(host.open_streams(), 0u);
  ASSERT_FALSE(host.notes.empty());
  EXPECT_EQ(host.notes[0], "certificate: GET https://www.example/: TLS: certificate has expired");
}

// A head has 16 KiB at most, and so has a piece that is sent. But what a Location has of other than ASCII
// becomes three times as long, and was copied over what lies behind the piece.
TEST_F(HttpsTest, ARedirectIsNoLongerThanThereIsRoomFor) {
  answers = {redirect("/" + std::string(15'000, '\xe4'))};
  Options o = options("http://www.example/");
  o.params = {{"follow", "3"}};
  o.max_piece = 4096;
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.tally("reasons", "redirect"), 1u);
  EXPECT_EQ(host.counter("redirects"), 0u);
  ASSERT_FALSE(host.notes.empty());
  EXPECT_NE(host.notes[0].find("a URL that is too long: http://www.example/%E4%E4"), std::string::npos)
      << host.notes[0];
}

TEST_F(HttpsTest, AFailedOrStalledHandshakeIsAFailure) {
  answers = {kOk};
  server.tls_result = -EPROTO;
  TestletHost host(world, kHttp, options("https://www.example/"));
  go(host);
  EXPECT_EQ(host.tally("reasons", "tls"), 1u);
  server.tls_result = 0;
  server.tls_ns = 10'000 * kMs;
  TestletHost slow(world, kHttp, options("https://www.example/"));
  go(slow);
  EXPECT_EQ(slow.tally("reasons", "timeout"), 1u);
  EXPECT_EQ(slow.notes[0], "timeout: GET https://www.example/: the TLS handshake took too long");
  EXPECT_EQ(slow.open_streams(), 0u);
}

TEST_F(HttpsTest, TheNameToVerifyIsTheOneOfHostOrTheOneGiven) {
  answers = {kOk};
  for (const auto& [param, value, name] : {std::tuple{"host_header", "other.example:8443", "other.example"},
                                           std::tuple{"server_name", "third.example", "third.example"}}) {
    Options o = options("https://192.0.2.1/");
    o.params = {{param, value}};
    TestletHost host(world, kHttp, o);
    go(host);
    EXPECT_EQ(host.server_names, (std::vector<std::string>{name}));
  }
}

TEST_F(HttpsTest, OnlyHttp2WhereTheServerHasNoneIsAFailure) {
  answers = {kOk};
  Options o = options("https://www.example/");
  o.params = {{"http", "2"}};
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.tally("reasons", "protocol"), 1u);
}

TEST_F(HttpsTest, RedirectsAreNotFollowedUnlessAsked) {
  answers = {redirect("/there")};
  TestletHost host(world, kHttp, options("http://www.example/"));
  go(host);
  EXPECT_EQ(host.counter("ok"), 1u);
  EXPECT_EQ(host.tally("status", "302"), 1u);
  EXPECT_EQ(host.counter("redirects"), 0u);
}

TEST_F(HttpsTest, ARedirectToTheSameServerGoesOnTheSameConnection) {
  answers = {redirect("/there?x=1"), kOk};
  Options o = options("http://www.example/here");
  o.params = {{"follow", "3"}};
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.counter("ok"), 1u);
  EXPECT_EQ(host.counter("redirects"), 1u);
  EXPECT_EQ(host.tally("status", "200"), 1u);
  EXPECT_EQ(host.tally("status", "302"), 0u);
  EXPECT_EQ(accepted, 1);
  EXPECT_NE(requests.find("GET /there?x=1 HTTP/1.1\r\nHost: www.example\r\n"), std::string::npos) << requests;
  EXPECT_EQ(host.information("final_url"), "http://www.example/there?x=1");
  EXPECT_EQ(host.information("redirect_hops"),
            "302 http://www.example/here (14 ms), 200 http://www.example/there?x=1 (11 ms)");
  ASSERT_EQ(host.observed("redirect_time").size(), 1u);
  EXPECT_LT(host.observed("redirect_time")[0], host.observed("response_time")[0]);
  EXPECT_EQ(host.counter("bytes"), 5u);
}

TEST_F(HttpsTest, ARedirectElsewhereGoesOnAConnectionOfItsOwn) {
  answers = {redirect("https://other.example:8443/x"), kOk};
  Options o = options("http://www.example/");
  o.params = {{"follow", "1"}, {"user", "me"}, {"password", "secret"}};
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.counter("ok"), 1u);
  EXPECT_EQ(accepted, 2);
  EXPECT_EQ(host.server_names, (std::vector<std::string>{"other.example"}));
  const std::string second = requests.substr(requests.find("\r\n\r\n") + 4);
  EXPECT_NE(second.find("Host: other.example:8443\r\n"), std::string::npos) << second;
  EXPECT_EQ(second.find("Authorization"), std::string::npos) << "credentials went to another server";
  EXPECT_NE(requests.find("Authorization: Basic bWU6c2VjcmV0\r\n"), std::string::npos);
  // The first connection stays for the next request, that of the redirect does not.
  EXPECT_EQ(host.open_streams(), 1u);
  EXPECT_TRUE(host.information("certificate_subject").empty());
}

TEST_F(HttpsTest, RedirectsThatLeadNowhereAreFailures) {
  const struct {
    std::string answer, reason, text;
  } cases[] = {{redirect("/again"), "redirect", "more than 3"},
               {redirect("ftp://www.example/"), "redirect", ""},
               {redirect("http://192.0.2.66/"), "denied", "another's word"}};
  for (const auto& c : cases) {
    answers = {c.answer};
    Options o = options("http://www.example/");
    o.params = {{"follow", "3"}};
    o.resolve = [](const std::string& host) { return host == "192.0.2.66" ? -EACCES : 0; };
    TestletHost host(world, kHttp, o);
    go(host);
    EXPECT_EQ(host.tally("reasons", c.reason), 1u) << c.answer;
    ASSERT_FALSE(host.notes.empty());
    EXPECT_NE(host.notes[0].find(c.text), std::string::npos) << host.notes[0];
  }
  answers = {redirect("http://www.example/")};
  Options o = options("https://www.example/");
  o.params = {{"follow", "3"}};
  TestletHost down(world, kHttp, o);
  go(down);
  EXPECT_EQ(down.tally("reasons", "redirect"), 1u);
}

// A server that sends credentials back: as they went, as they are in a URL, and where a text is cut.
TEST_F(HttpsTest, CredentialsThatComeBackAreBlanked) {
  const std::string password = "p\xc3\xa4ss" + std::string(60, 'x');
  Options o = options("http://www.example/");
  o.params = {{"follow", "3"},
              {"user", "me"},
              {"password", password},
              {"proxy", "http://proxy.example:1"},
              {"proxy_user", "me"},
              {"proxy_password", "auf"},
              {"check", "header x-echo absent"}};
  for (const std::string& answer :
       {std::string("HTTP/1.1 200 OK\r\nX-Echo: Basic bWU6YXVm\r\nContent-Length: 0\r\n\r\n"),
        redirect("https://h:0/?" + password),
        redirect("ftp://h/" + std::string(100, 'y') + "/p%c3%a4ss" + std::string(60, 'x')),
        redirect("https://me:" + password + "@h/")}) {
    answers = {answer};
    TestletHost host(world, kHttp, o);
    go(host);
    EXPECT_EQ(host.counter("failed"), 1u);
    ASSERT_FALSE(host.notes.empty());
    for (const char* word : {"bWU6YXVm", "4ss", "xx"})
      EXPECT_EQ(host.notes[0].find(word), std::string::npos) << host.notes[0];
  }
}

TEST_F(HttpsTest, WhatMayHaveHappenedIsNotAskedForTwice) {
  int n = 0;
  server.data = [&](Wire& w, std::string_view bytes) {
    requests += bytes;
    if (n++ == 1)
      w.end(5 * kMs);  // the second request on the connection, without a word
    else
      w.send(kOk, 10 * kMs);
  };
  for (const auto& [method, failed] : {std::pair{"GET", 0u}, {"POST", 1u}}) {
    n = 0;
    Options o = options("http://www.example/");
    o.params = {{"method", method}, {"body", "x"}};
    TestletHost host(world, kHttp, o);
    go(host, 3);
    EXPECT_EQ(host.counter("failed"), failed) << method;
    EXPECT_EQ(host.counter("ok"), 3 - failed) << method;
  }
}

}  // namespace
}  // namespace todd::http
