// Requests of the http testlet that go through a proxy, on a virtual network.
#include "plugins/http/proxy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <deque>
#include <functional>

#include "plugins/http/request.h"
#include "tests/support/testlet_host.h"
#include "todd/testlet.hpp"

namespace todd::http {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kMs = 1'000'000;
const todd_testlet& kHttp = **todd_entry_v0.testlets;
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const std::string kOpen = "HTTP/1.0 200 Connection established\r\n\r\n";
const std::string kWay =
    "CONNECT www.example:443 HTTP/1.1\r\nHost: www.example:443\r\nUser-Agent: todd\r\n\r\n";

std::string error_of(const ProxySpec& spec) {
  try {
    (void)Proxy(spec);
  } catch (const error& e) {
    return e.what();
  }
  return "";
}

TEST(ProxyTest, IsOneOfHttpWithHostAndPort) {
  EXPECT_EQ(error_of({.url = "http://proxy.example:3128"}), "");
  EXPECT_EQ(error_of({.url = "http://[2001:db8::1]:3128/"}), "");
  for (const char* url : {"proxy.example:3128", "socks5://proxy.example:1080", "http://", "http://a:0"})
    EXPECT_THAT(error_of({.url = url}), StartsWith("proxy: ")) << url;
  for (const char* url : {"https://proxy.example:3128", "http://proxy.example", "http://proxy.example:1/x"})
    EXPECT_THAT(error_of({.url = url}), HasSubstr("must be http://HOST:PORT")) << url;
  EXPECT_EQ(error_of({.url = "http://me:geheim@proxy.example:1"}),
            "proxy: has credentials; give proxy_user and proxy_password");
}

TEST(ProxyTest, AsksForAWayByItsOwnWordsAlone) {
  const Proxy plain({.url = "http://proxy.example:3128", .user_agent = "todd"});
  EXPECT_EQ(plain.way_to(parse_url("https://www.example/path?query")), kWay);
  EXPECT_THAT(plain.way_to(parse_url("https://[2001:db8::1]:8443/")),
              StartsWith("CONNECT [2001:db8::1]:8443 HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\n"));
  EXPECT_EQ(plain.authorization(), "");
  const Proxy with(
      {.url = "http://proxy.example:3128", .user = "me", .password = "geheim", .headers = {"X-A: b"}});
  EXPECT_EQ(
      with.way_to(parse_url("https://a/")),
      "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nX-A: b\r\nProxy-Authorization: Basic bWU6Z2VoZWlt\r\n\r\n");
  EXPECT_EQ(with.authorization(), "Basic bWU6Z2VoZWlt");
  const Proxy bearer({.url = "http://proxy.example:3128", .headers = {"proxy-authorization: Bearer x"}});
  EXPECT_EQ(bearer.authorization(), "Bearer x");
}

TEST(ProxyTest, RefusesWhatItCannotBeTold) {
  ProxySpec spec{.url = "http://p:1"};
  for (const char* line : {"Host: a", "Content-Length: 1", "Connection: close", "no header", "A: b\rC: d"}) {
    spec.headers = {line};
    EXPECT_THAT(error_of(spec), StartsWith("proxy_header '")) << line;
  }
  spec.headers = {"Proxy-Authorization: a", "proxy-authorization: b"};
  EXPECT_THAT(error_of(spec), HasSubstr("is given twice"));
  EXPECT_EQ(error_of({.url = "http://p:1", .password = "x"}), "proxy_password: needs a proxy_user");
  EXPECT_THAT(error_of({.url = "http://p:1", .user = "a:b"}), StartsWith("proxy_user: cannot have a colon"));
}

TEST(ProxyTest, WhatTheProxyReadsHasTheWholeUrl) {
  RequestSpec spec;
  spec.by_proxy = true;
  spec.proxy_authorization = "Basic x";
  spec.url = parse_url("http://www.example:8080/path?query");
  EXPECT_THAT(Request(spec).wire(),
              StartsWith("GET http://www.example:8080/path?query HTTP/1.1\r\nHost: www.example:8080\r\n"));
  EXPECT_THAT(Request(spec).wire(), HasSubstr("\r\nProxy-Authorization: Basic x\r\n"));
  spec.host = "other.example";
  EXPECT_THROW((void)Request(spec), error);
  spec.url = parse_url("https://www.example/path");
  EXPECT_THAT(Request(spec).wire(), StartsWith("GET /path HTTP/1.1\r\nHost: other.example\r\n"));
  EXPECT_THAT(Request(spec).wire(), Not(HasSubstr("Proxy-")));
  spec.headers = {"Proxy-Authorization: Basic x"};
  EXPECT_THROW((void)Request(spec), error);
}

struct HttpByProxyTest : testing::Test {
  World world;
  Script server;
  std::deque<std::string> answers;  // the last one is given again and again
  std::vector<std::string> requests;
  std::vector<uint32_t> connected;  // to which targets
  int accepted = 0;

