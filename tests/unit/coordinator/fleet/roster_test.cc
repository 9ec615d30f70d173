#include "coordinator/fleet/roster.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "coordinator/fleet/facts.h"
#include "engine/base/files.h"
#include "todd/v1/link.pb.h"

namespace todd::fleet {
namespace {
EnrolledAgent agent_of(const std::string& id, const std::string& name) {
  EnrolledAgent agent{.id = id, .name = name, .key_sha256_hex = "ab", .enrolled_wall_ns = 17, .facts = {}};
  agent.facts.hostname = "two\nlines \\n = odd";
  agent.facts.addresses = {"192.0.2.1", "2001:db8::1"};
  agent.facts.labels = {{"site", "x = y"}, {"empty", ""}};
  agent.facts.listen_first = 8000;
  agent.facts.listen_last = 8001;
  agent.facts.manifests = {"h1", "h2"};
  return agent;
}

class RosterTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder() const { return folder_; }

 private:
  char folder_[32] = "/tmp/todd-roster-XXXXXX";
};

TEST_F(RosterTest, SurvivesARestart) {
  Roster first(folder());
  ASSERT_TRUE(first.load());
  ASSERT_TRUE(first.put(agent_of("a-1", "lab-1")));
  Roster second(folder());
  ASSERT_TRUE(second.load());
  ASSERT_NE(second.by_name("lab-1"), nullptr);
  EXPECT_EQ(write_agent(*second.by_name("lab-1")), write_agent(agent_of("a-1", "lab-1")));
  EXPECT_EQ(second.by_id("a-1")->facts.hostname, "two\nlines \\n = odd");
  EXPECT_EQ(second.by_id("a-1")->facts.labels.at("site"), "x = y");
  EXPECT_EQ(second.by_id("a-1")->facts.id, "a-1");
}

TEST_F(RosterTest, RemovalIsDurable) {
  Roster first(folder());
  ASSERT_TRUE(first.load());
  ASSERT_TRUE(first.put(agent_of("a-1", "lab-1")));
  ASSERT_TRUE(first.remove("a-1"));
  EXPECT_EQ(first.by_name("lab-1"), nullptr);
  EXPECT_EQ(first.remove("a-1").error().code, Errc::not_found);
  Roster second(folder());
  ASSERT_TRUE(second.load());
  EXPECT_TRUE(second.agents().empty());
}

TEST_F(RosterTest, ANameBelongsToOneAgent) {
  Roster roster(folder());
  ASSERT_TRUE(roster.load());
  ASSERT_TRUE(roster.put(agent_of("a-1", "lab-1")));
  EXPECT_EQ(roster.put(agent_of("a-2", "lab-1")).error().code, Errc::exists);
  EXPECT_EQ(roster.by_name("lab-1")->id, "a-1");
}

TEST_F(RosterTest, ADamagedFileLocksOutItsAgentOnly) {
  Roster first(folder());
  ASSERT_TRUE(first.load());
  ASSERT_TRUE(first.put(agent_of("a-1", "lab-1")));
  ASSERT_TRUE(first.put(agent_of("a-2", "lab-2")));
  ASSERT_TRUE(write_file(folder() + "/a-1.agent", "id = a-1\nnonsense\n", 0600));
  // A copy under another name must not let the agent in twice.
  ASSERT_TRUE(write_file(folder() + "/a-3.agent", write_agent(agent_of("a-2", "lab-2")), 0600));
  Roster second(folder());
  ASSERT_TRUE(second.load());
  EXPECT_EQ(second.agents().size(), 1u);
  EXPECT_NE(second.by_name("lab-2"), nullptr);
  EXPECT_TRUE(read_file(folder() + "/a-1.agent"));
}

TEST_F(RosterTest, TextIsReadStrictlyButForTheFuture) {
  const std::string good = write_agent(agent_of("a-1", "lab-1"));
  EXPECT_TRUE(read_agent(good + "of_a_newer_release = 1\n"));
  EXPECT_FALSE(read_agent(good + "listen_first = 80x\n"));
  EXPECT_FALSE(read_agent(good + "listen_first = 70000\n"));
  EXPECT_FALSE(read_agent(""));
}

TEST(AgentNameTest, KeepsToWhatFilesAndPeopleCanBear) {
  for (const char* good : {"a", "lab-1", "LAB.example.org", "7"}) EXPECT_TRUE(check_agent_name(good)) << good;
  for (const std::string& bad : {std::string(), std::string("-a"), std::string("a b"), std::string("a/b"),
                                 std::string("../x"), std::string(64, 'a'), std::string("a\nb")}) {
    EXPECT_FALSE(check_agent_name(bad)) << bad;
  }
}

TEST(FactsTest, CutsWhatAnAgentMayNotSend) {
  v1::Facts sent;
  sent.set_hostname(std::string(10'000, 'h'));
  for (int i = 0; i < 100; ++i) sent.add_addresses("192.0.2.1");
  (*sent.mutable_labels())["good"] = "1";
  (*sent.mutable_labels())["bad = key\n"] = "1";
  sent.set_listen_first(9000);
  sent.set_listen_last(80);
  const model::Facts facts = facts_of(sent);
  EXPECT_EQ(facts.hostname.size(), 256u);
  EXPECT_EQ(facts.addresses.size(), 64u);
  EXPECT_EQ(facts.labels, (std::map<std::string, std::string>{{"good", "1"}}));
  EXPECT_EQ(facts.listen_first, 7500);
}
}  // namespace
}  // namespace todd::fleet
