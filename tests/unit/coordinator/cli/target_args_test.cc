#include "coordinator/cli/target_args.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::cli {
namespace {

using testing::ElementsAre;
using testing::StartsWith;

class TargetArgsTest : public testing::Test {
 protected:
  ~TargetArgsTest() override { std::remove(path.c_str()); }

  // Of ping, which takes no URLs, with a file of these lines between two words.
  std::string error_of(const std::string& lines, bool from = false) {
    std::ofstream(path) << lines;
    const auto targets = expand_target_args({"192.0.2.1", "@" + path, "192.0.2.9"});
    EXPECT_TRUE(targets);
    const auto good = check_target_args(*targets, ping, from);
    return good ? "" : good.error().detail;
  }

  const std::string path = testing::TempDir() + "target_args_" + std::to_string(getpid());
  manifest::Testlet ping{.id = "ping"};
};

TEST_F(TargetArgsTest, AFileStandsForItsLines) {
  std::ofstream(path) << "# two hosts\n 192.0.2.2 # one\r\n\n\texample.net\n";
  const auto targets = expand_target_args({"192.0.2.1", "@" + path});
  ASSERT_TRUE(targets);
  EXPECT_THAT(targets->texts, ElementsAre("192.0.2.1", "192.0.2.2", "example.net"));
  EXPECT_EQ(targets->place(0), "");
  EXPECT_EQ(targets->place(1), path + ":2: ");
  EXPECT_EQ(targets->place(2), path + ":4: ");
}

TEST_F(TargetArgsTest, WhatIsWrongInAFileNamesItAndTheLine) {
  EXPECT_EQ(error_of("192.0.2.2\n"), "");
  EXPECT_THAT(error_of("192.0.2.2\n\n192.0.2.256\n"), StartsWith(path + ":3: target \"192.0.2.256\": "));
  EXPECT_THAT(error_of("10.0.0.0/8"), StartsWith(path + ":1: target \"10.0.0.0/8\" means 16777214"));
  EXPECT_THAT(error_of("\nagent:a"), StartsWith(path + ":2: agent:a is known to a coordinator only"));
  EXPECT_THAT(error_of("agent:a", true), StartsWith(path + ":1: agent:a must be the only target"));
  EXPECT_THAT(error_of("http://example.net/"), StartsWith(path + ":1: ping takes no URLs"));
}

TEST_F(TargetArgsTest, TheSecondOfTwoFilesIsNamed) {
  const std::string other = path + "b";
  std::ofstream(path) << "192.0.2.2\n";
  std::ofstream(other) << "192.0.2.3\n192.0.2.4:x\n";
  const auto targets = expand_target_args({"@" + path, "@" + other});
  std::remove(other.c_str());
  const auto good = check_target_args(*targets, ping, false);
  ASSERT_FALSE(good);
  EXPECT_THAT(good.error().detail, StartsWith(other + ":2: target \"192.0.2.4:x\": \"x\" is no port"));
}

}  // namespace
}  // namespace todd::cli
