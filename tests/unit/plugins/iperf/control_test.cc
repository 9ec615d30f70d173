#include "plugins/iperf/control.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace todd::iperf {
namespace {

constexpr int64_t kS = 1'000'000'000;

std::string byte(State state) { return std::string(1, static_cast<char>(state)); }

Params tcp_params() {
  Params p;
  p.length = 1000;
  p.time_s = 10;
  return p;
}
Results some_results(uint64_t bytes) {
  Results r;
  r.streams.push_back({});
  r.streams[0].id = 1;
  r.streams[0].bytes = bytes;
  return r;
}

// A client that has got through `states` of the server, doing what it has to.
struct Client : ClientControl {
  Client() : ClientControl(make_cookie(1, 2), write(tcp_params()), kS) { connected(0); }
  void feed(std::string_view bytes) {
    for (const char c : bytes) {
      received(std::string_view(&c, 1), 0);
      while (const auto what = next()) {
        did.push_back(*what);
        if (*what == Do::kOpenStreams) streams_ready(0);
        if (*what == Do::kStart) end(0);
        if (*what == Do::kCollect) results(some_results(5), 0);
      }
    }
  }
  std::vector<Do> did;
};
struct Server : ServerControl {
  Server() : ServerControl(kS, 0) {}
  void feed(std::string_view bytes) {
    for (const char c : bytes) {
      received(std::string_view(&c, 1), 0);
      while (const auto what = next()) {
        did.push_back(*what);
        if (*what == Do::kAdmit) admit(0);
        if (*what == Do::kOpenStreams) streams_ready(0);
        if (*what == Do::kCollect) results(some_results(7), 0);
      }
    }
  }
  std::vector<Do> did;
};

const std::string kServerSays = byte(State::kParamExchange) + byte(State::kCreateStreams) +
                                byte(State::kTestStart) + byte(State::kTestRunning) +
                                byte(State::kExchangeResults) + frame(write(some_results(7))) +
                                byte(State::kDisplayResults);
const std::string kClientSays = frame(write(tcp_params())) + byte(State::kTestEnd) +
                                frame(write(some_results(5))) + byte(State::kIperfDone);

TEST(ControlTest, ClientSaysWhatIperf3SaysInItsOrder) {
  Client c;
  c.feed(kServerSays);
  EXPECT_EQ(c.did, (std::vector{Do::kOpenStreams, Do::kStart, Do::kCollect, Do::kDone}));
  EXPECT_EQ(c.take_out(), make_cookie(1, 2) + kClientSays);
  EXPECT_TRUE(c.over() && !c.failed());
  EXPECT_EQ(c.peer().streams[0].bytes, 7u);
}

TEST(ControlTest, ServerSaysWhatIperf3SaysInItsOrder) {
  Server s;
  s.feed(kClientSays);
  EXPECT_EQ(s.did,
            (std::vector{Do::kAdmit, Do::kOpenStreams, Do::kStart, Do::kStop, Do::kCollect, Do::kDone}));
  EXPECT_EQ(s.take_out(), kServerSays);
  EXPECT_EQ(s.params().length, 1000u);
  EXPECT_EQ(s.peer().streams[0].bytes, 5u);
}

// Wherever the peer dies, says nothing more, or says something else, there is a reason.
TEST(ControlTest, APeerThatDiesInAnyStateIsAReason) {
  const auto outcomes = [](auto make, const std::string& script, size_t last) {
    for (size_t n = 0; n < last; ++n) {
      auto dies = make(), resets = make(), silent = make();
      for (auto* one : {&dies, &resets, &silent}) (*one)->feed(script.substr(0, n));
      dies->closed(0);
      EXPECT_TRUE(dies->failed()) << n;
      EXPECT_STREQ(dies->reason(), "closed") << n;
      EXPECT_FALSE(dies->text().empty());
      resets->closed(ECONNRESET);
      EXPECT_STREQ(resets->reason(), "reset") << n;
      ASSERT_LE(silent->deadline_ns(), 11 * kS) << n << ": " << silent->waiting_for();
      silent->expire(silent->deadline_ns() - 1);
      EXPECT_FALSE(silent->over()) << n;
      silent->expire(silent->deadline_ns());
      EXPECT_STREQ(silent->reason(), "timeout") << n;
      EXPECT_EQ(silent->next(), Do::kFailed);
      EXPECT_FALSE(silent->next());
    }
  };
  outcomes([] { return std::make_unique<Client>(); }, kServerSays, kServerSays.size());
  // Once the server has sent its results, a client that only hangs up is done as well.
  outcomes([] { return std::make_unique<Server>(); }, kClientSays, kClientSays.size() - 1);
  Server hung_up;
  hung_up.feed(kClientSays.substr(0, kClientSays.size() - 1));
  hung_up.closed(0);
  EXPECT_TRUE(hung_up.over() && !hung_up.failed());
}

TEST(ControlTest, ClientKnowsHowServersSayNo) {
  for (const auto& [says, reason, text] :
       {std::tuple{byte(State::kAccessDenied), "denied", "no room"},
        {byte(State::kServerTerminate), "terminated", "stopped"},
        {byte(State::kServerError) + std::string("\0\0\0\x72\0\0\0\x62", 8), "server_error",
         "114: Address already"},
        {byte(State::kServerError) + std::string("\0\0\0\x72\0\0\0\0", 8), "server_error", "114"},
        {std::string("HTTP/1.1 400"), "protocol", "state 72 instead of PARAM_EXCHANGE"}}) {
    Client c;
    c.feed(says);
    EXPECT_STREQ(c.reason(), reason);
    EXPECT_NE(c.text().find(text), std::string::npos) << c.text();
  }
}

TEST(ControlTest, StatesOutOfTurnAreRefused) {
  // At each of its turns every state that is not the one that is due.
  for (const size_t n : {0, 1, 2, 3, 4}) {
    for (const State state : {State::kTestStart, State::kTestRunning, State::kTestEnd, State::kParamExchange,
                              State::kCreateStreams, State::kExchangeResults, State::kDisplayResults,
                              State::kIperfDone, static_cast<State>(77)}) {
      if (kServerSays[n] == static_cast<char>(state)) continue;
      Client c;
      c.feed(kServerSays.substr(0, n) + byte(state));
      EXPECT_STREQ(c.reason(), "protocol") << n << ' ' << name_of(state);
    }
  }
  const size_t running = kClientSays.find(byte(State::kTestEnd));
  for (const State state : {State::kTestStart, State::kTestRunning, State::kIperfDone}) {
    Server s;
    s.feed(kClientSays.substr(0, running) + byte(state));
    EXPECT_STREQ(s.reason(), "protocol") << name_of(state);
  }
  Server stopped;
  stopped.feed(kClientSays.substr(0, running) + byte(State::kClientTerminate));
  EXPECT_STREQ(stopped.reason(), "terminated");
}

TEST(ControlTest, HugeAndMalformedTextsAreNamed) {
  Server huge;
  huge.feed(std::string("\x7f\xff\xff\xff{", 5));
  EXPECT_STREQ(huge.reason(), "too_large");
  EXPECT_NE(huge.text().find("2147483647 bytes are announced"), std::string::npos) << huge.text();
  EXPECT_EQ(huge.take_out().substr(1, 5), byte(State::kServerError) + std::string("\0\0\0\x72", 4));
  Server bad;
  bad.feed(frame("{\"tcp\":true}"));
  EXPECT_STREQ(bad.reason(), "malformed");
  Client client;
  client.feed(kServerSays.substr(0, 5) + frame("{}"));
  EXPECT_STREQ(client.reason(), "malformed");
  EXPECT_NE(client.text().find("results"), std::string::npos);
}

TEST(ControlTest, ATestWithoutATimeIsWaitedForWhileItGoesOn) {
  Params p = tcp_params();
  p.time_s = 0;
  p.bytes = 5;
  Server s;
  s.feed(frame(write(p)));
  EXPECT_EQ(s.deadline_ns(), kS);
  s.active(5 * kS);
  EXPECT_EQ(s.deadline_ns(), 6 * kS);
  Server timed;
  timed.feed(frame(write(tcp_params())));
  timed.active(5 * kS);
  EXPECT_EQ(timed.deadline_ns(), 11 * kS);  // its time and the timeout
}

TEST(ControlTest, WhatIsRefusedIsSaid) {
  Server s;
  s.received(frame(write(tcp_params())), 0);
  EXPECT_EQ(s.next(), Do::kAdmit);
  s.refuse("denied", "8 sessions are served already");
  EXPECT_EQ(s.take_out(), byte(State::kParamExchange) + byte(State::kAccessDenied));
  EXPECT_EQ(s.next(), Do::kFailed);
  Client client;
  client.feed(kServerSays.substr(0, 2));
  client.take_out();
  client.abandon();
  EXPECT_EQ(client.take_out(), byte(State::kClientTerminate));
}

}  // namespace
}  // namespace todd::iperf
