#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>

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
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

struct HttpTest : testing::Test {
  World world;
  Script server;
  std::string requests;
  int accepted = 0;

  // A server that answers each request with `response` after 10 ms.
  void answer_with(const std::string& response) {
    server.accepted = [this](Wire&) { ++accepted; };
    server.data = [this, response](Wire& w, std::string_view bytes) {
      requests += bytes;
      w.send(response, 10 * kMs);
    };
  }
  Options options() {
    Options o;
    o.targets[0].host = "192.0.2.1";
    o.targets[0].url = "http://192.0.2.1/x";
    o.connect = [this](uint32_t) { return &server; };
    return o;
  }
  void go(TestletHost& host, uint32_t count = 1, int64_t gap = 100 * kMs) {
    ASSERT_EQ(host.start(), 0) << host.error_text;
    host.begin();
    for (uint32_t i = 0; i < count; ++i) host.ticket(0, i, world.now_ns + i * gap);
    world.run_for(static_cast<int64_t>(count) * gap + 3000 * kMs);
  }
};

TEST_F(HttpTest, TimesEachPhaseOfANamedTarget) {
  answer_with(kOk);
  Options o = options();
  o.targets[0].host = "example.net";
  o.targets[0].url = "http://example.net/x?y=1";
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.counter("ok"), 1u);
  EXPECT_EQ(host.counter("bytes"), 5u);
  EXPECT_EQ(host.tally("status", "200"), 1u);
  EXPECT_EQ(host.observed("resolve"), (std::vector<uint64_t>{2 * kMs}));
  EXPECT_EQ(host.observed("connect"), (std::vector<uint64_t>{1 * kMs}));
  ASSERT_EQ(host.observed("first_byte").size(), 1u);
  EXPECT_NEAR(static_cast<double>(host.observed("first_byte")[0]), 14.0 * kMs, 0.1 * kMs);
  EXPECT_EQ(host.observed("corrected_time"), host.observed("response_time"));
  EXPECT_EQ(requests.substr(0, requests.find("\r\nUser")), "GET /x?y=1 HTTP/1.1\r\nHost: example.net");
  ASSERT_EQ(host.samples.size(), 1u);
  EXPECT_STREQ(host.samples[0].outcome, "ok");
}

// What is due while the only connection is busy waits; its own time begins after that.
TEST_F(HttpTest, TimesWhatWaitsForAConnection) {
  answer_with(kOk);
  TestletHost host(world, kHttp, options());
  go(host, 2, 0);
  const auto queued = host.observed("queued"), times = host.observed("response_time");
  ASSERT_EQ(queued.size(), 2u);
  EXPECT_EQ(queued[0], 0u);
  EXPECT_EQ(queued[1], times[0]);
  EXPECT_EQ(host.observed("corrected_time")[1], queued[1] + times[1]);
}

// 100,000 bytes at 8 Mbit/s take 100 ms to leave, which no server is to blame for, unless the system takes
// them at once. Over HTTP/2 what the server's window lets through.
TEST_F(HttpTest, TimesTheSendingOfALongBody) {
  const std::string h2_ok{
      "\0\0\0\4\0\0\0\0\0"
      "\0\0\1\1\5\0\0\0\1\x88",
      19};
  for (const char* const version : {"1.1", "2"}) {
    const size_t size = version[0] == '1' ? 100'000 : 50'000;
    for (const bool at_once : {false, true}) {
      std::string came;
      server.data = [&](Wire& w, std::string_view bytes) {
        if (came.size() < size && came.size() + bytes.size() >= size)
          w.send(version[0] == '1' ? kOk : h2_ok, 10 * kMs);
        came += bytes;
      };
      Options o = options();
      o.params = {{"method", "POST"}, {"body", std::string(size, 'b')}, {"http", version}};
      o.bits_per_s = 8e6;
      if (at_once) o.socket_buffer = 1'000'000;
      TestletHost host(world, kHttp, o);
      go(host);
      ASSERT_EQ(host.counter("ok"), 1u) << version;
      const double left_ms = static_cast<double>(host.observed("send")[0]) / kMs;
      const double wait_ms = static_cast<double>(host.observed("wait")[0]) / kMs;
      EXPECT_NEAR(left_ms, at_once ? 0 : static_cast<double>(size) / 1000, 0.5) << version;
      EXPECT_NEAR(wait_ms, static_cast<double>(size) / 1000 + 11, 0.5) << version;
    }
  }
}

