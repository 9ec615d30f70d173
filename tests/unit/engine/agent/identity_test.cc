#include "engine/agent/identity.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "engine/base/files.h"

namespace todd::agent {
namespace {
class IdentityTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder() const { return std::string(folder_) + "/state"; }
  static Identity sample() {
    return {"a-1", "lab-1", "token", {{"192.0.2.1", 7481}, {"::1", 7481}}, "certificate", "key", "ca"};
  }

 private:
  char folder_[32] = "/tmp/todd-identity-XXXXXX";
};

TEST_F(IdentityTest, SurvivesARestartAndIsPrivate) {
  ASSERT_TRUE(save_identity(folder(), sample()));
  const auto loaded = load_identity(folder());
  ASSERT_TRUE(loaded) << loaded.error().detail;
  EXPECT_EQ(loaded->agent_id, "a-1");
  EXPECT_EQ(loaded->name, "lab-1");
  EXPECT_EQ(loaded->token_id, "token");
  EXPECT_EQ(loaded->coordinators, sample().coordinators);
  EXPECT_EQ(loaded->key_pem, "key");
  EXPECT_EQ(loaded->ca_pem, "ca");
  for (const auto& file : std::filesystem::directory_iterator(folder())) {
    EXPECT_EQ(file.status().permissions(), std::filesystem::perms(0600)) << file.path();
  }
}

TEST_F(IdentityTest, NeverJoinedIsNotFound) {
  EXPECT_EQ(load_identity(folder()).error().code, Errc::not_found);
}

TEST_F(IdentityTest, AMissingPartIsCorruptAndSaysWhatToRemove) {
  ASSERT_TRUE(save_identity(folder(), sample()));
  ASSERT_TRUE(remove_file(folder() + "/agent.key"));
  const auto loaded = load_identity(folder());
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, Errc::corrupt);
  EXPECT_NE(loaded.error().detail.find("remove the files"), std::string::npos);
}
}  // namespace
}  // namespace todd::agent
