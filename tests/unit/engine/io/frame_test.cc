#include "engine/io/frame.h"

#include <gtest/gtest.h>

namespace todd::io {
namespace {
TEST(FrameTest, GivesBackWhatWasAppended) {
  for (const size_t size :
       {size_t{0}, size_t{1}, size_t{127}, size_t{128}, size_t{16383}, size_t{16384}, kMaxFrame}) {
    const std::string payload(size, 'x');
    std::string bytes;
    append_frame(bytes, payload);
    const size_t one = bytes.size();
    bytes += "next";
    std::string_view got;
    EXPECT_EQ(next_frame(bytes, got).value(), one);
    EXPECT_EQ(got, payload);
  }
}

TEST(FrameTest, WaitsForEveryPrefix) {
  std::string bytes;
  append_frame(bytes, std::string(300, 'y'));
  std::string_view got;
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_EQ(next_frame(std::string_view(bytes).substr(0, n), got).value(), 0u) << n;
}

TEST(FrameTest, RefusesALongFrameBeforeItsBytesCome) {
  std::string_view got;
  const auto result = next_frame("\x81\x80\x40", got);  // 1 MiB + 1
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::exhausted);
}

TEST(FrameTest, RefusesALengthThatNeverEnds) {
  std::string_view got;
  EXPECT_EQ(next_frame("\xff\xff\xff\xff\xff", got).error().code, Errc::corrupt);
  EXPECT_EQ(next_frame("\xff\xff\xff\xff", got).value(), 0u);
}
}  // namespace
}  // namespace todd::io