  HttpByProxyTest() {
    server.accepted = [this](Wire&) { ++accepted; };
    server.data = [this](Wire& w, std::string_view bytes) {
      requests.emplace_back(bytes);
      w.send(answers.front(), 10 * kMs);
      if (answers.size() > 1) answers.pop_front();
    };
  }
  Options options(const std::string& url, std::map<std::string, std::string> params = {}) {
    Options o;
    o.targets[0].host = "www.example";
    o.targets[0].url = url;
    o.targets[0].port = 0;
    o.targets[0].family = 0;  // nobody here knows its address
    o.params = std::move(params);
    o.params["proxy"] = "http://proxy.example:3128";
    o.connect = [this](uint32_t target) {
      connected.push_back(target);
      return &server;
    };
    return o;
  }
  std::vector<std::string> notes;
  // What becomes of a request that fails for the proxy.
  void notes_of(const Options& o) {
    TestletHost host(world, kHttp, o);
    go(host);
    EXPECT_EQ(host.tally("reasons", "proxy"), 1u);
    EXPECT_EQ(host.counter("opened"), 0u);
    EXPECT_EQ(host.open_streams(), 0u);
    notes = host.notes;
    ASSERT_FALSE(notes.empty());
  }
  void go(TestletHost& host, uint32_t count = 1) {
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t i = 0; i < count; ++i) host.ticket(0, i, world.now_ns + i * 100 * kMs);
    world.run_for(int64_t{count} * 100 * kMs + 3000 * kMs);
  }
};

TEST_F(HttpByProxyTest, AsksTheProxyForWhatIsOfHttp) {
  answers = {kOk};
  TestletHost host(world, kHttp, options("http://www.example/x", {{"proxy_header", "X-A: b"}}));
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(host.counter("opened"), 1u);
  EXPECT_THAT(connected, ElementsAre(1u)) << "the proxy";
  EXPECT_EQ(host.observed("resolve").size(), 1u) << "of the proxy's name";
  EXPECT_TRUE(host.observed("proxy").empty());
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_THAT(requests[0], StartsWith("GET http://www.example/x HTTP/1.1\r\n"));
  EXPECT_THAT(requests[0], Not(HasSubstr("X-A"))) << "the server would get it";
}

TEST_F(HttpByProxyTest, WhatIsOfHttpsGoesThroughAWay) {
  answers = {kOpen, kOk};
  TestletHost host(world, kHttp,
                   options("https://www.example/x",
                           {{"proxy_user", "me"}, {"proxy_password", "geheim"}, {"token", "abc"}}));
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(host.counter("opened"), 1u);
  EXPECT_EQ(host.counter("reused"), 2u);
  EXPECT_EQ(host.server_names, (std::vector<std::string>{"www.example"}));
  EXPECT_EQ(host.observed("proxy").size(), 1u);
  EXPECT_GE(host.observed("proxy").at(0), 10u * kMs);
  EXPECT_EQ(host.observed("tls"), (std::vector<uint64_t>{2 * kMs}));
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_THAT(requests[0], StartsWith("CONNECT www.example:443 HTTP/1.1\r\n"));
  EXPECT_THAT(requests[0], HasSubstr("Proxy-Authorization: Basic bWU6Z2VoZWlt\r\n"));
  EXPECT_THAT(requests[0], Not(HasSubstr("Bearer"))) << "what is the server's";
  EXPECT_THAT(requests[1], StartsWith("GET /x HTTP/1.1\r\n"));
  EXPECT_THAT(requests[1], HasSubstr("Authorization: Bearer abc\r\n"));
  EXPECT_THAT(requests[1], Not(HasSubstr("Proxy-"))) << "what is the proxy's";
}

