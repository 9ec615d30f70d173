#include "coordinator/model/expand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/model/fixtures.h"

namespace todd::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

model::Test test_of(const std::string& fields) {
  auto documents = parse_documents("tests: [{testlet: ping, " + fields + "}]\n", "f.yaml");
  if (!documents) throw std::runtime_error(documents.error().detail);
  return documents->suites.at(0).tests.at(0);
}

Result<std::vector<Edge>> expand(const std::string& fields, const std::vector<Facts>& agents = fleet()) {
  return expand_test(test_of(fields), groups(), agents);
}

std::vector<std::string> labels(const std::string& fields, const std::vector<Facts>& agents = fleet()) {
  auto edges = expand(fields, agents);
  if (!edges) return {"error: " + edges.error().detail};
  std::vector<std::string> result;
  for (const Edge& edge : *edges) result.push_back(edge.label());
  return result;
}

std::string error_of(const std::string& fields, const std::vector<Facts>& agents = fleet()) {
  auto edges = expand(fields, agents);
  return edges ? "no error" : edges.error().detail;
}

TEST(ExpandTest, AllPairsEverySourceWithEveryTarget) {
  EXPECT_THAT(labels("from: branches, to: datacenters"),
              ElementsAre("branch-1 → dc-1", "branch-1 → dc-2", "branch-2 → dc-1", "branch-2 → dc-2",
                          "branch-3 → dc-1", "branch-3 → dc-2"));
  const auto edges = expand("from: branches, to: datacenters");
  EXPECT_EQ((*edges)[0].address, "198.51.100.1");
  EXPECT_EQ((*edges)[0].target.host, "198.51.100.1");
  EXPECT_EQ((*edges)[0].target.agent, "dc-1");
  EXPECT_EQ((*edges)[0].target_agent.agent_id, "id-dc-1");
  EXPECT_THAT((*edges)[0].source.groups, ElementsAre("branches"));
  EXPECT_THAT((*edges)[0].target_agent.groups, ElementsAre("datacenters"));
}

TEST(ExpandTest, NeverPairsAnAgentWithItself) {
  EXPECT_THAT(labels("from: datacenters, to: datacenters"), ElementsAre("dc-1 → dc-2", "dc-2 → dc-1"));
  EXPECT_THAT(labels("from: datacenters, to: datacenters, both_ways: true"),
              ElementsAre("dc-1 → dc-2", "dc-2 → dc-1"));
  EXPECT_THAT(error_of("from: {agent: dc-1}, to: {agent: dc-1}"), HasSubstr("has no edges"));
}

TEST(ExpandTest, AnAgentInTwoGroupsStandsOnce) {
  const auto edges = expand("from: [datacenters, datacenters], to: {agent: branch-1}");
  ASSERT_EQ(edges->size(), 2u);
  EXPECT_EQ((*edges)[0].source.groups.size(), 2u);
}

TEST(ExpandTest, ZipPairsByName) {
  EXPECT_THAT(labels("from: {agent: [branch-2, branch-1]}, to: datacenters, pairing: zip"),
              ElementsAre("branch-1 → dc-1", "branch-2 → dc-2"));
  EXPECT_THAT(error_of("from: branches, to: datacenters, pairing: zip"),
              HasSubstr("3 sources and 2 targets"));
  EXPECT_THAT(error_of("from: datacenters, to: datacenters, pairing: zip"),
              HasSubstr("\"dc-1\" with itself"));
}

TEST(ExpandTest, RingGoesRound) {
  EXPECT_THAT(labels("from: branches, pairing: ring"),
              ElementsAre("branch-1 → branch-2", "branch-2 → branch-3", "branch-3 → branch-1"));
  EXPECT_THAT(labels("from: datacenters, pairing: ring"), ElementsAre("dc-1 → dc-2", "dc-2 → dc-1"));
  EXPECT_THAT(error_of("from: branches, to: datacenters, pairing: ring"), HasSubstr("must be the same"));
  EXPECT_THAT(error_of("from: {agent: dc-1}, pairing: ring"), HasSubstr("at least two agents"));
}

TEST(ExpandTest, PickIsStableAsMembersChange) {
  std::vector<Facts> many;
  for (int i = 0; i < 40; ++i)
    many.push_back(agent("dc-" + std::to_string(i), {"192.0.2." + std::to_string(i + 1)}));
  const std::string fields = "from: datacenters, to: datacenters, pairing: {pick: 3}";
  const auto before = labels(fields, many);
  EXPECT_EQ(before.size(), 120u);
  std::vector<Facts> fewer = many;
  fewer.erase(fewer.begin() + 7);
  const auto after = labels(fields, fewer);
  EXPECT_EQ(after.size(), 117u);
  // Only pairs with the agent that left have gone, each replaced by one.
  size_t gone = 0, with_it = 0;
  for (const std::string& label : before) {
    const bool has_it = label.starts_with("dc-7 ") || label.ends_with(" dc-7");
    with_it += has_it;
    if (std::find(after.begin(), after.end(), label) == after.end()) {
      ++gone;
      EXPECT_TRUE(has_it) << label;
    }
  }
  EXPECT_EQ(gone, with_it);
  // More than there are: all there are.
  EXPECT_EQ(labels("from: branches, to: datacenters, pairing: {pick: 9}").size(), 6u);
}

TEST(ExpandTest, BothWaysAddsTheReverse) {
  EXPECT_THAT(labels("from: {agent: branch-1}, to: datacenters, both_ways: true"),
              ElementsAre("branch-1 → dc-1", "branch-1 → dc-2", "dc-1 → branch-1", "dc-2 → branch-1"));
  EXPECT_THAT(error_of("from: branches, to: routers, both_ways: true"), HasSubstr("\"r1\" has none"));
}