// A server may answer before it has the whole request: what it did not take until then it took no time for.
TEST_F(HttpTest, SendingEndsWithTheAnswerAtTheLatest) {
  server.takes_nothing = true;
  server.accepted = [](Wire& w) {
    w.send("HTTP/1.1 413 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 20 * kMs);
  };
  TestletHost host(world, kHttp, options());
  go(host);
  ASSERT_EQ(host.tally("status", "413"), 1u);
  EXPECT_EQ(host.observed("send"), host.observed("wait"));
  EXPECT_GT(host.observed("send")[0], 19u * kMs);
}

TEST_F(HttpTest, KeepsTheConnection) {
  answer_with(kOk);
  TestletHost host(world, kHttp, options());
  go(host, 10);
  EXPECT_EQ(host.counter("ok"), 10u);
  EXPECT_EQ(accepted, 1);
  EXPECT_EQ(host.observed("connect").size(), 1u);
  EXPECT_TRUE(host.observed("resolve").empty());  // a literal address
  EXPECT_EQ(host.open_streams(), 1u);
  host.drain();
  world.run_for(kMs);
  EXPECT_TRUE(host.finished());
  EXPECT_EQ(host.open_streams(), 0u);
}

TEST_F(HttpTest, OpensOneForEachWithoutKeepAlive) {
  answer_with(kOk);
  Options o = options();
  o.params = {{"keep_alive", "false"}};
  TestletHost host(world, kHttp, o);
  go(host, 5);
  EXPECT_EQ(host.counter("ok"), 5u);
  EXPECT_EQ(accepted, 5);
  EXPECT_EQ(host.open_streams(), 0u);
  EXPECT_NE(requests.find("Connection: close\r\n"), std::string::npos);
}

TEST_F(HttpTest, AsFastAsServedDropsNothing) {
  answer_with(kOk);
  Options o = options();
  o.rate = HUGE_VAL;
  o.params = {{"connections", "2"}};
  TestletHost host(world, kHttp, o);
  go(host, 100, 0);
  EXPECT_EQ(host.counter("ok"), 100u);
  EXPECT_EQ(host.counter("dropped"), 0u);
  EXPECT_EQ(accepted, 2);
  for (const uint64_t ns : host.observed("response_time")) EXPECT_LT(ns, 15u * kMs);
}

// Two workers of 14 ms each and a pause of 50: so many requests in a second, and no more.
TEST_F(HttpTest, AWorkerThinksBetweenItsRequests) {
  answer_with(kOk);
  Options o = options();
  o.rate = HUGE_VAL;
  o.params = {{"connections", "2"}, {"think_time", "50ms"}};
  TestletHost host(world, kHttp, o);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  for (uint32_t i = 0; i < 100; ++i) host.ticket(0, i, world.now_ns);
  world.run_for(1000 * kMs);
  EXPECT_GE(host.counter("ok"), 30u);
  EXPECT_LE(host.counter("ok"), 34u);
  EXPECT_EQ(host.counter("dropped"), 0u);
  EXPECT_EQ(host.gauge("in_flight"), 2);
  EXPECT_EQ(accepted, 2);  // they are kept meanwhile
  for (const uint64_t ns : host.observed("response_time")) EXPECT_LT(ns, 15u * kMs);
  world.run_for(5000 * kMs);
  EXPECT_EQ(host.counter("ok"), 100u);
  host.drain();
  world.run_for(kMs);
  EXPECT_TRUE(host.finished());  // a pause keeps nobody
}

// After a failure too.
TEST_F(HttpTest, AWorkerThinksAfterAFailure) {
  server.connect_result = -ECONNREFUSED;
  Options o = options();
  o.rate = HUGE_VAL;
  o.params = {{"think_time", "100ms"}};
  TestletHost host(world, kHttp, o);
  ASSERT_EQ(host.start(), 0) << host.error_text;
  host.begin();
  for (uint32_t i = 0; i < 100; ++i) host.ticket(0, i, world.now_ns);
  world.run_for(1000 * kMs);
  EXPECT_EQ(host.counter("failed"), 10u);
}

TEST_F(HttpTest, ThinkingIsOfTheClosedModel) {
  Options o = options();
  o.params = {{"think_time", "1ms"}};
  TestletHost paced(world, kHttp, o);
  EXPECT_EQ(paced.check(), TODD_E_PARAM);
  EXPECT_NE(paced.error_text.find("think_time: "), std::string::npos);
}

TEST_F(HttpTest, ChecksTheHashOfABody) {
  answer_with(kOk);
  const std::string hello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
  Options o = options();
  o.params = {{"check", "hash sha256 = " + hello}, {"checked_body", "0"}};
  TestletHost host(world, kHttp, o);
  go(host, 2);
  EXPECT_EQ(host.counter("ok"), 2u);
  o.params = {{"check", "hash sha256 = " + std::string(64, '0')}};
  TestletHost other(world, kHttp, o);
  go(other, 2);
  EXPECT_EQ(other.tally("reasons", "check"), 2u);
  ASSERT_FALSE(other.notes.empty());
  EXPECT_NE(other.notes[0].find("is " + hello), std::string::npos) << other.notes[0];
}

// What is more than the host has room for was thrown at in the middle of the test.
TEST_F(HttpTest, MoreHashesThanThereIsRoomForAreRefused) {
  answer_with(kOk);
  Options o = options();
  o.params = {{"connections", "10000"}, {"check", "hash sha256 = " + std::string(64, '0')}};
  o.targets.resize(6, o.targets[0]);
  TestletHost six(world, kHttp, o);
  EXPECT_EQ(six.start(), 0) << six.error_text;
  o.targets.resize(7, o.targets[0]);
  TestletHost seven(world, kHttp, o);
  EXPECT_EQ(seven.start(), TODD_E_PARAM);
  EXPECT_NE(seven.error_text.find("check 'hash': targets times connections times streams"), std::string::npos)
      << seven.error_text;
}

TEST_F(HttpTest, HonoursTheServersClose) {
  answer_with("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  TestletHost host(world, kHttp, options());
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(accepted, 3);
}

// nghttp2 ends a stream that is wrong when it tells the server so. The connection, which takes no more
// requests, is closed after that, and not within.
TEST_F(HttpTest, AStreamThatEndsWhileItsConnectionWrites) {
  const auto frame = [](char type, char flags, char stream, const std::string& payload) {
    return std::string{0, 0, static_cast<char>(payload.size()), type, flags, 0, 0, 0, stream} + payload;
  };
  server.data = [&, n = 0](Wire& w, std::string_view bytes) mutable {
    requests += bytes;
    if (requests.find("\x82") == std::string::npos || n++ != 0) return;  // :method GET
    const std::string less = std::string("\x88\x0f\x0d\x01", 4) + "5";   // content-length: 5, and no body
    w.send(frame(4, 0, 0, "") + frame(7, 0, 0, std::string("\0\0\0\1\0\0\0\0", 8)) + frame(1, 5, 1, less),
           kMs);
  };
  Options o = options();
  o.max_piece = 1000;
  o.params = {{"http", "2"}};
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.tally("reasons", "protocol"), 1u);
  EXPECT_EQ(host.open_streams(), 0u);
}

TEST_F(HttpTest, WorksWithTheSmallestBatch) {
  answer_with(kOk);
  Options o = options();
  o.cap_op = 1;
  o.max_done = 1;
  o.max_piece = 1;
  o.slots = 1;
  TestletHost host(world, kHttp, o);
  go(host, 10);
  EXPECT_EQ(host.counter("ok"), 10u);
}

TEST_F(HttpTest, BadStatusIsAFailureWithItsTimes) {
  answer_with("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
  TestletHost host(world, kHttp, options());
  go(host, 2);
  EXPECT_EQ(host.counter("failed"), 2u);
  EXPECT_EQ(host.tally("status", "503"), 2u);
  EXPECT_EQ(host.tally("reasons", "status"), 2u);
  EXPECT_EQ(host.observed("response_time").size(), 2u);
  EXPECT_STREQ(host.samples[0].outcome, "503");
  EXPECT_EQ(accepted, 1);
}

// Both requests are complete, and timed: what they brought is wrong.
TEST_F(HttpTest, AnUnmetCheckIsAFailureAndToldWithWhatThereWas) {
  answer_with("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n{\"up\": 0}");
  for (const auto& [check, note] :
       {std::pair{"header Content-Type ~ json", "header Content-Type ~ json: is \"text/html\""},
        {"body ~ 1", "body ~ 1: is \"{\"up\": 0}\""},
        {"json /up = 1", "json /up = 1: is 0"},
        {"size > 9", "size > 9: is 9 bytes"},
        {"status 404\nsize = 9", "status 404: is 200"},
        {"tls yes", "tls yes: the connection has no TLS"}}) {
    Options o = options();
    o.params = {{"check", check}};
    TestletHost host(world, kHttp, o);
    go(host, 2);
    EXPECT_EQ(host.counter("failed"), 2u) << check;
    EXPECT_EQ(host.tally("reasons", "check"), 2u) << check;
    EXPECT_EQ(host.observed("response_time").size(), 2u) << check;
    ASSERT_FALSE(host.notes.empty()) << check;
    EXPECT_EQ(host.notes[0], std::string("check: GET http://192.0.2.1/x: ") + note);
    EXPECT_STREQ(host.samples[0].outcome, "check");
  }
}

TEST_F(HttpTest, ChecksReplaceTheRuleOfTheStatusAndSeeOnlyWhatIsKeptOfABody) {
  answer_with("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n{\"up\": 0}");
  Options o = options();
  o.params = {{"check", "status 500-599\njson /up = 0"}};
  TestletHost met(world, kHttp, o);
  go(met);
  EXPECT_EQ(met.counter("ok"), 1u);
  o.params = {{"check", "json /up = 0"}};
  TestletHost no_status(world, kHttp, o);
  go(no_status);
  EXPECT_EQ(no_status.tally("reasons", "status"), 1u);
  o.params = {{"check", "body !~ error"}, {"checked_body", "8"}};
  TestletHost cut(world, kHttp, o);
  go(cut);
  EXPECT_EQ(cut.tally("reasons", "check"), 1u);
  ASSERT_FALSE(cut.notes.empty());
  EXPECT_NE(cut.notes[0].find("body has 9 bytes, of which only 8 are kept"), std::string::npos)
      << cut.notes[0];
  o.params = {{"check", "status 20"}};
  TestletHost refused(world, kHttp, o);
  EXPECT_EQ(refused.check(), TODD_E_PARAM);
}

TEST_F(HttpTest, RefusedConnection) {
  server.connect_result = -ECONNREFUSED;
  TestletHost host(world, kHttp, options());
  go(host, 2);
  EXPECT_EQ(host.counter("failed"), 2u);
  EXPECT_EQ(host.tally("reasons", "refused"), 2u);
  ASSERT_FALSE(host.notes.empty());
  EXPECT_EQ(host.notes[0], "refused: GET http://192.0.2.1/x: connecting: Connection refused");
}

TEST_F(HttpTest, UnresolvableName) {
  Options o = options();
  o.targets[0].host = "nowhere.example";
  o.targets[0].url = "http://nowhere.example/";
  o.resolve_result = -ENOENT;
  TestletHost host(world, kHttp, o);
  go(host);
  EXPECT_EQ(host.tally("reasons", "resolve"), 1u);
  o.resolve_ns = 3600'000 * kMs;  // no answer at all
  TestletHost silent(world, kHttp, o);
  go(silent);
  EXPECT_EQ(silent.tally("reasons", "timeout") + silent.tally("reasons", "resolve"), 1u);
}

TEST_F(HttpTest, SilentServerTimesOutAndTheLateConnectIsClosed) {
  TestletHost quiet(world, kHttp, options());
  go(quiet);
  EXPECT_EQ(quiet.tally("reasons", "timeout"), 1u);
  EXPECT_EQ(quiet.open_streams(), 0u);
  server.connect_ns = 1500 * kMs;  // after the timeout of 1 s
  TestletHost slow(world, kHttp, options());
  go(slow);
  EXPECT_EQ(slow.tally("reasons", "timeout"), 1u);
  EXPECT_EQ(slow.open_streams(), 0u);
}

TEST_F(HttpTest, KeptConnectionThatDiesIsTriedOnceMore) {
  int served = 0;
  server.accepted = [&](Wire&) { ++accepted; };
  server.data = [&](Wire& w, std::string_view) {
    if (served++ == 1) return w.reset(ECONNRESET, kMs);  // the second request meets a closed connection
    w.send(kOk, kMs);
  };
  TestletHost host(world, kHttp, options());
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(host.counter("failed"), 0u);
  EXPECT_EQ(accepted, 2);
}

TEST_F(HttpTest, FreshConnectionThatDiesIsAFailure) {
  server.data = [&](Wire& w, std::string_view) { w.reset(ECONNRESET, kMs); };
  TestletHost host(world, kHttp, options());
  go(host, 2);
  EXPECT_EQ(host.tally("reasons", "reset"), 2u);
  server.data = [&](Wire& w, std::string_view) { w.end(kMs); };
  TestletHost other(world, kHttp, options());
  go(other);
  EXPECT_EQ(other.tally("reasons", "closed"), 1u);
}

TEST_F(HttpTest, RetriedOnlyOnce) {
  int served = 0;
  server.data = [&](Wire& w, std::string_view) {
    if (served++ == 0) return w.send(kOk, kMs);
    w.end(kMs);
  };
  TestletHost host(world, kHttp, options());
  go(host, 2);
  EXPECT_EQ(host.counter("ok"), 1u);
  EXPECT_EQ(host.tally("reasons", "closed"), 1u);
  EXPECT_EQ(served, 3);
}

TEST_F(HttpTest, DyingIdleConnectionIsNoFailure) {
  server.accepted = [&](Wire&) { ++accepted; };
  server.data = [&](Wire& w, std::string_view) {
    w.send(kOk, kMs);
    w.end(20 * kMs);
  };
  TestletHost host(world, kHttp, options());
  go(host, 3);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(accepted, 3);
}

TEST_F(HttpTest, CutOffResponseIsTruncatedWhereverItIsCut) {
  for (size_t cut = 1; cut < kOk.size(); ++cut) {
    server.data = [&](Wire& w, std::string_view) {
      w.send(kOk.substr(0, cut), kMs);
      w.end(2 * kMs);
    };
    TestletHost host(world, kHttp, options());
    go(host);
    ASSERT_EQ(host.tally("reasons", "truncated"), 1u) << cut;
  }
}

TEST_F(HttpTest, GarbageAndTooMuch) {
  answer_with("\x01\x02garbage\r\n\r\n");
  TestletHost host(world, kHttp, options());
  go(host);
  EXPECT_EQ(host.tally("reasons", "protocol"), 1u);
  answer_with(kOk);
  Options o = options();
  o.params = {{"max_body", "4"}};
  TestletHost small(world, kHttp, o);
  go(small);
  EXPECT_EQ(small.tally("reasons", "too_large"), 1u);
}

// Five due at once on one connection: one runs, two wait, two are dropped; the wait shows in corrected_time
// only.
TEST_F(HttpTest, WaitingShowsInCorrectedTimeAndTheRestIsDropped) {
  answer_with(kOk);
  TestletHost host(world, kHttp, options());
  go(host, 5, 0);
  EXPECT_EQ(host.counter("ok"), 3u);
  EXPECT_EQ(host.counter("dropped"), 2u);
  const auto plain = host.observed("response_time"), corrected = host.observed("corrected_time");
  ASSERT_EQ(corrected.size(), 3u);
  EXPECT_LT(plain[2], 13u * kMs);
  EXPECT_GT(corrected[2], 30u * kMs);
}

TEST_F(HttpTest, UsesAsManyConnectionsAsAllowed) {
  answer_with(kOk);
  Options o = options();
  o.params = {{"connections", "4"}};
  TestletHost host(world, kHttp, o);
  go(host, 6, 0);
  EXPECT_EQ(host.counter("ok"), 6u);
  EXPECT_EQ(accepted, 4);
}

TEST_F(HttpTest, RefusesInjectedHeaders) {
  for (const auto& [param, value] :
       {std::pair{"path", "/a\r\nX: y"}, {"path", "a"}, {"host_header", "a b"}, {"user_agent", "a\nb"}}) {
    Options bad = options();
    bad.params = {{param, value}};
    TestletHost host(world, kHttp, bad);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << param;
  }
}

TEST_F(HttpTest, CancelAndDrainWithRequestsUnderWay) {
  TestletHost cancelled(world, kHttp, options());
  ASSERT_EQ(cancelled.start(), 0);
  cancelled.begin();
  for (uint32_t i = 0; i < 4; ++i) cancelled.ticket(0, i, world.now_ns);
  world.run_for(20 * kMs);
  EXPECT_GT(cancelled.pending_operations(), 0u);
  cancelled.cancel();
  world.run_for(kMs);
  EXPECT_TRUE(cancelled.finished());
  EXPECT_EQ(cancelled.counter("failed"), 1u);  // the one under way
  EXPECT_EQ(cancelled.tally("reasons", "cancelled"), 1u);
  EXPECT_EQ(cancelled.counter("dropped"), 3u);  // two waited, one came too many
  TestletHost drained(world, kHttp, options());
  drained.start();
  drained.begin();
  drained.ticket(0, 0, world.now_ns);
  world.run_for(20 * kMs);
  drained.drain();
  world.run_for(500 * kMs);
  EXPECT_FALSE(drained.finished());
  world.run_for(1000 * kMs);
  EXPECT_TRUE(drained.finished());
  EXPECT_EQ(drained.counter("failed"), 1u);
}

struct HttpPairTest : HttpTest {
  void pair(Options r, Options o, uint32_t count, uint64_t bytes) {
    r.role = TODD_RESPONDER;
    TestletHost responder(world, kHttp, r);
    ASSERT_EQ(responder.start(), 0);
    EXPECT_FALSE(responder.ready());
    world.run_for(kMs);
    ASSERT_TRUE(responder.ready());
    o.targets[0].url = "";
    o.targets[0].peer = &responder;
    TestletHost source(world, kHttp, o);
    go(source, count);
    EXPECT_EQ(source.counter("ok"), count);
    EXPECT_EQ(source.counter("bytes"), count * bytes);
    responder.drain();
    world.run_for(kMs);
    EXPECT_TRUE(responder.finished());
  }
};

TEST_F(HttpPairTest, SourceAgainstOurResponder) { pair({}, {}, 20, 1000); }
TEST_F(HttpPairTest, BodiesLargerThanAllSlots) {
  Options r;
  r.params = {{"response_size", "500k"}};
  r.slots = 2;
  r.cap_op = 1;
  Options o;
  o.max_piece = 5000;
  pair(r, o, 3, 500'000);
}
TEST_F(HttpPairTest, WithoutKeepAliveAndEmptyBodies) {
  Options r, o;
  r.params = {{"response_size", "0"}};
  o.params = {{"keep_alive", "false"}};
  pair(r, o, 5, 0);
}

struct HttpResponderTest : HttpTest {
  std::unique_ptr<TestletHost> responder;
  Script client;
  std::string answer;
  int closed = 0;

  HttpResponderTest() {
    Options r;
    r.role = TODD_RESPONDER;
    r.max_piece = 5000;
    responder = std::make_unique<TestletHost>(world, kHttp, r);
    responder->start();
    world.run_for(kMs);
    client.data = [this](Wire&, std::string_view bytes) { answer += bytes; };
    client.ended = [this](Wire&) { ++closed; };
  }
  Wire say(const std::string& text) {
    answer.clear();
    closed = 0;
    Wire wire = responder->dial(client);
    wire.send(text, 0);
    world.run_for(100 * kMs);
    return wire;
  }
};

TEST_F(HttpResponderTest, RefusesWhatIsTooLargeOrMalformed) {
  const std::string host = "Host: a\r\n";
  for (const auto& [text, status] :
       {std::pair{"GET / HTTP/1.1\r\n" + host + "X: " + std::string(20'000, 'y') + "\r\n\r\n", "431"},
        {"GET /" + std::string(40'000, 'y'), "431"},
        {"nonsense\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n" + host + host + "\r\n", "400"},
        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc", "405"},
        {"GET / HTTP/1.1\r\n" + host + "Content-Length: 99999999\r\n\r\n", "413"},
        {"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", "501"}}) {
    say(text);
    EXPECT_EQ(answer.substr(0, 12), std::string("HTTP/1.1 ") + status) << text.substr(0, 60);
    EXPECT_EQ(closed, 1) << text.substr(0, 60);
  }
  EXPECT_EQ(responder->open_streams(), 0u);
}

TEST_F(HttpResponderTest, ASlowRequestIsGivenUp) {
  Wire wire = say("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 100; ++i) wire.send("a", i * 1000 * kMs);  // a byte per second
  world.run_for(29'000 * kMs);
  EXPECT_EQ(closed, 0);
  world.run_for(3'000 * kMs);
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(responder->open_streams(), 0u);
  world.run_for(100'000 * kMs);
}

TEST_F(HttpResponderTest, SoManyConnectionsAndNoMore) {
  for (int i = 0; i < 4096; ++i) responder->dial(client);
  world.run_for(kMs);
  EXPECT_EQ(closed, 0);
  say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(answer, "");
  world.run_for(32'000 * kMs);  // those that say nothing make room
  say("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200");
  EXPECT_EQ(responder->open_streams(), 1u);
}

TEST_F(HttpResponderTest, RequestsThatWaitAreBounded) {
  std::string many;
  while (many.size() < 200'000) many += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  say(many);
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(responder->open_streams(), 0u);
}

TEST_F(HttpTest, ResponderThatCannotListenSaysSo) {
  Options r;
  r.role = TODD_RESPONDER;
  TestletHost responder(world, kHttp, r);
  responder.listen_fails = true;
  ASSERT_EQ(responder.start(), 0);
  world.run_for(kMs);
  EXPECT_EQ(responder.status(), -EADDRINUSE);
  ASSERT_FALSE(responder.logs.empty());
  EXPECT_EQ(responder.logs[0], "cannot listen: Address already in use");
}

}  // namespace
}  // namespace todd::http
