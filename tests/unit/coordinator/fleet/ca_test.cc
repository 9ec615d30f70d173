#include "coordinator/fleet/ca.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

#include "engine/base/files.h"

namespace todd::fleet {
namespace {
class CaTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder() const { return folder_; }

 private:
  char folder_[32] = "/tmp/todd-ca-XXXXXX";
};

TEST_F(CaTest, IsMadeOnceAndKeptPrivate) {
  const auto first = open_authority(folder(), {"127.0.0.1", "localhost"});
  ASSERT_TRUE(first) << first.error().detail;
  for (const char* name : {"ca.pem", "ca.key", "server.pem", "server.key"}) {
    struct stat info {};
    ASSERT_EQ(::stat((folder() + "/" + name).c_str(), &info), 0) << name;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << name;
  }
  const auto second = open_authority(folder(), {"192.0.2.1"});
  ASSERT_TRUE(second) << second.error().detail;
  EXPECT_EQ(first->ca_sha256_hex, second->ca_sha256_hex);
  EXPECT_EQ(first->server.key_pem, second->server.key_pem);
  EXPECT_NE(first->server.certificate_pem, second->server.certificate_pem);
  EXPECT_TRUE(second->server.certificate_pem.ends_with(second->ca.certificate_pem));
}

TEST_F(CaTest, ALostKeyIsNotReplacedSilently) {
  ASSERT_TRUE(open_authority(folder(), {}));
  ASSERT_TRUE(remove_file(folder() + "/ca.key"));
  const auto again = open_authority(folder(), {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::corrupt);
  EXPECT_NE(again.error().detail.find("backup"), std::string::npos);
}

TEST_F(CaTest, ACrashBetweenKeyAndCertificateIsMended) {
  ASSERT_TRUE(open_authority(folder(), {}));
  ASSERT_TRUE(remove_file(folder() + "/ca.pem"));
  EXPECT_TRUE(open_authority(folder(), {}));
}
}  // namespace
}  // namespace todd::fleet
