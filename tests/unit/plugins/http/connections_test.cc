// Connections of HTTP/2 that end, fall silent or belong to a redirect: what becomes of the requests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "tests/support/testlet_host.h"

namespace todd::http {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;

constexpr int64_t kMs = 1'000'000;
const todd_testlet& kHttp = **todd_entry_v0.testlets;

std::string frame(char type, char flags, uint32_t stream, const std::string& payload = "") {
  std::string out(9, '\0');
  out[2] = static_cast<char>(payload.size());
  out[3] = type;
  out[4] = flags;
  for (int i = 0; i < 4; ++i) out[5 + static_cast<size_t>(i)] = static_cast<char>(stream >> (24 - 8 * i));
  return out + payload;
}
const std::string kSettings = frame(4, 0, 0);
// All is well; the last stream served is 0.
const std::string kGoodbye = frame(7, 0, 0, std::string(8, '\0'));

// A server of HTTP/2: the requests (HEADERS) that each of its connections brought.
struct H2Server : Script {
  std::map<int, int> requests;  // by connection, from 1 on
  int connections = 0;
  std::string settings = kSettings;
  std::string bytes;  // of the connection that is being read; the preface is left out
  // What to answer the request on `stream` of connection `number`.
  std::function<std::string(int number, uint32_t stream)> answer = [](int, uint32_t stream) {
    return frame(1, 5, stream, "\x88");  // :status 200, the end of head and stream
  };

  H2Server() {
    accepted = [this](Wire& w) {
      ++connections;
      bytes.clear();
      w.send(settings, kMs);
    };
    data = [this](Wire& w, std::string_view piece) {
      bytes += piece;
      constexpr size_t kPreface = 24;
      if (bytes.starts_with("PRI * ") && bytes.size() >= kPreface) bytes.erase(0, kPreface);
      if (bytes.starts_with("PRI * ")) return;
      while (bytes.size() >= 9) {
        const auto at = [this](size_t i) { return uint32_t{static_cast<uint8_t>(bytes[i])}; };
        const size_t size = 9 + (at(0) << 16 | at(1) << 8 | at(2));
        if (bytes.size() < size) return;
        const uint32_t stream = at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8);
        const bool request = bytes[3] == 1;
        bytes.erase(0, size);
        if (!request) continue;
        ++requests[connections];
        if (const std::string text = answer(connections, stream); !text.empty()) w.send(text, 5 * kMs);
      }
    };
  }
};

struct ConnectionsTest : testing::Test {
  World world;
  H2Server server;

  Options options(const std::string& url, std::map<std::string, std::string> params) {
    Options o;
    o.targets[0].host = "192.0.2.1";
    o.targets[0].url = url;
    o.params = std::move(params);
    o.connect = [this](uint32_t) { return &server; };
    return o;
  }
  void go(TestletHost& host, uint32_t count, int64_t gap) {
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t i = 0; i < count; ++i) host.ticket(0, i, world.now_ns + i * gap);
    world.run_for(count * gap + 3000 * kMs);
  }
};

TEST_F(ConnectionsTest, WhatAGoodbyeLeftUndoneIsAskedForOnOneOtherConnection) {
  server.answer = [](int number, uint32_t stream) {
    return number == 1 ? kGoodbye : frame(1, 5, stream, "\x88");
  };
  Options o = options("http://192.0.2.1/", {{"http", "2"}, {"streams", "4"}});
  o.rate = HUGE_VAL;
  TestletHost host(world, kHttp, o);
  go(host, 8, 0);
  EXPECT_EQ(host.counter("ok"), 8u);
  EXPECT_EQ(host.counter("failed"), 0u);
  EXPECT_EQ(server.connections, 2);
  EXPECT_EQ(server.requests[2], 8);
  EXPECT_EQ(host.open_streams(), 1u);
}

