#include "plugins/http/request_reader.h"

#include <gtest/gtest.h>

namespace todd::http {
namespace {

TEST(RequestReaderTest, ReadsPipelinedRequestsOneByOne) {
  const std::string two =
      "GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  RequestReader reader;
  ASSERT_EQ(reader.put(two), Read::kDone);
  EXPECT_TRUE(reader.keep_alive());
  EXPECT_FALSE(reader.head());
  ASSERT_EQ(reader.next(), Read::kDone);
  EXPECT_FALSE(reader.keep_alive());
  EXPECT_TRUE(reader.head());
  EXPECT_EQ(reader.next(), Read::kMore);
}

TEST(RequestReaderTest, RefusesWhatBeastAloneWouldTake) {
  const std::pair<std::string, int> cases[] = {
      {"GET / HTTP/1.1\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
      {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413},
      {"GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a'), 431},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400}};
  for (const auto& [text, status] : cases) {
    RequestReader reader;
    EXPECT_EQ(reader.put(text), Read::kFailed) << text.substr(0, 80);
    EXPECT_EQ(reader.status(), status) << text.substr(0, 80);
  }
}

// Beast drops the fields it has read, and would read them for ever.
TEST(RequestReaderTest, AHeadEndsAt16KiBHoweverItComes) {
  RequestReader reader;
  Read read = reader.put("GET / HTTP/1.1\r\nHost: a\r\n");
  size_t fed = 0;
  for (; read == Read::kMore && fed < 100'000; fed += 100)
    read = reader.put("X: " + std::string(95, 'y') + "\r\n");
  EXPECT_EQ(read, Read::kFailed);
  EXPECT_EQ(reader.status(), 431);
  EXPECT_LT(fed, 33'000u);
}

}  // namespace
}  // namespace todd::http
