#include "plugins/http/response_reader.h"

#include <gtest/gtest.h>

namespace todd::http {
namespace {

const std::string kPlain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const std::string kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nTrailer: "
    "t\r\n\r\n";

const Want kLimit{1000};

Read feed(ResponseReader& reader, const std::string& text, size_t step) {
  Read read = Read::kMore;
  for (size_t i = 0; i < text.size() && read == Read::kMore; i += step) {
    read = reader.put(std::string_view(text).substr(i, step));
    if (read == Read::kDone) {
      EXPECT_GE(i + step, text.size());
    }
  }
  return read;
}

TEST(ResponseReaderTest, ReadsLengthAndChunksInPiecesOfAnySize) {
  for (size_t step = 1; step < 90; ++step) {
    ResponseReader reader(kLimit);
    ASSERT_EQ(feed(reader, kPlain, step), Read::kDone) << step;
    EXPECT_EQ(reader.status(), 200);
    EXPECT_EQ(reader.body_bytes(), 5u);
    EXPECT_TRUE(reader.reusable());
    reader.reset();
    ASSERT_EQ(feed(reader, kChunked, step), Read::kDone) << step << reader.detail();
    EXPECT_EQ(reader.body_bytes(), 8u);
    EXPECT_TRUE(reader.reusable());
  }
}

TEST(ResponseReaderTest, BodyThatEndsWithTheConnection) {
  ResponseReader reader(kLimit);
  EXPECT_EQ(feed(reader, "HTTP/1.1 200 OK\r\n\r\nabcdef", 4), Read::kMore);
  EXPECT_EQ(reader.end(), Read::kDone);
  EXPECT_EQ(reader.body_bytes(), 6u);
  EXPECT_FALSE(reader.reusable());
}

TEST(ResponseReaderTest, SkipsInterimResponsesButNotEndlessly) {
  ResponseReader reader(kLimit);
  const std::string interim = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
  EXPECT_EQ(feed(reader, "HTTP/1.1 100 Continue\r\n\r\n" + interim + kPlain, 3), Read::kDone);
  EXPECT_EQ(reader.status(), 200);
  reader.reset();
  std::string many;
  for (int i = 0; i < 20; ++i) many += interim;
  EXPECT_EQ(reader.put(many), Read::kFailed);
  EXPECT_STREQ(reader.why(), "protocol");
}

TEST(ResponseReaderTest, HonoursConnectionClose) {
  ResponseReader reader(kLimit);
  EXPECT_EQ(reader.put("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"), Read::kDone);
  EXPECT_FALSE(reader.reusable());
  reader.reset();
  EXPECT_EQ(reader.put("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"), Read::kDone);
  EXPECT_FALSE(reader.reusable());
}

TEST(ResponseReaderTest, BytesPastTheResponseSpoilTheConnection) {
  ResponseReader reader(kLimit);
  EXPECT_EQ(reader.put(kPlain + "HTTP/1.1 200"), Read::kDone);
  EXPECT_FALSE(reader.reusable());
}

TEST(ResponseReaderTest, RefusesWhatIsNotHttp) {
  const std::string ok = "HTTP/1.1 200 OK\r\n", chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string bad[] = {"SSH-2.0-OpenSSH\r\n\r\n",
                             "HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
                             "HTTP/1.1  200 OK\r\n\r\n",
                             "HTTP/1.1 20 OK\r\n\r\n",
                             "HTTP/1.1 2000 OK\r\n\r\n",
                             "HTTP/1.1 -20 OK\r\n\r\n",
                             "HTTP/1.1 099 OK\r\n\r\n",
                             "HTTP/2.0 200 OK\r\n\r\n",
                             "HTTP/0.9 200 OK\r\n\r\n",
                             "http/1.1 200 OK\r\n\r\n",
                             "\r\nHTTP/1.1 200 OK\r\n\r\n",
                             "HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n",
                             std::string("HTTP/1.1 200 O\0K\r\n\r\n", 20),
                             ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
                             ok + "Content-Length: 5, 6\r\n\r\n",
                             ok + "Content-Length: -1\r\n\r\n",
                             ok + "Content-Length: +1\r\n\r\n",
                             ok + "Content-Length: 0x10\r\n\r\n",
                             ok + "Content-Length: 1 1\r\n\r\n",
                             ok + "Content-Length:\r\n\r\n",
                             ok + "Content-Length: 18446744073709551616\r\n\r\n",
                             ok + "Content-Length : 1\r\n\r\n",
                             ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
                             ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                             ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                             ok + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\n",
                             ok + "Transfer-Encoding: gzip, chunked\r\n\r\n",
                             ok + "Transfer-Encoding: xchunked\r\n\r\n",
                             ok + ": no name\r\n\r\n",
                             ok + "No colon\r\n\r\n",
                             ok + "X: a\rb\r\n\r\n",
                             ok + "X: a\nY: b\r\n\r\n",
                             ok + std::string("X: \0\r\n\r\n", 8),
                             chunked + "zz\r\n",
                             chunked + "-1\r\n",
                             chunked + "ffffffffffffffffff\r\n",
                             chunked + " 5\r\nhello\r\n",
                             chunked + "5\nhello\r\n0\r\n\r\n",
                             chunked + "5\r\nhello0\r\n\r\n",
                             chunked + "0\r\nContent-Length: 3\r\n\r\n"};
  for (const std::string& text : bad) {
    for (const size_t step : {size_t{1}, size_t{1000}}) {
      ResponseReader reader(kLimit);
      EXPECT_EQ(feed(reader, text, step), Read::kFailed) << text;
      EXPECT_STREQ(reader.why(), "protocol") << text;
    }
  }
}

// Beast 1.74, reading eagerly, forgets that a body is too long if some of it came with the header: hence all
// pieces.
TEST(ResponseReaderTest, LimitsTheBodyHoweverItIsFramedAndCut) {
  for (const std::string start : {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n"}) {
    const std::string text = start + "123456789";
    for (size_t step = 1; step <= text.size(); ++step) {
      ResponseReader reader(Want{8});
      Read read = Read::kMore;
      for (size_t i = 0; i < text.size() && read == Read::kMore; i += step)
        read = reader.put(text.substr(i, step));
      EXPECT_EQ(read, Read::kFailed) << start << step;
      EXPECT_STREQ(reader.why(), "too_large") << start << step;
    }
  }
}

TEST(ResponseReaderTest, SaysWhereTheConnectionEnded) {
  ResponseReader reader(kLimit);
  EXPECT_EQ(reader.end(), Read::kFailed);
  EXPECT_STREQ(reader.why(), "closed");
  for (size_t cut = 1; cut < kChunked.size(); ++cut) {
    reader.reset();
    ASSERT_EQ(reader.put(kChunked.substr(0, cut)), Read::kMore);
    ASSERT_EQ(reader.end(), Read::kFailed) << cut;
    EXPECT_STREQ(reader.why(), "truncated");
  }
}

// What a head says of itself, and its fields, however it is cut.
TEST(ResponseReaderTest, TellsTheHeadAndKeepsItsFields) {
  const std::string interim = "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\nContent-Encoding: br\r\n\r\n";
  const std::string head =
      "HTTP/1.0 301 Moved\r\nLOCATION:   /there \r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX:\r\n"
      "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string text = interim + head + "3\r\nabc\r\n0\r\nTrailer: t\r\n\r\n";
  Headers headers;
  headers.add("of", "the answer before");
  for (size_t step = 1; step <= text.size(); ++step) {
    ResponseReader reader(Want{1000, &headers});
    size_t fed = 0;
    for (; fed < text.size() && !reader.head_done(); fed += step) reader.put(text.substr(fed, step));
    EXPECT_LT(fed, interim.size() + head.size() + step);
    if (fed < text.size()) {
      ASSERT_EQ(reader.put(text.substr(fed)), Read::kDone);
    }
    EXPECT_EQ(reader.status(), 301);
    EXPECT_EQ(reader.version(), 10);
    EXPECT_EQ(reader.coding(), Coding::kGzip);
    EXPECT_EQ(reader.head_bytes(), interim.size() + head.size());
    EXPECT_EQ(reader.wire_bytes(), text.size());
    ASSERT_EQ(headers.size(), 6u);  // no trailer, none of the interim response
    EXPECT_EQ(headers.find("Location"), "/there");
    EXPECT_EQ(headers.find("x"), "");
    EXPECT_EQ(headers.find("link"), std::nullopt);
    EXPECT_EQ(headers[2].name, "set-cookie");
    EXPECT_EQ(headers[2].value, "b=2");
  }
}

TEST(ResponseReaderTest, SomeResponsesHaveNoBody) {
  for (const char* text : {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
                           "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    ResponseReader reader(kLimit);
    EXPECT_EQ(reader.put(text), Read::kDone) << text;
    EXPECT_TRUE(reader.reusable());
  }
  Want head{1000};
  head.bodiless = true;
  ResponseReader reader(head);
  for (const char* length : {"Content-Length: 123456789\r\n", "Transfer-Encoding: chunked\r\n", ""}) {
    EXPECT_EQ(reader.put("HTTP/1.1 200 OK\r\n" + std::string(length) + "\r\n"), Read::kDone) << length;
    EXPECT_EQ(reader.body_bytes(), 0u);
    EXPECT_TRUE(reader.reusable());
    reader.reset();
  }
}

// Beast limits what it is given at once and drops the fields it has read: field by field, a head was endless.
TEST(ResponseReaderTest, AHeadEndsAt16KiBHoweverItComes) {
  const std::string field = "X: " + std::string(95, 'y') + "\r\n";
  for (const std::string& piece :
       {field, std::string(50, 'n'), std::string("\r\nA: b"), std::string(20'000, 'z')}) {
    for (const bool kept : {false, true}) {
      Headers headers;
      ResponseReader reader(Want{1000, kept ? &headers : nullptr});
      Read read = reader.put("HTTP/1.1 200 OK\r\n");
      size_t fed = 0;
      for (; read == Read::kMore && fed < 100'000; fed += piece.size()) read = reader.put(piece);
      EXPECT_EQ(read, Read::kFailed);
      EXPECT_STREQ(reader.why(), "too_large") << piece;
      EXPECT_LT(fed, 37'000u);
    }
  }
  // One of almost that size is read, in one piece and in many.
  std::string most = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
  while (most.size() < 16'200) most += field;
  most += "\r\n";
  for (const size_t step : {size_t{1}, size_t{100}, size_t{17'000}}) {
    Headers headers;
    ResponseReader reader(Want{1000, &headers});
    EXPECT_EQ(feed(reader, most, step), Read::kDone) << step << reader.detail();
    EXPECT_EQ(reader.head_bytes(), most.size());
  }
}

TEST(ResponseReaderTest, AnEndlessChunkHeaderOrTrailerEnds) {
  for (const std::string start : {"5;", "0\r\n"}) {
    ResponseReader reader(kLimit);
    Read read = reader.put("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + start);
    size_t fed = 0;
    for (; read == Read::kMore && fed < 1'000'000; fed += 100)
      read = reader.put(start == "5;" ? std::string(100, 'a') : "T: " + std::string(95, 't') + "\r\n");
    EXPECT_EQ(read, Read::kFailed);
    EXPECT_STREQ(reader.why(), "protocol");
    EXPECT_LT(fed, 70'000u);
  }
}

// Says no at a given byte, or at the end.
struct Picky : BodySink {
  size_t at = SIZE_MAX;
  bool at_end = false;
  std::string text;
  int begun = 0;
  void begin(Coding) override { ++begun, text.clear(); }
  const char* put(std::string_view bytes) override {
    text += bytes;
    return text.size() >= at ? "too_large" : nullptr;
  }
  const char* finish() override { return at_end ? "protocol" : nullptr; }
  std::string detail() const override { return "picky"; }
};

TEST(ResponseReaderTest, GivesTheBodyAwayAndStopsWhenToldTo) {
  for (size_t step = 1; step < 90; ++step) {
    Picky sink;
    Want want{1000};
    want.body = &sink;
    ResponseReader reader(want);
    ASSERT_EQ(feed(reader, kChunked, step), Read::kDone);
    EXPECT_EQ(sink.text, "helloabc");
    sink.at = 6;
    reader.reset();
    Read read = Read::kMore;
    for (size_t i = 0; read == Read::kMore && i < kChunked.size(); i += step)
      read = reader.put(kChunked.substr(i, step));
    ASSERT_EQ(read, Read::kFailed);
    EXPECT_STREQ(reader.why(), "too_large");
    EXPECT_EQ(reader.detail(), "picky");
    sink.at = SIZE_MAX;
    sink.at_end = true;
    reader.reset();
    ASSERT_EQ(feed(reader, kPlain, step), Read::kFailed);
    EXPECT_STREQ(reader.why(), "protocol");
    reader.reset();
    feed(reader, "HTTP/1.1 200 OK\r\n\r\nabc", step);
    EXPECT_EQ(reader.end(), Read::kFailed);
    EXPECT_EQ(sink.begun, 4);
  }
}

TEST(ResponseReaderTest, AKnownLengthIsTooLargeBeforeTheBodyComes) {
  ResponseReader reader(kLimit);
  EXPECT_EQ(reader.put("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"), Read::kFailed);
  EXPECT_STREQ(reader.why(), "too_large");
}

TEST(ResponseReaderTest, IsSmall) { EXPECT_LE(sizeof(ResponseReader), 320u); }

TEST(BodyKeeperTest, KeepsTheBeginningAndCountsTheRest) {
  BodyKeeper keeper(4);
  for (int i = 0; i < 2; ++i) {
    keeper.begin(Coding::kIdentity);
    keeper.put("abc");
    EXPECT_TRUE(keeper.whole());
    keeper.put("def");
    keeper.put("g");
    EXPECT_EQ(keeper.text(), "abcd");
    EXPECT_EQ(keeper.bytes(), 7u);
    EXPECT_FALSE(keeper.whole());
  }
}

TEST(HeadersTest, IsBounded) {
  Headers headers;
  EXPECT_TRUE(headers.add("a", std::string(16'000, 'x')));
  EXPECT_FALSE(headers.add("b", std::string(400, 'x')));
  EXPECT_FALSE(headers.add("b", std::string(100'000, 'x')));
  EXPECT_TRUE(headers.add("C", "d"));
  EXPECT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers.find("c"), "d");
}

TEST(CodingTest, OneThatIsKnownOrOther) {
  EXPECT_EQ(coding_with(Coding::kIdentity, "GZip"), Coding::kGzip);
  EXPECT_EQ(coding_with(Coding::kIdentity, "deflate"), Coding::kDeflate);
  EXPECT_EQ(coding_with(Coding::kGzip, "identity"), Coding::kGzip);
  EXPECT_EQ(coding_with(Coding::kGzip, "gzip"), Coding::kOther);
  EXPECT_EQ(coding_with(Coding::kIdentity, "gzip, gzip"), Coding::kOther);
  EXPECT_EQ(coding_with(Coding::kIdentity, "br"), Coding::kOther);
}

}  // namespace
}  // namespace todd::http