TEST(ExpandTest, FamilyAndAddressChoose) {
  EXPECT_EQ((*expand("from: {agent: branch-1}, to: {agent: dc-1}, family: v6"))[0].address, "2001:db8:d::1");
  EXPECT_EQ((*expand("from: {agent: branch-1}, to: {agent: dc-1}, address: '2001:db8::/32'"))[0].address,
            "2001:db8:d::1");
  EXPECT_THAT(labels("from: {agent: branch-1}, to: {agent: dc-1}, family: both"),
              ElementsAre("branch-1 → dc-1 (v4)", "branch-1 → dc-1 (v6)"));
  EXPECT_THAT(error_of("from: datacenters, to: {agent: branch-3}, family: v6"),
              "agent \"branch-3\" has no IPv6 test address: it has 192.0.2.3");
  EXPECT_THAT(error_of("from: branches, to: {agent: dc-1}, address: 10.0.0.0/8"),
              HasSubstr("no test address in 10.0.0.0/8"));
  // Of any family the first that the source has too.
  auto agents = fleet();
  std::swap(agents[3].test_addresses[0], agents[3].test_addresses[1]);
  EXPECT_EQ((*expand("from: {agent: branch-3}, to: {agent: dc-1}", agents))[0].address, "198.51.100.1");
  EXPECT_EQ((*expand("from: {agent: branch-1}, to: {agent: dc-1}", agents))[0].address, "2001:db8:d::1");
  agents[3].test_addresses = {"2001:db8:d::1"};
  EXPECT_THAT(error_of("from: {agent: branch-3}, to: {agent: dc-1}", agents),
              HasSubstr("no address family in common"));
  agents[3].test_addresses = {};
  EXPECT_THAT(error_of("from: {agent: branch-3}, to: {agent: dc-1}", agents),
              HasSubstr("set test_addresses"));
}

TEST(ExpandTest, HostsNetworksAndUrls) {
  const auto edges = expand("from: {agent: dc-1}, to: {hosts: [192.0.2.0/24, 'example.net:7', 203.0.113.9]}");
  ASSERT_TRUE(edges) << edges.error().detail;
  ASSERT_EQ(edges->size(), 3u);
  EXPECT_EQ((*edges)[0].target_name, "192.0.2.0/24");
  EXPECT_EQ(schedule::count((*edges)[0].target), 254u);
  EXPECT_EQ((*edges)[0].address, "");
  EXPECT_EQ((*edges)[1].address, "203.0.113.9");
  EXPECT_EQ((*edges)[2].target.port, 7);
  EXPECT_EQ((*edges)[2].address, "");
  EXPECT_EQ((*edges)[2].target_agent.agent, "");

  const auto urls = expand("from: {agent: dc-1}, to: {urls: ['https://x.example/a']}");
  EXPECT_EQ((*urls)[0].target.url, "https://x.example/a");
  EXPECT_EQ((*urls)[0].target_name, "https://x.example/a");

  EXPECT_EQ(labels("from: {agent: dc-1}, to: {hosts: [example.net]}, family: both").size(), 2u);
  EXPECT_EQ(labels("from: {agent: dc-1}, to: {hosts: [192.0.2.1]}, family: both").size(), 1u);
  EXPECT_THAT(error_of("from: {agent: dc-1}, to: {hosts: [192.0.2.1]}, family: v6"),
              HasSubstr("\"192.0.2.1\" is IPv4"));
  EXPECT_THAT(error_of("from: {agent: dc-1}, to: {urls: [example.net]}"), HasSubstr("is no URL"));
  EXPECT_THAT(error_of("from: {agent: dc-1}, to: {hosts: ['http://x/']}"), HasSubstr("write {urls: [...]}"));
  EXPECT_THAT(labels("from: {agent: dc-1}, to: routers"), ElementsAre("dc-1 → r1", "dc-1 → r2.example.net"));
}

TEST(ExpandTest, RefusesWithNearestNames) {
  EXPECT_EQ(error_of("from: branchs, to: datacenters"),
            "there is no group \"branchs\": did you mean \"branches\"?");
  EXPECT_EQ(error_of("from: dc-1, to: datacenters"),
            "there is no group \"dc-1\", but an agent: write {agent: dc-1}");
  EXPECT_EQ(error_of("from: {agent: dc-3}, to: datacenters"),
            "there is no agent \"dc-3\": did you mean \"dc-1\"?");
  EXPECT_EQ(expand("from: nobody, to: datacenters").error().code, Errc::not_found);
  EXPECT_EQ(error_of("from: nobody, to: datacenters"), "group \"nobody\" matches no enrolled agent");
  EXPECT_EQ(error_of("from: branches, to: nobody"), "group \"nobody\" matches no enrolled agent");
  EXPECT_THAT(error_of("from: routers, to: datacenters"), HasSubstr("may stand only in \"to\""));
}

TEST(ExpandTest, RefusesTooManyEdges) {
  std::vector<Facts> many;
  for (int i = 0; i < 1100; ++i) many.push_back(agent("dc-" + std::to_string(i), {"192.0.2.1"}));
  auto edges = expand("from: datacenters, to: datacenters", many);
  ASSERT_FALSE(edges);
  EXPECT_EQ(edges.error().code, Errc::exhausted);
  EXPECT_THAT(edges.error().detail, HasSubstr("1210000 edges"));
}

}  // namespace
}  // namespace todd::model
