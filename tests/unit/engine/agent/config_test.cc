#include "engine/agent/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "engine/base/files.h"

namespace todd::agent {
namespace {
Result<Parsed> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "todd-agent");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(ConfigTest, DefaultsNeedNothing) {
  const auto parsed = parse({});
  ASSERT_TRUE(parsed) << parsed.error().detail;
  EXPECT_FALSE(parsed->config.join);
  EXPECT_FALSE(parsed->config.name.empty());
  EXPECT_FALSE(parsed->config.data_dir.empty());
  EXPECT_EQ(parsed->config.listen_first, 7500);
  EXPECT_EQ(parsed->config.listen_last, 7599);
  EXPECT_EQ(parsed->config.secrets, parsed->config.data_dir + "/secrets");
}

TEST(ConfigTest, TakesEveryOption) {
  const std::string token =
      io::write_join_token({{{"192.0.2.1", 7481}}, std::string(64, 'a'), "id", "secret"});
  const auto parsed = parse({"--join",
                             token.c_str(),
                             "--data-dir",
                             "/x",
                             "--name",
                             "lab-1",
                             "--coordinator",
                             "[::1]:99",
                             "--label",
                             "site=a",
                             "--label",
                             "role=b=c",
                             "--test-address",
                             "192.0.2.7",
                             "--listen-ports",
                             "8000-8009",
                             "--engine",
                             "event",
                             "--testlets",
                             "/t1",
                             "--testlets",
                             "/t2",
                             "--log-level",
                             "debug",
                             "--unprivileged",
                             "--secrets",
                             "/s",
                             "--refuse-targets",
                             "10.0.0.0/8",
                             "--refuse-targets",
                             "2001:db8::1"});
  ASSERT_TRUE(parsed) << parsed.error().detail;
  const Config& config = parsed->config;
  EXPECT_EQ(config.join->id, "id");
  EXPECT_EQ(config.coordinator->host, "::1");
  EXPECT_EQ(config.labels, (std::map<std::string, std::string>{{"site", "a"}, {"role", "b=c"}}));
  EXPECT_EQ(config.test_addresses, std::vector<std::string>{"192.0.2.7"});
  EXPECT_EQ(config.listen_first, 8000);
  EXPECT_EQ(config.engine, io::EngineChoice{io::Backend::event});
  EXPECT_EQ(config.testlet_folders, (std::vector<std::string>{"/t1", "/t2"}));
  EXPECT_TRUE(config.unprivileged);
  EXPECT_EQ(config.secrets, "/s");
  EXPECT_EQ(config.refuse_targets, (std::vector<std::string>{"10.0.0.0/8", "2001:db8::1"}));
  EXPECT_EQ(config.log_level, LogLevel::debug);
}

TEST(ConfigTest, ReadsAFileAndLetsTheCommandLineWin) {
  char folder[] = "/tmp/todd-config-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string file = std::string(folder) + "/todd-agent.conf";
  ASSERT_TRUE(write_file(
      file, "name = from-file\nlabel = [\"site=a\", \"role=b\"]\nlisten-ports = 9000-9001\n", 0600));
  const auto parsed = parse({"--config", file.c_str(), "--name", "from-line"});
  std::filesystem::remove_all(folder);
  ASSERT_TRUE(parsed) << parsed.error().detail;
  EXPECT_EQ(parsed->config.name, "from-line");
  EXPECT_EQ(parsed->config.labels.size(), 2u);
  EXPECT_EQ(parsed->config.listen_last, 9001);
}

TEST(ConfigTest, AWrongKeyOfAFileIsNamedWithTheNearest) {
  char folder[] = "/tmp/todd-config-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string file = std::string(folder) + "/todd-agent.conf";
  ASSERT_TRUE(write_file(file, "name = x\nlisten-port = 9000-9001\n", 0600));
  const auto parsed = parse({"--config", file.c_str()});
  std::filesystem::remove_all(folder);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, Errc::invalid);
  EXPECT_EQ(parsed.error().detail.rfind(
                file + ": there is no option \"listen-port\": did you mean \"listen-ports\"?", 0),
            0u)
      << parsed.error().detail;
}

TEST(ConfigTest, ErrorsNameTheOption) {
  const std::pair<std::vector<const char*>, const char*> wrong[] = {
      {{"--label", "nothing"}, "--label"},
      {{"--label", "a=1", "--label", "a=2"}, "twice"},
      {{"--listen-ports", "9-8"}, "FIRST-LAST"},
      {{"--engine", "steam"}, "--engine"},
      {{"--test-address", "192.0.2.7", "--test-address", "foo"},
       "--test-address: \"foo\" is no IPv4 or IPv6"},
      {{"--test-address", "192.0.2.0/24"}, "--test-address"},
      {{"--join", "abc"}, "--join"},
      {{"--coordinator", "host"}, "--coordinator"},
      {{"--log-level", "loud"}, "--log-level"},
      {{"--frobnicate"}, "--frobnicate"},
      {{"--config", "/nonexistent/file"}, "/nonexistent/file"}};
  for (const auto& [arguments, named] : wrong) {
    const auto parsed = parse(arguments);
    ASSERT_FALSE(parsed) << named;
    EXPECT_EQ(parsed.error().code, Errc::invalid);
    EXPECT_NE(parsed.error().detail.find(named), std::string::npos) << parsed.error().detail;
  }
}

TEST(ConfigTest, AnUnknownKeyInTheFileIsAnError) {
  char folder[] = "/tmp/todd-config-XXXXXX";
  ASSERT_NE(::mkdtemp(folder), nullptr);
  const std::string file = std::string(folder) + "/todd-agent.conf";
  ASSERT_TRUE(write_file(file, "nmae = typo\n", 0600));
  const auto parsed = parse({"--config", file.c_str()});
  std::filesystem::remove_all(folder);
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().detail.find("nmae"), std::string::npos) << parsed.error().detail;
}

TEST(ConfigTest, HelpSaysHowToJoin) {
  const auto parsed = parse({"--help"});
  ASSERT_TRUE(parsed && parsed->help);
  EXPECT_NE(parsed->help->text.find("todd agents invite"), std::string::npos);
}

TEST(PortRangeTest, AcceptsOnePortOrARange) {
  uint16_t first = 0, last = 0;
  EXPECT_TRUE(parse_port_range("7500", first, last));
  EXPECT_EQ(last, 7500);
  for (const char* bad : {"", "0", "1-", "-1", "2-1", "1-70000", "1-2x", "1 - 2"})
    EXPECT_FALSE(parse_port_range(bad, first, last)) << bad;
}
}  // namespace
}  // namespace todd::agent
