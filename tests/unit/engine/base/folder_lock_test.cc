// Two processes on one data folder would take each other's identity and files.
#include "engine/base/folder_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace todd {
namespace {

TEST(FolderLockTest, TheSecondIsToldWhoHoldsIt) {
  char folder[] = "/tmp/todd-lock-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  auto first = lock_folder(folder, "todd-agent");
  ASSERT_TRUE(first) << first.error().detail;
  const auto second = lock_folder(folder, "todd-agent");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::exists);
  EXPECT_EQ(second.error().detail, std::string(folder) + " is in use by another todd-agent, pid " +
                                       std::to_string(getpid()) + "; stop it or name another --data-dir");
  first->reset();
  EXPECT_TRUE(lock_folder(folder, "todd-agent"));
  std::filesystem::remove_all(folder);
}

TEST(FolderLockTest, AFolderThatIsNotThereIsNamed) {
  const auto lock = lock_folder("/nowhere/todd", "todd-agent");
  ASSERT_FALSE(lock);
  EXPECT_NE(lock.error().detail.find("/nowhere/todd/lock"), std::string::npos);
}

}  // namespace
}  // namespace todd
