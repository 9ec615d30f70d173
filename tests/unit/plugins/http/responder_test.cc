// What the responder is asked for, as words and over the wire.
#include "plugins/http/responder.h"

#include <gtest/gtest.h>

#include "plugins/http/decode.h"
#include "plugins/http/response_reader.h"
#include "plugins/http/wish.h"
#include "tests/support/testlet_host.h"

namespace todd::http {
namespace {

using test::Options;
using test::Script;
using test::TestletHost;
using test::Wire;
using test::World;

constexpr int64_t kMs = 1'000'000;

std::string bad_word(std::string_view target) {
  std::string bad;
  parse_wish(target, bad);
  return bad;
}

TEST(WishTest, ReadsTheWordsInAnyOrder) {
  std::string bad;
  const Wish wish = parse_wish("/a?close=1&size=10k&gzip=1&delay=50ms&&chunked=1&status=503&", bad);
  EXPECT_EQ(bad, "");
  EXPECT_EQ(wish.size, 10'000u);
  EXPECT_EQ(wish.delay_ns, 50 * kMs);
  EXPECT_EQ(wish.status, 503);
  EXPECT_TRUE(wish.chunked && wish.gzip && wish.close);
  EXPECT_EQ(wish.location, "");
  for (const char* nothing : {"/", "/any/path", "/?", "*", ""}) {
    const Wish none = parse_wish(nothing, bad);
    EXPECT_EQ(bad, "") << nothing;
    EXPECT_FALSE(none.size) << nothing;
    EXPECT_EQ(none.status, 200) << nothing;
  }
}

TEST(WishTest, ARedirectKeepsTheOtherWordsAndCountsDown) {
  std::string bad, target = "/x?size=5&redirect=2&delay=1ms";
  std::vector<std::string> chain;
  for (Wish wish = parse_wish(target, bad); !wish.location.empty(); wish = parse_wish(wish.location, bad))
    chain.push_back(wish.location);
  EXPECT_EQ(chain,
            (std::vector<std::string>{"/x?size=5&delay=1ms&redirect=1", "/x?size=5&delay=1ms&redirect=0"}));
  EXPECT_EQ(parse_wish("/?redirect=1", bad).location, "/?redirect=0");
}

TEST(WishTest, NamesTheWordThatItDoesNotKnow) {
  for (const char* word : {"sise=1",
                           "size",
                           "size=",
                           "size=x",
                           "size=-1",
                           "size=1m",
                           "size=2G",
                           "size=99999999999999999999",
                           "size=18446744073709551615G",
                           "delay=5",
                           "delay=21s",
                           "delay=1h",
                           "status=199",
                           "status=600",
                           "status=200x",
                           "redirect=101",
                           "chunked=yes",
                           "gzip=2",
                           "close=",
                           "=1"})
    EXPECT_EQ(bad_word(std::string("/?chunked=1&") + word + "&gzip=1"), word);
  EXPECT_EQ(bad_word("/echo?size=1"), "size=1");
  EXPECT_EQ(bad_word("/?a\x80\x01" + std::string(100, 'b')), "a??" + std::string(61, 'b'));
  for (const char* word :
       {"size=1G", "size=0", "delay=20s", "delay=7us", "status=200", "status=599", "redirect=100"})
    EXPECT_EQ(bad_word(std::string("/?") + word), "") << word;
}

// What is on the wire at an offset does not depend on how it is cut, and our own reader understands it.
TEST(ContentTest, ChunksInPiecesOfAnySize) {
  for (const size_t size : {0, 1, 15, 16, 4095, 4096, 4097, 8192, 10'000}) {
    std::string text;
    for (size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i % 23);
    Content content(text);
    content.in_chunks();
    std::string whole(content.wire_size(), '?');
    content.copy(0, whole.data(), whole.size());
    for (const size_t piece : {1, 7, 4099}) {
      std::string cut(whole.size(), '?');
      for (size_t at = 0; at < cut.size(); at += piece)
        content.copy(at, cut.data() + at, std::min(piece, cut.size() - at));
      EXPECT_EQ(cut, whole) << size << " in " << piece;
    }
    BodyKeeper keeper(100'000);
    ResponseReader reader(Want{.body = &keeper});
    EXPECT_EQ(reader.put("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + whole), Read::kDone)
        << size;
    EXPECT_EQ(keeper.text(), text);
    EXPECT_TRUE(reader.reusable()) << size;  // and nothing behind it
  }
}

struct ResponderTest : testing::Test {
  World world;
  std::unique_ptr<TestletHost> host;
  Script client;
  std::string bytes;
  int64_t asked_ns = 0, first_ns = 0;
  int closed = 0;

  ResponderTest() {
    Options o;
    o.role = TODD_RESPONDER;
    o.max_piece = 5000;
    o.params = {{"response_size", "100"}};
    host = std::make_unique<TestletHost>(world, **todd_entry_v0.testlets, o);
    host->start();
    world.run_for(kMs);
    client.data = [this](Wire&, std::string_view more) {
      if (bytes.empty()) first_ns = world.now_ns;
      bytes += more;
    };
    client.ended = [this](Wire&) { ++closed; };
  }
  Wire say(const std::string& text, int64_t for_ns = 100 * kMs) {
    bytes.clear();
    closed = 0;
    asked_ns = world.now_ns;
    Wire wire = host->dial(client);
    wire.send(text, 0);
    world.run_for(for_ns);
    return wire;
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }
  static std::string post(const std::string& target, const std::string& body) {
    return "POST " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  }

  struct Answer {
    Read read = Read::kMore;
    int status = 0;
    std::string location, body;
    bool chunked = false, gzip = false, keeps = false;
  };
  Answer answer(bool bodiless = false) const {
    Headers headers;
    BodyKeeper keeper(5'000'000);
    Decoder decoder(keeper, 5'000'000);
    ResponseReader reader(Want{.headers = &headers, .body = &decoder, .bodiless = bodiless});
    Answer a{.read = reader.put(bytes)};
    a.status = reader.status();
    a.location = headers.find("location").value_or("");
    a.body = keeper.text();
    a.chunked = headers.find("transfer-encoding").has_value();
    a.gzip = reader.coding() == Coding::kGzip;
    a.keeps = reader.reusable();
    EXPECT_EQ(a.chunked, !headers.find("content-length") && a.status != 204 && a.status != 304);
    return a;
  }
};

TEST_F(ResponderTest, GivesWhatItIsAskedFor) {
  say(get("/any/path"));
  EXPECT_EQ(answer().read, Read::kDone);
  EXPECT_EQ(answer().body, std::string(100, 'x'));
  EXPECT_LT(first_ns - asked_ns, 10 * kMs);

  say(get("/?size=10k&status=503"));
  EXPECT_EQ(answer().status, 503);
  EXPECT_EQ(answer().body, std::string(10'000, 'x'));
  EXPECT_TRUE(answer().keeps);

  say(get("/?size=10001&chunked=1&close=1"));
  EXPECT_EQ(answer().read, Read::kDone);
  EXPECT_TRUE(answer().chunked);
  EXPECT_EQ(answer().body.size(), 10'001u);
  EXPECT_FALSE(answer().keeps);
  EXPECT_EQ(closed, 1);

  for (int i = 0; i < 2; ++i) {
    say(get("/?gzip=1&size=1M&chunked=1&status=201"));
    EXPECT_EQ(answer().read, Read::kDone);
    EXPECT_EQ(answer().status, 201);
    EXPECT_TRUE(answer().chunked && answer().gzip);
    EXPECT_EQ(answer().body, std::string(1'000'000, 'x'));
    EXPECT_LT(bytes.size(), 20'000u);
  }
  say(get("/?gzip=1"));
  EXPECT_EQ(answer().body, std::string(100, 'x'));
  EXPECT_FALSE(answer().chunked);
}

TEST_F(ResponderTest, StatusesWithoutABody) {
  for (const int status : {204, 304}) {
    say(get("/?size=10k&chunked=1&status=" + std::to_string(status)));
    EXPECT_EQ(answer().read, Read::kDone);
    EXPECT_EQ(answer().status, status);
    EXPECT_TRUE(answer().keeps);  // not a byte behind the head
  }
  say("HEAD /?size=10k HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(answer(true).read, Read::kDone);
  EXPECT_TRUE(answer(true).keeps);
  EXPECT_NE(bytes.find("Content-Length: 10000\r\n"), std::string::npos);
}

TEST_F(ResponderTest, HttpOfTheLastCenturyKnowsNoChunks) {
  say("GET /?chunked=1&size=50 HTTP/1.0\r\n\r\n");
  EXPECT_FALSE(answer().chunked);
  EXPECT_EQ(answer().body.size(), 50u);
  EXPECT_EQ(closed, 1);
}

TEST_F(ResponderTest, NamesAWordThatItDoesNotKnow) {
  say(get("/?size=10&sice=20"));
  EXPECT_EQ(answer().status, 400);
  EXPECT_EQ(answer().body, "this responder does not know sice=20\n");
  EXPECT_TRUE(answer().keeps);
  say(get("/?size=5M&gzip=1"));
  EXPECT_EQ(answer().status, 400);
}

TEST_F(ResponderTest, RedirectsUntilNothingIsLeft) {
  std::string target = "/?redirect=3&status=418&size=7";
  for (int hop = 0; hop < 3; ++hop) {
    say(get(target));
    EXPECT_EQ(answer().status, 302);
    EXPECT_EQ(answer().body, "");
    target = answer().location;
  }
  EXPECT_EQ(target, "/?status=418&size=7&redirect=0");
  say(get(target));
  EXPECT_EQ(answer().status, 418);
  EXPECT_EQ(answer().location, "");
  EXPECT_EQ(answer().body.size(), 7u);
}

TEST_F(ResponderTest, EchoSendsABodyBack) {
  std::string body;
  for (int i = 0; i < 64 * 1024; ++i) body += static_cast<char>(i * 7);
  say(post("/echo", body));
  EXPECT_EQ(answer().status, 200);
  EXPECT_EQ(answer().body, body);
  say(post("/echo?chunked=1&gzip=1&status=202", body));
  EXPECT_EQ(answer().status, 202);
  EXPECT_EQ(answer().body, body);
  say(post("/echo", ""));
  EXPECT_EQ(answer().status, 200);
  EXPECT_EQ(answer().body, "");
  say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_EQ(answer().body, "abcde");

  say(post("/echo", body + "x"));
  EXPECT_EQ(answer().status, 413);
  std::string chunks = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 17; ++i) chunks += "1000\r\n" + std::string(4096, 'c') + "\r\n";
  say(chunks);
  EXPECT_EQ(answer().status, 413);
  EXPECT_EQ(closed, 1);
  say(post("/other", "abc"));
  EXPECT_EQ(answer().status, 405);
}

TEST_F(ResponderTest, AnswersWhenTheDelayIsOver) {
  say(get("/?delay=300ms"), 299 * kMs);
  EXPECT_EQ(bytes, "");
  world.run_for(50 * kMs);
  EXPECT_EQ(answer().read, Read::kDone);
  EXPECT_GE(first_ns - asked_ns, 300 * kMs);
  EXPECT_LT(first_ns - asked_ns, 310 * kMs);
  say(get("/?delay=20s"), 20'100 * kMs);  // the longest: a connection that waits is not idle
  EXPECT_EQ(answer().read, Read::kDone);
}

// Of several connections the shortest delay is first; on one connection the answers keep their order, and the
// delay of the second begins with it.
TEST_F(ResponderTest, DelaysOfManyDoNotWaitForEachOther) {
  std::vector<int> order;
  std::vector<std::unique_ptr<Script>> clients;
  for (const int ms : {90, 30, 60}) {
    clients.push_back(std::make_unique<Script>());
    clients.back()->data = [&order, ms, first = true](Wire&, std::string_view) mutable {
      if (std::exchange(first, false)) order.push_back(ms);
    };
    host->dial(*clients.back()).send(get("/?delay=" + std::to_string(ms) + "ms"), 0);
  }
  world.run_for(200 * kMs);
  EXPECT_EQ(order, (std::vector<int>{30, 60, 90}));

  say(get("/?status=201&delay=50ms") + get("/?status=202") + get("/?status=203&delay=50ms"), 80 * kMs);
  EXPECT_NE(bytes.find(" 201 "), std::string::npos);
  EXPECT_NE(bytes.find(" 202 "), std::string::npos);
  EXPECT_EQ(bytes.find(" 203 "), std::string::npos);
  world.run_for(50 * kMs);
  EXPECT_NE(bytes.find(" 203 "), std::string::npos);
}

TEST_F(ResponderTest, AClientThatLeavesDuringItsDelay) {
  for (int i = 0; i < 50; ++i) {
    Wire wire = say(get("/?delay=100ms&close=1"), 10 * kMs);
    wire.end(0);
    world.run_for(10 * kMs);
  }
  EXPECT_EQ(host->open_streams(), 0u);
  world.run_for(500 * kMs);
  say(get("/"));
  EXPECT_EQ(answer().read, Read::kDone);
}

}  // namespace
}  // namespace todd::http