// A hundred streams are what a connection opens before it knows what the server allows. What waits behind
// them when the server says that it takes no more goes elsewhere at once, though the hundred get no answer:
// they were sent, and nobody may repeat a POST.
TEST_F(ConnectionsTest, WhatWaitsOnAConnectionThatTakesNoMoreGoesElsewhereAtOnce) {
  constexpr uint32_t kOpened = 100, kWaiting = 10;
  const std::string last = {0, 0, 0, static_cast<char>(2 * kOpened - 1)};
  server.settings = frame(4, 0, 0, {0, 3, 0, 0, 0, static_cast<char>(kOpened)});  // and no more
  server.answer = [&](int number, uint32_t stream) {
    if (number != 1) return frame(1, 5, stream, "\x88");
    return stream == 1 ? frame(7, 0, 0, last + std::string(4, '\0')) : "";
  };
  Options o = options("http://192.0.2.1/",
                      {{"http", "2"}, {"streams", "200"}, {"connections", "2"}, {"method", "POST"}});
  o.timeout_ns = 300 * kMs;
  TestletHost host(world, kHttp, o);
  go(host, kOpened + kWaiting, 0);
  EXPECT_EQ(server.requests[1], static_cast<int>(kOpened));
  EXPECT_EQ(server.requests[2], static_cast<int>(kWaiting));
  EXPECT_EQ(host.counter("ok"), kWaiting);
  EXPECT_EQ(host.tally("reasons", "timeout"), kOpened);
}

// What does not leave holds the memory it is sent from, which all targets share.
struct TakesNothingTest : ConnectionsTest {
  // Target 0 is `stuck` until everything sent to it has timed out.
  void beside(Script& stuck, Script& good, std::map<std::string, std::string> params, uint32_t of_stuck) {
    stuck.takes_nothing = true;
    params["method"] = "POST";
    Options o = options("http://192.0.2.1/", std::move(params));
    o.targets.push_back(o.targets[0]);
    o.targets[1].host = "192.0.2.2";
    o.targets[1].url = "http://192.0.2.2/";
    o.connect = [&](uint32_t target) { return target == 0 ? &stuck : &good; };
    o.timeout_ns = 400 * kMs;
    TestletHost host(world, kHttp, o);
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t i = 0; i < of_stuck; ++i) host.ticket(0, i, world.now_ns);
    for (uint32_t i = 0; i < 5; ++i) host.ticket(1, i, world.now_ns + (100 + i * 20) * kMs);
    world.run_for(1000 * kMs);
    EXPECT_EQ(host.counter("ok", 1), 5u) << (host.notes.empty() ? "" : host.notes.back());
    for (const uint64_t ns : host.observed("response_time", 1)) EXPECT_LT(ns, 100u * kMs);
    EXPECT_EQ(host.tally("reasons", "timeout", 0), of_stuck);
    stuck.takes_nothing = false;
    for (uint32_t i = 0; i < 3; ++i) host.ticket(i % 2, 100 + i, world.now_ns + i * 20 * kMs);
    world.run_for(1000 * kMs);
    EXPECT_EQ(host.counter("ok", 0), 2u) << "on another connection";
    EXPECT_EQ(host.counter("ok", 1), 6u);
  }
};

TEST_F(TakesNothingTest, LeavesOthersWhatTheySendFrom) {
  Script stuck, good;
  stuck.data = good.data = [](Wire& w, std::string_view) {
    w.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", kMs);
  };
  beside(stuck, good, {{"connections", "40"}, {"body", "x"}}, 40);
}

