// Peers that lie, die or say nonsense, in each state of the control protocol, against both ends.

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "plugins/iperf/messages.h"
#include "plugins/iperf/protocol.h"
#include "tests/support/testlet_host.h"

namespace todd::iperf {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;

constexpr int64_t kMs = 1'000'000, kS = 1'000 * kMs;
const todd_testlet& kIperf = **todd_entry_v0.testlets;

std::string byte(State state) { return std::string(1, static_cast<char>(state)); }

Params some_params() {
  Params p;
  p.length = 1000;
  p.time_s = 1;
  return p;
}

// ---- servers

// What a server says when so many bytes have come: the cookie, then the params.
struct ServerScript {
  Script script;
  std::string after_cookie, after_params;
  size_t got = 0;
  bool ends = false;
  ServerScript() {
    script.data = [this](Wire& w, std::string_view bytes) {
      const bool cookie_was = got >= kCookie;
      got += bytes.size();
      if (!cookie_was && got >= kCookie) say(w, after_cookie);
      if (got > kCookie) say(w, after_params);
    };
  }
  void say(Wire& w, std::string& what) {
    if (what.empty()) return;
    w.send(std::exchange(what, {}), kMs);
    if (ends) w.end(2 * kMs);
  }
};

struct HostileServerTest : testing::Test {
  World world;
  Options o;
  std::string note;

  HostileServerTest() {
    o.duration_ns = kS;
    o.timeout_ns = 2 * kS;
  }
  // How a test against the server ends.
  std::string outcome(Script& server) {
    o.connect = [&](uint32_t) { return &server; };
    TestletHost host(world, kIperf, o);
    EXPECT_EQ(host.start(), 0) << host.error_text;
    host.begin(5 * kS);
    world.run_for(6 * kS);
    EXPECT_TRUE(host.finished());
    EXPECT_EQ(host.open_streams(), 0u);
    note = host.notes.empty() ? "" : host.notes.front();
    EXPECT_EQ(host.notes.size(), 1u);
    const std::string reason = note.substr(0, note.find(':'));
    EXPECT_EQ(host.tally("errors", reason), 1u) << note;
    return reason;
  }
};

TEST_F(HostileServerTest, ThatCannotBeReached) {
  Script server;
  for (const auto& [error, reason] : {std::pair{ECONNREFUSED, "refused"},
                                      {ETIMEDOUT, "timeout"},
                                      {EHOSTUNREACH, "unreachable"},
                                      {ENETUNREACH, "unreachable"},
                                      {EADDRNOTAVAIL, "local"}}) {
    server.connect_result = -error;
    EXPECT_EQ(outcome(server), reason);
  }
}

TEST_F(HostileServerTest, ThatEndsOrIsSilentInEachState) {
  for (const bool ends : {false, true}) {
    for (const bool reset : {false, true}) {
      if (reset && ends) continue;
      ServerScript silent;
      if (ends) silent.script.accepted = [](Wire& w) { w.end(kMs); };
      if (reset) silent.script.accepted = [](Wire& w) { w.reset(ECONNRESET, kMs); };
      EXPECT_EQ(outcome(silent.script), reset ? "reset" : ends ? "closed" : "timeout");
      EXPECT_NE(note.find("PARAM_EXCHANGE"), note.npos) << note;
    }
    ServerScript asks;
    asks.after_cookie = byte(State::kParamExchange);
    asks.ends = ends;
    EXPECT_EQ(outcome(asks.script), ends ? "closed" : "timeout");
    EXPECT_NE(note.find("CREATE_STREAMS"), note.npos) << note;
  }
  ServerScript takes;
  takes.after_cookie = byte(State::kParamExchange);
  takes.after_params = byte(State::kCreateStreams);
  EXPECT_EQ(outcome(takes.script), "timeout");
  EXPECT_NE(note.find("TEST_START"), note.npos) << note;
}

TEST_F(HostileServerTest, ThatSaysNoOrNonsense) {
  for (const auto& [said, reason] :
       {std::pair{byte(State::kAccessDenied), "denied"},
        {byte(State::kServerTerminate), "terminated"},
        {byte(State::kServerError) + std::string("\0\0\0\x72\0\0\0\x5c", 8), "server_error"},
        {byte(State::kTestRunning), "protocol"},
        {byte(State::kDisplayResults), "protocol"},
        {std::string("HTTP/1.1 400 Bad Request\r\n\r\n"), "protocol"},
        {byte(State::kParamExchange) + byte(State::kTestStart), "protocol"}}) {
    ServerScript server;
    server.after_cookie = said;
    EXPECT_EQ(outcome(server.script), reason);
  }
}

// ---- clients

struct HostileClientTest : testing::Test {
  World world;
  Options r;
  std::unique_ptr<TestletHost> host;
  int ended = 0;
  std::string said;
  Script client;

