#include "coordinator/model/match.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "coordinator/model/expand.h"
#include "tests/unit/coordinator/model/fixtures.h"

namespace todd::model {
namespace {

Group group_of(const std::string& match) {
  const std::string text =
      "apiVersion: todd/v1\nkind: Group\nmetadata: {name: g}\nspec: {match: " + match + "}\n";
  auto documents = parse_documents(text, "g.yaml");
  if (!documents) throw std::runtime_error(documents.error().detail);
  return documents->groups.at(0);
}

std::vector<std::string> taken(const std::string& match) { return members(group_of(match), fleet()).value(); }

using Names = std::vector<std::string>;

TEST(MatchTest, GlobsAreAnchored) {
  EXPECT_EQ(taken("{agent: 'branch-*'}"), (Names{"branch-1", "branch-2", "branch-3"}));
  EXPECT_EQ(taken("{agent: 'branch'}"), Names{});
  EXPECT_EQ(taken("{agent: 'branch-?'}"), (Names{"branch-1", "branch-2", "branch-3"}));
  EXPECT_EQ(taken("{agent: '?ranch-'}"), Names{});
  EXPECT_EQ(taken("{hostname: '*c-1*net'}"), (Names{"dc-1"}));
  EXPECT_EQ(taken("{hostname: 'dc-1.example.ne'}"), Names{});
  EXPECT_TRUE(*matches_pattern("a*b*c", "aXbYbZc", false));
  EXPECT_FALSE(*matches_pattern("a*b*c", "aXbYbZ", false));
  EXPECT_TRUE(*matches_pattern("*", "", false));
}

TEST(MatchTest, ExpressionsAreAnchored) {
  EXPECT_EQ(taken("{agent: '/dc-[12]/'}"), (Names{"dc-1", "dc-2"}));
  EXPECT_EQ(taken("{agent: '/c-[12]/'}"), Names{});
}

TEST(MatchTest, KeysOfOneMapAreAndedListsAreAnyOf) {
  EXPECT_EQ(taken("{label: {site: dc, role: core}}"), (Names{"dc-1"}));
  EXPECT_EQ(taken("{agent: [dc-2, branch-1]}"), (Names{"branch-1", "dc-2"}));
  EXPECT_EQ(taken("{os: linux, agent: dc-1}"), (Names{"dc-1"}));
}

TEST(MatchTest, AnyAllAndNotNest) {
  EXPECT_EQ(taken("{any: [{agent: dc-1}, {label: {site: branch-east}}]}"), (Names{"branch-1", "dc-1"}));
  EXPECT_EQ(taken("{label: {site: '*'}, not: {agent: 'branch-*'}}"), (Names{"dc-1", "dc-2"}));
  EXPECT_EQ(taken("{not: [{agent: dc-1}, {any: [{agent: 'branch-*'}]}]}"), (Names{"dc-2"}));
  EXPECT_EQ(taken("{all: [{os: linux}, {agent: dc-1}]}"), (Names{"dc-1"}));
}

TEST(MatchTest, ALabelTheAgentLacksMatchesNothing) {
  EXPECT_EQ(taken("{label: {role: '*'}}"), (Names{"dc-1"}));
  EXPECT_EQ(taken("{not: {label: {role: '*'}}}"), (Names{"branch-1", "branch-2", "branch-3", "dc-2"}));
}

TEST(MatchTest, AddressTakesNetworks) {
  EXPECT_EQ(taken("{address: 192.0.2.0/31}"), (Names{"branch-1"}));
  EXPECT_EQ(taken("{address: '2001:db8:d::/48'}"), (Names{"dc-1", "dc-2"}));
  EXPECT_EQ(taken("{address: 198.51.100.2}"), (Names{"dc-2"}));
  EXPECT_EQ(taken("{address: '198.51.*'}"), (Names{"dc-1", "dc-2"}));
}

TEST(MatchTest, InNetworkComparesPrefixesWithinOneFamily) {
  EXPECT_TRUE(in_network("10.1.2.3", "10.0.0.0/8"));
  EXPECT_FALSE(in_network("11.1.2.3", "10.0.0.0/8"));
  EXPECT_TRUE(in_network("11.1.2.3", "0.0.0.0/0"));
  EXPECT_TRUE(in_network("fe80::1%eth0", "fe80::/10"));
  EXPECT_FALSE(in_network("10.1.2.3", "::/0"));
  EXPECT_FALSE(in_network("10.1.2.3", "10.0.0.0/33"));
  EXPECT_FALSE(in_network("10.1.2.3", "10.0.0.0/"));
  EXPECT_FALSE(in_network("host", "10.0.0.0/8"));
}

TEST(MatchTest, ExplainSaysWhyPerRule) {
  const Group group = group_of("{any: [{agent: dc-1}, {label: {role: core}}], os: linux}");
  const std::string text = explain(group, fleet()[4]).value();
  EXPECT_EQ(text,
            "agent \"dc-2\" is not in group \"g\"\n"
            "  no  all of\n"
            "    yes os: linux (is linux)\n"
            "    no  any of\n"
            "      no  all of\n"
            "        no  agent: dc-1 (is dc-2)\n"
            "      no  all of\n"
            "        no  label.role: core (the agent has none)\n");
  EXPECT_THAT(explain(group, fleet()[3]).value(), testing::StartsWith("agent \"dc-1\" is in group \"g\"\n"));
  EXPECT_THAT(explain(groups()[2], fleet()[0]).value(), testing::HasSubstr("lists 2 hosts without agents"));
}

}  // namespace
}  // namespace todd::model
