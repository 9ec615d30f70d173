#include "engine/io/softnet.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace todd::io {
namespace {

TEST(SoftnetDropsTest, TheSecondWordOfEachLineIsSummed) {
  EXPECT_EQ(softnet_drops("00000001 0000000a 00000000 00000000\n"
                          "ffffffff 000000ff 00000007 00000000\n"),
            0x109u);
  EXPECT_EQ(softnet_drops("00000001 00000002"), 2u);
}

TEST(SoftnetDropsTest, WhatIsNoTableIsNoDrop) {
  for (const char* text : {"", "\n\n", "1", "1 ", "x y z\n", " "}) EXPECT_EQ(softnet_drops(text), 0u) << text;
}

TEST(SoftnetDropsTest, EachDropIsToldOnce) {
  const std::string path = testing::TempDir() + "softnet_stat." + std::to_string(getpid());
  const auto say = [&](const char* text) { std::ofstream(path) << text; };
  say("00000009 00000005 00000000\n");
  SoftnetDrops drops(path.c_str());
  EXPECT_EQ(drops.take(), 0u);  // those before do not count
  say("00000009 00000007 00000000\n");
  EXPECT_EQ(drops.take(), 2u);
  EXPECT_EQ(drops.take(), 0u);
  say("00000009 00000001 00000000\n");  // a CPU went
  EXPECT_EQ(drops.take(), 0u);
  unlink(path.c_str());
}

TEST(SoftnetDropsTest, AHostThatDoesNotTellDropsNothing) {
  EXPECT_EQ(SoftnetDrops("/nonexistent").take(), 0u);
}

}  // namespace
}  // namespace todd::io
