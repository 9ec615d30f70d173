#include "engine/supervise/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "engine/base/files.h"
#include "todd/v1/task.pb.h"

namespace todd::supervise {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class SecretsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_), nullptr);
    std::filesystem::create_directory(places_.folder = std::string(folder_) + "/own");
    std::filesystem::create_directory(places_.credentials = std::string(folder_) + "/credentials");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string put(const std::string& name, const std::string& text, unsigned mode = 0600) {
    const std::string path = places_.folder + "/" + name;
    EXPECT_TRUE(write_file(path, text, mode));
    return path;
  }
  std::string value(const std::string& name) const {
    const auto read = read_secret(places_, name);
    return read ? *read : "error: " + read.error().detail;
  }

  char folder_[32] = "/tmp/todd-secrets-XXXXXX";
  SecretPlaces places_;
};

TEST_F(SecretsTest, AreTheFilesTextWithoutItsLastNewline) {
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"geheim", "geheim"},
           {"geheim\n", "geheim"},
           {"geheim\n\n", "geheim\n"},
           {"-----BEGIN-----\nx\n-----END-----\n", "-----BEGIN-----\nx\n-----END-----"},
           {" gehe\xc3\xafm ", " gehe\xc3\xafm "},
           {std::string(kMaxSecretBytes, 'x'), std::string(kMaxSecretBytes, 'x')}}) {
    put("db", text);
    EXPECT_EQ(value("db"), expected);
  }
  put("db", "geheim", 0440);
  EXPECT_EQ(value("db"), "geheim") << "a group may read it";
}

TEST_F(SecretsTest, TheFolderComesBeforeTheCredentialsOfSystemd) {
  ASSERT_TRUE(write_file(places_.credentials + "/db", "from systemd", 0400));
  EXPECT_EQ(value("db"), "from systemd");
  put("db", "own");
  EXPECT_EQ(value("db"), "own");
  std::filesystem::remove_all(places_.folder);
  EXPECT_EQ(value("db"), "from systemd") << "the folder need not be there";
}

TEST_F(SecretsTest, WhatIsMissingIsSaidWithThePlacesAndTheRemedy) {
  const auto missing = read_secret(places_, "db");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_EQ(missing.error().detail, "secret \"db\": not in " + places_.folder + " nor in " +
                                        places_.credentials + "; put its value into " + places_.folder +
                                        "/db, mode 0600");
  places_.credentials.clear();
  EXPECT_THAT(value("db"), HasSubstr("/own, and systemd passed no credentials; put its value into"));
}

TEST_F(SecretsTest, WhatEverybodyMayReadIsRefused) {
  const std::string path = put("db", "geheim", 0604);
  EXPECT_EQ(value("db"),
            "error: secret \"db\": " + path + " is open to everybody (mode 0604); chmod 600 " + path);
  EXPECT_EQ(read_secret(places_, "db").error().code, Errc::denied);
  put("db", "geheim", 0602);
  EXPECT_THAT(value("db"), HasSubstr("open to everybody"));
  ASSERT_TRUE(write_file(places_.credentials + "/db", "from systemd", 0400));
  EXPECT_THAT(value("db"), HasSubstr("open to everybody")) << "and nothing else is taken for it";
}

TEST_F(SecretsTest, LinksStayInTheFolder) {
  put("real", "geheim");
  ASSERT_TRUE(write_file(std::string(folder_) + "/outside", "elsewhere", 0600));
  std::filesystem::create_directory(places_.folder + "/..data");
  ASSERT_TRUE(write_file(places_.folder + "/..data/deep", "mounted", 0600));
  const auto link = [&](const std::string& to, const std::string& name) {
    ASSERT_EQ(::symlink(to.c_str(), (places_.folder + "/" + name).c_str()), 0);
  };
  link("real", "near");
  link("..data/deep", "deep");
  link("../outside", "up");
  link(std::string(folder_) + "/outside", "absolute");
  link("loop", "loop");
  EXPECT_EQ(value("near"), "geheim");
  EXPECT_EQ(value("deep"), "mounted");
  EXPECT_THAT(value("up"), HasSubstr("is a symbolic link that leads out of " + places_.folder));
  EXPECT_THAT(value("absolute"), HasSubstr("leads out of"));
  EXPECT_THAT(value("loop"), HasSubstr("error: "));
}

TEST_F(SecretsTest, WhatIsNoTextIsRefusedUnquoted) {
  put("empty", "\n");
  EXPECT_THAT(value("empty"), HasSubstr("is empty"));
  put("nul", std::string("ge\0heim", 7));
  EXPECT_THAT(value("nul"), AllOf(HasSubstr("NUL"), Not(HasSubstr("heim"))));
  put("latin", "gehe\xefm");
  EXPECT_THAT(value("latin"), AllOf(HasSubstr("UTF-8"), Not(HasSubstr("gehe"))));
  put("long", std::string(kMaxSecretBytes + 1, 'x'));
  EXPECT_THAT(value("long"), HasSubstr("longer than 64 KiB"));
  std::filesystem::create_directory(places_.folder + "/folder");
  EXPECT_THAT(value("folder"), HasSubstr("no regular file"));
  ASSERT_EQ(::mkfifo((places_.folder + "/pipe").c_str(), 0600), 0);
  EXPECT_THAT(value("pipe"), HasSubstr("no regular file")) << "and nobody waits for its writer";
}

TEST_F(SecretsTest, NamesAreNoPaths) {
  for (const std::string name :
       {"", ".", "..", ".hidden", "../own/db", "a/b", "/etc/passwd", "a b", "\xc3\xa4"})
    EXPECT_THAT(value(name), HasSubstr("the name of a secret is")) << name;
  EXPECT_THAT(value(std::string(65, 'x')), HasSubstr("at most 64"));
  put(std::string(64, 'x'), "geheim");
  EXPECT_EQ(value(std::string(64, 'x')), "geheim");
}

TEST_F(SecretsTest, NamesInATaskAreReplaced) {
  put("db", "geheim\n");
  v1::Task task;
  task.add_params()->set_s("plain");
  task.add_params()->set_secret("db");
  task.mutable_params(1)->set_given(true);
  ASSERT_TRUE(fill_secrets(task, places_));
  EXPECT_EQ(task.params(0).s(), "plain");
  EXPECT_EQ(task.params(1).s(), "geheim");
  EXPECT_FALSE(task.params(1).has_secret());
  EXPECT_TRUE(task.params(1).given());
  task.add_params()->set_secret("other");
  EXPECT_THAT(fill_secrets(task, places_).error().detail, HasSubstr("secret \"other\": not in"));
}

}  // namespace
}  // namespace todd::supervise
