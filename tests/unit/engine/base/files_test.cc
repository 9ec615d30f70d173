#include "engine/base/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace todd {
namespace {
class FilesTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return std::string(folder_) + "/" + name; }
  unsigned mode(const std::string& name) const {
    struct stat info {};
    return ::stat(path(name).c_str(), &info) == 0 ? info.st_mode & 07777 : 0;
  }

 private:
  char folder_[32] = "/tmp/todd-files-XXXXXX";
};

TEST_F(FilesTest, WritesWithTheModeAskedFor) {
  ASSERT_TRUE(write_file(path("key"), "secret", 0600));
  EXPECT_EQ(mode("key"), 0600u);
  EXPECT_EQ(read_file(path("key")).value(), "secret");
}

TEST_F(FilesTest, ReplacesAndLeavesNothingBeside) {
  ASSERT_TRUE(write_file(path("a"), "old and longer", 0644));
  ASSERT_TRUE(write_file(path("a"), "new", 0600));
  EXPECT_EQ(read_file(path("a")).value(), "new");
  EXPECT_EQ(mode("a"), 0600u);
  EXPECT_FALSE(std::filesystem::exists(path("a.new")));
}

TEST_F(FilesTest, AFailedWriteKeepsTheOldContent) {
  ASSERT_TRUE(write_file(path("a"), "old", 0600));
  std::filesystem::create_directories(path("a.new/in the way"));
  EXPECT_FALSE(write_file(path("a"), "new", 0600));
  EXPECT_EQ(read_file(path("a")).value(), "old");
}

TEST_F(FilesTest, SaysWhatIsMissing) {
  const auto content = read_file(path("none"));
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, Errc::not_found);
  EXPECT_NE(content.error().detail.find("none"), std::string::npos);
}

TEST_F(FilesTest, RefusesFilesAboveTheLimit) {
  ASSERT_TRUE(write_file(path("a"), "12345", 0600));
  EXPECT_TRUE(read_file(path("a"), 5));
  EXPECT_EQ(read_file(path("a"), 4).error().code, Errc::exhausted);
}

TEST_F(FilesTest, MakesFoldersOnTheWay) {
  ASSERT_TRUE(make_folders(path("x/y"), 0700));
  ASSERT_TRUE(make_folders(path("x/y"), 0700));
  EXPECT_EQ(mode("x/y"), 0700u);
}

TEST_F(FilesTest, RemovingTwiceIsFine) {
  ASSERT_TRUE(write_file(path("a"), "", 0600));
  EXPECT_TRUE(remove_file(path("a")));
  EXPECT_TRUE(remove_file(path("a")));
  EXPECT_EQ(mode("a"), 0u);
}
}  // namespace
}  // namespace todd