TEST_F(HttpByProxyTest, EachOriginHasAWayOfItsOwn) {
  answers = {kOpen, "HTTP/1.1 307 Moved\r\nLocation: https://b.example/y\r\nContent-Length: 0\r\n\r\n", kOpen,
             kOk};
  TestletHost host(world, kHttp, options("https://www.example/x", {{"follow", "2"}, {"token", "abc"}}));
  go(host);
  EXPECT_EQ(host.counter("ok"), 1u);
  EXPECT_THAT(connected, ElementsAre(1u, 1u)) << "both times the proxy";
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_THAT(requests[2], StartsWith("CONNECT b.example:443 HTTP/1.1\r\n"));
  EXPECT_THAT(requests[3], StartsWith("GET /y HTTP/1.1\r\nHost: b.example\r\n"));
  EXPECT_THAT(requests[3], Not(HasSubstr("abc")));
  EXPECT_EQ(host.server_names, (std::vector<std::string>{"www.example", "b.example"}));
  // The proxy is still one of its targets.
  answers = {"HTTP/1.1 307 Moved\r\nLocation: https://b.example/y\r\nContent-Length: 0\r\n\r\n", kOpen, kOk};
  host.ticket(0, 1, world.now_ns);
  world.run_for(3000 * kMs);
  EXPECT_EQ(host.counter("ok"), 2u);
}

// CONNECT has the name twice.
TEST_F(HttpByProxyTest, AWayIsNoLongerThanThereIsRoomFor) {
  answers = {kOpen,
             "HTTP/1.1 307 Moved\r\nLocation: https://" + std::string(12'000, 'b') +
                 "/\r\nContent-Length: 0\r\n\r\n",
             kOpen, kOk};
  Options o = options("https://www.example/", {{"follow", "2"}});
  o.max_piece = 4096;
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.tally("reasons", "redirect"), 1u);
  ASSERT_FALSE(host.notes.empty());
  EXPECT_THAT(host.notes[0], HasSubstr("redirected to a name that is too long"));
}

TEST_F(HttpByProxyTest, FromHttpToHttps) {
  answers = {"HTTP/1.1 301 Moved\r\nLocation: https://www.example/\r\nContent-Length: 0\r\n\r\n", kOpen, kOk};
  TestletHost host(world, kHttp, options("http://www.example/", {{"follow", "2"}}));
  go(host);
  EXPECT_EQ(host.counter("ok"), 1u);
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[1], kWay);
}

TEST_F(HttpByProxyTest, AProxyThatOpensNoWayIsTold) {
  struct Case {
    const char *answer, *text;
  };
  for (const Case& c :
       {Case{"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nno!",
             "the proxy proxy.example:3128: CONNECT www.example:443: 407, it wants other credentials"},
        {"HTTP/1.1 403 No\r\n\r\n", "CONNECT www.example:443: 403"},
        {"HTTP/1.1 302 Moved\r\nLocation: https://evil.example/\r\n\r\n", "CONNECT www.example:443: 302"},
        {"HTTP/1.1 200 OK\r\n\r\n\x16\x03", "something came before anything was asked there"},
        {"SSH-2.0-OpenSSH\r\n\r\n", "the proxy proxy.example:3128: bad version"}}) {
    answers = {c.answer};
    notes_of(options("https://www.example/", {{"follow", "3"}}));
    EXPECT_THAT(notes.at(0), HasSubstr(c.text));
  }
  server.data = [](Wire& w, std::string_view) { w.end(kMs); };
  notes_of(options("https://www.example/"));
  EXPECT_THAT(notes.at(0), HasSubstr("closed the connection without an answer"));
  server.data = [](Wire& w, std::string_view) { w.reset(ECONNRESET, kMs); };
  notes_of(options("https://www.example/"));
  EXPECT_THAT(notes.at(0), HasSubstr("reset"));
}