  HostileClientTest() {
    r.role = TODD_RESPONDER;
    r.timeout_ns = 2 * kS;
    r.slots = 300;
    client.ended = [this](Wire&) { ++ended; };
    client.data = [this](Wire&, std::string_view bytes) { said += bytes; };
  }
  void start() {
    host = std::make_unique<TestletHost>(world, kIperf, r);
    ASSERT_EQ(host->start(), 0) << host->error_text;
    world.run_for(kMs);
    ASSERT_TRUE(host->ready());
    host->begin();
  }
  Wire dial(std::string_view text) {
    Wire w = host->dial(client);
    w.send(text, 0);
    world.run_for(100 * kMs);
    return w;
  }
  void expect_gone(int how_many) {
    EXPECT_EQ(ended, how_many);
    EXPECT_EQ(host->open_streams(), 0u);
  }
};

TEST_F(HostileClientTest, WithoutACookie) {
  start();
  dial(std::string(kCookie, '\0'));
  dial("GET / HTTP/1.1\r\nHost: example.test\r\n\r\n");
  EXPECT_EQ(ended, 2);
  EXPECT_EQ(said, "");
  dial(make_cookie(1, 2).substr(0, 20));
  EXPECT_EQ(ended, 2);
  world.run_for(3 * kS);  // a part of a cookie has a deadline
  expect_gone(3);
}

TEST_F(HostileClientTest, WithMoreConnectionsThanThereIsRoomFor) {
  start();
  for (int i = 0; i < 400; ++i) host->dial(client);
  world.run_for(10 * kMs);
  EXPECT_EQ(ended, 400 - 256);
  world.run_for(3 * kS);
  expect_gone(400);
  for (uint64_t i = 0; i < 70; ++i) host->dial(client).send(make_cookie(i, i + 1), 0);
  world.run_for(100 * kMs);
  std::sort(said.begin(), said.end());
  EXPECT_EQ(said, std::string(6, static_cast<char>(State::kAccessDenied)) +
                      std::string(64, static_cast<char>(State::kParamExchange)));
  world.run_for(4 * kS);
  expect_gone(470);
}

TEST_F(HostileClientTest, WhoseParamsAreBad) {
  start();
  const std::string cookie = make_cookie(1, 2);
  int n = 0;
  const std::string error = byte(State::kParamExchange) + byte(State::kServerError);
  for (const std::string& text : {frame("{"), frame("[]"), frame("{\"tcp\":true,\"parallel\":0,\"len\":10}"),
                                  frame("{\"tcp\":true,\"parallel\":1000000,\"len\":10}"),
                                  std::string("\xff\xff\xff\xff", 4), std::string("\0\x20\0\0", 4)}) {
    said.clear();
    dial(cookie + text);
    EXPECT_EQ(ended, ++n) << text;
    EXPECT_EQ(said.substr(0, 2), error) << text;
  }
  dial(cookie + std::string("\0\0\1\0{", 5));  // the rest never comes
  world.run_for(4 * kS);
  expect_gone(n + 1);
}

TEST_F(HostileClientTest, WhoDoesNotOpenItsStreams) {
  start();
  const std::string asked = make_cookie(1, 2) + frame(write(some_params()));
  dial(asked);
  EXPECT_EQ(said, byte(State::kParamExchange) + byte(State::kCreateStreams));
  said.clear();
  dial(make_cookie(1, 3));  // a stream of nobody is a new session
  EXPECT_EQ(said, byte(State::kParamExchange));
  world.run_for(4 * kS);
  expect_gone(2);
}

TEST_F(HostileClientTest, WithTooManyStreams) {
  start();
  Params p = some_params();
  p.streams = 128;
  p.bidir = true;
  for (uint64_t i = 0; i < 4; ++i) dial(make_cookie(1, i) + frame(write(p)));
  said.clear();
  dial(make_cookie(1, 9) + frame(write(p)));
  EXPECT_EQ(said, byte(State::kParamExchange) + byte(State::kAccessDenied));
  world.run_for(4 * kS);
  expect_gone(5);
}

TEST_F(HostileClientTest, IsTurnedAwayInARunOfAgents) {
  r.tokens = {77};
  start();
  dial(make_cookie(1, 2) + frame(write(some_params())));
  EXPECT_EQ(said, byte(State::kParamExchange) + byte(State::kAccessDenied));
  world.run_for(4 * kS);
  expect_gone(1);
}

// iperf3 reads whole blocks of a stream and goes on when it has one or the stream ends. A server that stopped
// sending in the midst of a block, and waited for the client's results, waited in vain.
TEST_F(HostileClientTest, WhoReadsToTheEndBeforeItTellsItsResults) {
  start();
  Params p = some_params();
  p.reverse = true;
  const std::string cookie = make_cookie(1, 2);
  Wire control = dial(cookie + frame(write(p)));
  Script data;
  size_t got = 0;
  bool at_end = false;
  data.data = [&](Wire&, std::string_view bytes) { got += bytes.size(); };
  data.ended = [&](Wire&) {
    at_end = true;
    control.send(frame(write(Results{})), 0);
  };
  host->dial(data).send(cookie, 0);
  world.run_for(100 * kMs);
  EXPECT_GT(got, 100'000u);
  control.send(byte(State::kTestEnd), 0);
  world.run_for(100 * kMs);
  EXPECT_TRUE(at_end);
  EXPECT_EQ(said.back(), static_cast<char>(State::kDisplayResults));
  control.send(byte(State::kIperfDone), 0);
  world.run_for(100 * kMs);
  expect_gone(1);
  EXPECT_TRUE(host->logs.empty());
}

TEST_F(HostileClientTest, StoppingTellsThem) {
  start();
  dial(make_cookie(1, 2) + frame(write(some_params())));
  said.clear();
  host->drain();
  world.run_for(2 * kS);
  EXPECT_EQ(said, byte(State::kServerTerminate));
  EXPECT_TRUE(host->finished());
  expect_gone(1);
}

}  // namespace
}  // namespace todd::iperf
