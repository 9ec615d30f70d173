#include "plugins/iperf/protocol.h"

#include <gtest/gtest.h>

#include <set>

namespace todd::iperf {
namespace {

using Progress = FrameReader::Progress;

TEST(ProtocolTest, CookiesAreOfIperf3sFormAndDiffer) {
  std::set<std::string> seen;
  for (uint64_t i = 0; i < 64; ++i) {
    seen.insert(make_cookie(uint64_t{1} << i, 0));
    seen.insert(make_cookie(0, uint64_t{1} << i));
  }
  EXPECT_EQ(seen.size(), 128u);  // every bit of both counts
  for (const std::string& cookie : seen) EXPECT_TRUE(is_cookie(cookie)) << cookie;
}

TEST(ProtocolTest, KnowsACookieByItsForm) {
  const std::string real("azw7dwllhyg7cvy5ttukv6axskcmly33ryxj\0", kCookie);  // of iperf3 3.12
  EXPECT_TRUE(is_cookie(real));
  EXPECT_TRUE(is_cookie("short" + std::string(32, '\0')));  // hosts with long names made such ones
  EXPECT_FALSE(is_cookie(real.substr(0, 36)));
  EXPECT_FALSE(is_cookie(real + '\0'));
  EXPECT_FALSE(is_cookie(std::string(kCookie, 'a')));
  EXPECT_FALSE(is_cookie(std::string(kCookie, '\0')));
  EXPECT_FALSE(is_cookie("short" + std::string(31, '\0') + "x"));
  for (const char bad : {' ', '\n', '\x7f', '\x80'}) {
    std::string text = real;
    text[7] = bad;
    EXPECT_FALSE(is_cookie(text)) << static_cast<int>(bad);
  }
}

TEST(ProtocolTest, AFramedTextArrivesInPieces) {
  const std::string framed = frame("{\"tcp\":true}") + '\x0a';
  for (size_t piece = 1; piece <= framed.size(); ++piece) {
    FrameReader reader;
    auto progress = Progress::kMore;
    std::string_view rest;
    for (size_t at = 0; at < framed.size() && progress == Progress::kMore; at += piece) {
      rest = std::string_view(framed).substr(at, piece);
      progress = reader.read(rest);
    }
    ASSERT_EQ(progress, Progress::kComplete) << piece;
    EXPECT_EQ(reader.text(), "{\"tcp\":true}");
    EXPECT_EQ(rest, piece >= framed.size() || rest.size() == 1 ? "\x0a" : "")
        << piece;  // the state behind it is left
  }
}

TEST(ProtocolTest, ATextHasALimitThatIsKnownFromItsLength) {
  FrameReader reader;
  std::string_view bytes("\x00\x10\x00\x00", 4);  // 1 MiB exactly
  EXPECT_EQ(reader.read(bytes), Progress::kMore);
  reader.clear();
  bytes = std::string_view("\x00\x10\x00\x01{", 5);
  EXPECT_EQ(reader.read(bytes), Progress::kTooLong);
  EXPECT_EQ(reader.announced(), kMaxText + 1);
  EXPECT_EQ(bytes, "{");
  reader.clear();
  bytes = std::string_view("\0\0\0\0", 4);
  EXPECT_EQ(reader.read(bytes), Progress::kComplete);
  EXPECT_EQ(reader.text(), "");
}

TEST(ProtocolTest, GreetingsOfUdp) {
  EXPECT_TRUE(is_udp_hello(kUdpHello));
  EXPECT_TRUE(is_udp_answer(kUdpAnswer));
  EXPECT_FALSE(is_udp_hello(kUdpAnswer));
  EXPECT_FALSE(is_udp_answer(kUdpHello));
  EXPECT_TRUE(is_udp_hello(std::string("\x15\xcd\x5b\x07", 4)));   // 123456789
  EXPECT_TRUE(is_udp_answer(std::string("\xb1\x68\xde\x3a", 4)));  // 987654321
  for (const std::string_view bad : {"", "987", "xxxx", "GET "}) {
    EXPECT_FALSE(is_udp_hello(bad)) << bad;
    EXPECT_FALSE(is_udp_answer(bad)) << bad;
  }
}

TEST(ProtocolTest, StreamsAreNumberedAsIperf3Does) {
  EXPECT_EQ(stream_id(0), 1u);
  EXPECT_EQ(stream_id(1), 3u);
  EXPECT_EQ(stream_id(2), 4u);
  EXPECT_EQ(stream_id(7), 9u);
}

TEST(ProtocolTest, StatesHaveNames) {
  EXPECT_EQ(name_of(State::kExchangeResults), "EXCHANGE_RESULTS");
  EXPECT_EQ(name_of(static_cast<State>(77)), "state 77");
}

}  // namespace
}  // namespace todd::iperf