// It was told as this host's own doing.
TEST_F(HttpByProxyTest, AWayThatIsSpoiltBeforeItIsUsedIsTheProxys) {
  struct Case {
    std::function<void(Wire&)> then;
    const char* text;
  };
  for (const Case& c : {Case{[](Wire& w) { w.end(10 * kMs); },
                             "proxy.example:3128: it closed the way as soon as it had opened it"},
                        {[](Wire& w) { w.reset(ECONNRESET, 10 * kMs); }, "it closed the way"},
                        {[](Wire& w) { w.send("hello", 10 * kMs); },
                         "something came over the way before anything was asked"}}) {
    server.data = [&c](Wire& w, std::string_view) {
      w.send(kOpen, 10 * kMs);
      c.then(w);
    };
    Options o = options("https://www.example/");
    o.max_piece = 300;
    notes_of(o);
    EXPECT_THAT(notes.at(0), HasSubstr(c.text));
  }
}

TEST_F(HttpByProxyTest, OneThatStallsIsATimeoutThatSaysSo) {
  server.data = [](Wire&, std::string_view) {};
  TestletHost host(world, kHttp, options("https://www.example/"));
  go(host);
  EXPECT_EQ(host.tally("reasons", "timeout"), 1u);
  ASSERT_FALSE(host.notes.empty());
  EXPECT_THAT(host.notes[0], HasSubstr("the proxy took too long to open the way"));
}

TEST_F(HttpByProxyTest, OneThatIsNotThereIsToldAsSuch) {
  server.connect_result = -ECONNREFUSED;
  TestletHost refused(world, kHttp, options("http://www.example/"));
  go(refused);
  EXPECT_EQ(refused.tally("reasons", "refused"), 1u);
  EXPECT_THAT(refused.notes.at(0), HasSubstr("the proxy proxy.example:3128: connecting: "));
  Options o = options("http://www.example/");
  o.resolve_result = -EACCES;
  TestletHost denied(world, kHttp, o);
  go(denied);
  EXPECT_EQ(denied.tally("reasons", "denied"), 1u);
  EXPECT_THAT(denied.notes.at(0),
              HasSubstr("the proxy proxy.example:3128: this host sends nothing to its address"));
}

TEST_F(HttpByProxyTest, WhatItMakesNoSenseWithIsRefused) {
  struct Case {
    std::map<std::string, std::string> params;
    const char* text;
  };
  for (const Case& c :
       {Case{{{"proxy", ""}, {"proxy_user", "a"}}, "proxy_user: is of no use without proxy"},
        {{{"proxy", ""}, {"proxy_header", "A: b"}}, "proxy_header: is of no use without proxy"},
        {{{"proxy", "ftp://a"}}, "proxy: ftp://a"},
        {{{"header", "Proxy-Authorization: x"}}, "give it as proxy_header"}}) {
    Options o = options("http://www.example/", {});
    for (const auto& [name, value] : c.params) o.params[name] = value;
    TestletHost host(world, kHttp, o);
    EXPECT_NE(host.check(), 0);
    EXPECT_THAT(host.error_text, HasSubstr(c.text));
  }
  for (const Case& c : {Case{{{"http", "2"}}, "http: 2 goes through a proxy over TLS alone"},
                        {{{"host_header", "other.example"}}, "must be the URL's"}}) {
    TestletHost host(world, kHttp, options("http://www.example/", c.params));
    ASSERT_EQ(host.start(), 0) << host.error_text;
    EXPECT_THAT(host.refused.at(0), HasSubstr(c.text));
  }
}

}  // namespace
}  // namespace todd::http