TEST_F(TakesNothingTest, LeavesOthersWhatTheySendFromInHttp2) {
  H2Server stuck;
  // Windows of a gigabyte, for each stream and for all of them.
  stuck.settings = server.settings =
      frame(4, 0, 0, std::string("\0\4\x3f\0\0\0", 6)) + frame(8, 0, 0, std::string("\x3f\0\0\0", 4));
  beside(stuck, server, {{"http", "2"}, {"streams", "4"}, {"body", std::string(300'000, 'x')}}, 4);
}

TEST_F(ConnectionsTest, ASilentConnectionIsReplaced) {
  server.answer = [](int number, uint32_t stream) {
    return number == 1 && stream > 1 ? "" : frame(1, 5, stream, "\x88");
  };
  Options o = options("http://192.0.2.1/", {{"http", "2"}});
  o.timeout_ns = 50 * kMs;
  TestletHost host(world, kHttp, o);
  go(host, 5, 100 * kMs);
  EXPECT_EQ(host.counter("ok"), 4u);
  EXPECT_EQ(host.tally("reasons", "timeout"), 1u);
  EXPECT_EQ(server.connections, 2);
}

TEST_F(ConnectionsTest, ARedirectsRequestIsNotRepeatedAtTheTarget) {
  Script origin;
  std::string asked;
  origin.data = [&](Wire& w, std::string_view bytes) {
    asked += bytes;
    w.send("HTTP/1.1 302 Found\r\nLocation: https://other.example/signed\r\nContent-Length: 0\r\n\r\n", kMs);
  };
  server.tls.version = TODD_TLS_1_3;
  server.tls.alpn = "h2";
  server.answer = [](int, uint32_t) { return kGoodbye; };
  Options o = options("http://192.0.2.1/", {{"follow", "2"}});
  o.connect = [&](uint32_t target) { return target == 0 ? &origin : &server; };
  TestletHost host(world, kHttp, o);
  go(host, 1, 0);
  EXPECT_EQ(host.counter("failed"), 1u);
  EXPECT_EQ(server.requests[1], 1);
  EXPECT_EQ(asked.find("/signed"), std::string::npos) << asked;
}

TEST_F(ConnectionsTest, ASecretThatComesBackIsBlanked) {
  Script echo;
  echo.data = [](Wire& w, std::string_view) {
    w.send("HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\nBearer open-sesame!!", kMs);
  };
  for (const char* param : {"token", "secret_value"}) {
    Options o = options("http://192.0.2.1/", {{param, "open-sesame"}, {"check", "body ~ welcome"}});
    if (param[0] == 's') o.params["secret_header"] = "X-Api-Key";
    o.connect = [&](uint32_t) { return &echo; };
    TestletHost host(world, kHttp, o);
    go(host, 1, 0);
    EXPECT_EQ(host.tally("reasons", "check"), 1u);
    ASSERT_FALSE(host.notes.empty());
    EXPECT_EQ(host.notes[0].find("sesame"), std::string::npos) << host.notes[0];
    EXPECT_NE(host.notes[0].find("***"), std::string::npos) << host.notes[0];
  }
}

// It would be sent as it stands, by its name.
TEST_F(ConnectionsTest, HeadersAreNoPlaceForSecrets) {
  const auto refused = [&](std::map<std::string, std::string> params) {
    TestletHost host(world, kHttp, options("http://192.0.2.1/", std::move(params)));
    EXPECT_EQ(host.check(), TODD_E_PARAM);
    return host.error_text;
  };
  for (const char* header :
       {"X-Api-Key: secret:api", "X-Api-Key:secret:api", "X-A: b\nX-Api-Key: Bearer secret:api"})
    EXPECT_THAT(refused({{"header", header}}), testing::AllOf(testing::StartsWith("header 'X-Api-Key': "),
                                                              testing::HasSubstr("secret_value")));
  EXPECT_THAT(refused({{"proxy", "http://p:1"}, {"proxy_header", "Proxy-Authorization: secret:p"}}),
              testing::AllOf(testing::StartsWith("proxy_header 'Proxy-Authorization': "),
                             testing::HasSubstr("proxy_password")));
  TestletHost host(world, kHttp, options("http://192.0.2.1/", {{"header", "X-A: no secret: b, nosecret:c"}}));
  EXPECT_EQ(host.check(), 0) << host.error_text;
}

}  // namespace
}  // namespace todd::http
