#include "coordinator/cli/text_argument.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace todd::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class TextArgumentTest : public testing::Test {
 protected:
  ~TextArgumentTest() override { std::remove(path.c_str()); }

  std::string file_of(const std::string& content) {
    std::ofstream(path) << content;
    return "@" + path;
  }
  std::string error_of(const std::string& content) {
    const auto text = text_argument(file_of(content));
    return text ? "none" : text.error().detail;
  }

  const std::string path = testing::TempDir() + "text_argument_" + std::to_string(getpid());
};

TEST_F(TextArgumentTest, OnlyWhatBeginsWithAnAtIsAFile) {
  for (const char* text : {"", "a", "a@b", "/etc/hosts", " @x"}) {
    EXPECT_EQ(text_argument(text), text);
    EXPECT_EQ(texts_argument(text), text);
  }
  EXPECT_EQ(text_argument("@@"), "@");
  EXPECT_EQ(text_argument("@@you\n@"), "@you\n@");
  EXPECT_EQ(texts_argument("@@you"), "@you");
}

TEST_F(TextArgumentTest, AFileStandsForEachOfItsBytes) {
  for (const std::string text : {"", "{\"a\": 1}\r\n\n", "@again", "\xc3\xa4\x01\t\x7f"})
    EXPECT_EQ(text_argument(file_of(text)), text);
  EXPECT_EQ(text_argument(file_of(std::string(kTextFileMost, 'x')))->size(), kTextFileMost);
}

TEST_F(TextArgumentTest, WhatIsNoTextIsRefusedWithItsPlace) {
  EXPECT_THAT(error_of("ab\xff"), StartsWith(path + ": byte 3 is not of a text"));
  EXPECT_THAT(error_of(std::string("a\0b", 3)), StartsWith(path + ": byte 2 is not of a text"));
  EXPECT_THAT(error_of("\xc3"), StartsWith(path + ": byte 1 "));
  EXPECT_THAT(error_of(std::string(kTextFileMost + 1, 'x')), HasSubstr("longer than 256 KiB"));
}

TEST_F(TextArgumentTest, WhatCannotBeReadSaysHowATextIsWritten) {
  for (const std::string& missing :
       std::vector<std::string>{"@", "@/nowhere/body", "@" + testing::TempDir()}) {
    const auto text = text_argument(missing);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().code, Errc::invalid);
    EXPECT_THAT(text.error().detail, HasSubstr("@@ is an @ itself"));
  }
}

TEST_F(TextArgumentTest, WhereSeveralTextsMayBeEachLineIsOne) {
  EXPECT_EQ(texts_argument(file_of("A: b\r\n\n \t\nC: d\n\n")), "A: b\nC: d");
  EXPECT_EQ(texts_argument(file_of("A: b")), "A: b");
  EXPECT_EQ(texts_argument(file_of("\n \n")).error().detail, path + ": has no line");
}

}  // namespace
}  // namespace todd::cli
