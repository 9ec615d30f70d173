#include "coordinator/model/objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/coordinator/model/fixtures.h"

namespace todd::model {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string error_of(const std::string& text) {
  auto documents = parse_documents(text, "f.yaml");
  return documents ? "no error" : documents.error().detail;
}

// A suite of one test, whose text begins at line 2, column 5.
std::string error_of_test(const std::string& test) { return error_of("tests:\n  - " + test + "\n"); }

model::Test test_of(const std::string& test) {
  auto documents = parse_documents("tests:\n  - " + test + "\n", "f.yaml");
  if (!documents) throw std::runtime_error(documents.error().detail);
  return documents->suites.at(0).tests.at(0);
}

constexpr const char* kSuite = R"(apiVersion: todd/v1
kind: Suite
metadata: {name: branch-health, labels: {team: net}}
spec:
  tests:
    - name: latency
      testlet: ping
      from: branches
      to: datacenters
      pairing: {pick: 3}
      both_ways: true
      family: v4
      address: 10.0.0.0/8
      params: {count: 1000, interval: 10ms}
      expect:
        - p99(rtt) < 20ms
        - {that: "loss < 0.5%", severity: warn}
        - "90% of edges: p50(rtt) < 5ms"
    - testlet: iperf
      from: {agent: branch-1}
      to: {agent: [dc-1, dc-2]}
      at_once: 2
      parallel: true
      expect: []
      alongside: [{testlet: ping, params: {interval: 20ms}}]
    - {name: web, testlet: http, from: branches, to: {urls: ["https://x/"]}}
    - {name: hosts, testlet: ping, from: branches, to: {hosts: [192.0.2.0/24, example.net]}}
)";

TEST(ObjectsTest, ReadsASuite) {
  const auto documents = parse_documents(kSuite, "f.yaml");
  ASSERT_TRUE(documents) << documents.error().detail;
  const Suite& suite = documents->suites.at(0);
  EXPECT_EQ(suite.name, "branch-health");
  EXPECT_EQ(suite.labels.at("team"), "net");
  ASSERT_EQ(suite.tests.size(), 4u);

  const model::Test& latency = suite.tests[0];
  EXPECT_EQ(latency.position, (Position{6, 7}));
  EXPECT_EQ(latency.pairing, Pairing::pick);
  EXPECT_EQ(latency.pick, 3u);
  EXPECT_TRUE(latency.both_ways);
  EXPECT_EQ(latency.family, Family::v4);
  EXPECT_EQ(latency.address, "10.0.0.0/8");
  EXPECT_EQ(latency.params.at("interval"), "10ms");
  EXPECT_EQ(latency.param_positions.at("interval"), (Position{14, 29}));
  ASSERT_EQ(latency.expect->size(), 3u);
  EXPECT_EQ(latency.expect->at(0).text, "p99(rtt) < 20ms");
  EXPECT_TRUE(latency.expect->at(1).warn_only);
  EXPECT_EQ(latency.expect->at(2).position, (Position{18, 11}));

  const model::Test& bulk = suite.tests[1];
  EXPECT_EQ(bulk.name, "iperf");
  EXPECT_EQ(bulk.from.kind, TestFrom::Kind::agent);
  EXPECT_EQ(bulk.to.kind, TestTo::Kind::agent);
  EXPECT_EQ(bulk.to.values, (std::vector<std::string>{"dc-1", "dc-2"}));
  EXPECT_EQ(bulk.at_once, 2u);
  EXPECT_TRUE(bulk.parallel);
  ASSERT_TRUE(bulk.expect);
  EXPECT_TRUE(bulk.expect->empty());
  ASSERT_EQ(bulk.alongside.size(), 1u);
  EXPECT_EQ(bulk.alongside[0].testlet, "ping");
  EXPECT_EQ(bulk.alongside[0].to.values, bulk.to.values);
  EXPECT_FALSE(bulk.alongside[0].expect);

  EXPECT_EQ(suite.tests[2].to.kind, TestTo::Kind::urls);
  EXPECT_EQ(suite.tests[3].to.kind, TestTo::Kind::hosts);
}

TEST(ObjectsTest, ReadsGroups) {
  const auto all = groups();
  ASSERT_EQ(all.size(), 4u);
  EXPECT_FALSE(all[0].is_plain());
  EXPECT_TRUE(all[2].is_plain());
  EXPECT_EQ(all[2].hosts[0].labels.at("site"), "x");
  EXPECT_EQ(all[2].hosts[1].name, "r2.example.net");
  EXPECT_EQ(all[2].hosts[1].address, "");
}

TEST(ObjectsTest, ASuiteWithoutKindIsNamedAfterItsOrigin) {
  const std::string text = "tests: [{testlet: ping, from: a, to: b}]\n";
  EXPECT_EQ(parse_documents(text, "dir/Branch health.yaml")->suites[0].name, "branch-health");
  EXPECT_EQ(parse_documents(text, "branch-health")->suites[0].name, "branch-health");
  EXPECT_EQ(parse_documents(text, "-")->suites[0].name, "unnamed");
}

TEST(ObjectsTest, ReadsJson) {
  const auto documents = parse_documents(
      R"({"apiVersion": "todd/v1", "kind": "Group", "metadata": {"name": "g"}, "spec": {"match": {"os": "linux"}}})",
      "f.json");
  ASSERT_TRUE(documents) << documents.error().detail;
  EXPECT_EQ(documents->groups.at(0).name, "g");
}

TEST(ObjectsTest, RefusesBadDocuments) {
  EXPECT_THAT(error_of(""), StartsWith("f.yaml:1:1: there is no document"));
  EXPECT_THAT(error_of("[1]"), StartsWith("f.yaml:1:1: a document must be a map"));
  EXPECT_EQ(error_of("apiVersion: todd/v2\nkind: Group\nmetadata: {name: g}\nspec: {match: {os: x}}"),
            "f.yaml:1:13: apiVersion must be todd/v1");
  EXPECT_EQ(error_of("kind: Group"), "f.yaml:1:1: a document needs \"apiVersion\"");
  EXPECT_EQ(error_of("apiVersion: todd/v1\nkind: Grop\nmetadata: {name: g}\nspec: {}"),
            "f.yaml:2:1: there is no kind \"Grop\": did you mean \"Group\"?");
  EXPECT_THAT(error_of("apiVersion: todd/v1\nkind: Group\nmetadata: {name: A b}\nspec: {match: {os: x}}"),
              StartsWith("f.yaml:3:12: \"A b\" is no name: use a-z"));
  EXPECT_EQ(error_of("apiVersion: todd/v1\nkind: Group\nmetadata: {nam: g}\nspec: {match: {os: x}}"),
            "f.yaml:3:11: \"metadata\" needs \"name\"");
  EXPECT_EQ(
      error_of("apiVersion: todd/v1\nkind: Group\nmetadata: {name: g}\nspek: {}\nspec: {match: {os: x}}"),
      "f.yaml:4:1: a document has no key \"spek\": did you mean \"spec\"?");
  EXPECT_EQ(error_of(std::string(kGroups) + "---\n" + kGroups),
            "f.yaml:22:1: group \"branches\" is defined twice in this text");
}

TEST(ObjectsTest, RefusesBadGroups) {
  const auto with_spec = [](const std::string& spec) {
    return error_of("apiVersion: todd/v1\nkind: Group\nmetadata: {name: g}\nspec: " + spec);
  };
  EXPECT_THAT(with_spec("{}"), StartsWith("f.yaml:4:7: group \"g\" needs match"));
  EXPECT_THAT(with_spec("{match: {}}"),
              StartsWith("f.yaml:4:15: \"match\" is empty: hostname: \"*\" takes every"));
  EXPECT_EQ(with_spec("{match: {hostnam: x}}"),
            "f.yaml:4:16: \"match\" has no key \"hostnam\": did you mean \"hostname\"?");
  EXPECT_THAT(with_spec("{match: {agent: '/(/'}}"),
              StartsWith("f.yaml:4:16: /(/ is no regular expression: "));
  EXPECT_THAT(with_spec("{match: {address: 10.0.0.0/99}}"),
              StartsWith("f.yaml:4:16: 10.0.0.0/99 is no network"));
  EXPECT_THAT(with_spec("{match: {os: x}, hosts: [a]}"), HasSubstr("both match and hosts"));
  EXPECT_THAT(with_spec("{hosts: []}"), StartsWith("f.yaml:4:15: \"hosts\" is an empty list"));
  EXPECT_THAT(with_spec("{hosts: [10.0.0.0/4]}"), StartsWith("f.yaml:4:16: "));
  EXPECT_THAT(with_spec("{match: {any: {os: x}}}"), StartsWith("f.yaml:4:16: \"any\" must be a list"));
  EXPECT_THAT(with_spec("{match: {any: [x]}}"),
              StartsWith("f.yaml:4:22: each rule of \"any\" must be a map"));
  EXPECT_THAT(with_spec("{match: {label: {}}}"), StartsWith("f.yaml:4:23: \"label\" names no label"));
}

TEST(ObjectsTest, RefusesBadTests) {
  EXPECT_EQ(error_of_test("{from: a, to: b}"), "f.yaml:2:5: a test needs \"testlet\"");
  EXPECT_EQ(error_of_test("{testlet: ping, to: b}"), "f.yaml:2:5: a test needs \"from\"");
  EXPECT_EQ(error_of_test("{testlet: ping, from: a}"), "f.yaml:2:5: a test needs \"to\"");
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b, parms: {}}"),
            "f.yaml:2:37: a test has no key \"parms\": did you mean \"params\"?");
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b, pairing: rign}"),
            "f.yaml:2:37: \"pairing\" cannot be \"rign\": did you mean \"ring\"?");
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, pairing: pick}"), HasSubstr("{pick: 3}"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, pairing: {pick: 0}}"), HasSubstr("from 1 to"));
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b, family: v5}"),
            "f.yaml:2:37: \"family\" cannot be \"v5\": did you mean \"v4\"?");
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, address: xyz}"),
              StartsWith("f.yaml:2:37: \"address\" must be a network"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: {host: [x]}}"),
              HasSubstr("did you mean \"hosts\"?"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: {hosts: [x], urls: [y]}}"), HasSubstr("not two"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: {}}"),
              HasSubstr("needs one of agent, group, hosts, urls"));
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b, params: {count: }}"),
            "f.yaml:2:53: param \"count\" has no value");
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, params: {x: {y: 1}}}"),
              StartsWith("f.yaml:2:49: param \"x\" holds a map where only text"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, params: {x: {secret: }}}"),
              StartsWith("f.yaml:2:58: param \"x\" has no value"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, params: {x: {secret: a, y: b}}}"),
              HasSubstr("holds a map where only text"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, params: {x: [1, [2]]}}"),
              StartsWith("f.yaml:2:53: param \"x\" holds a list where only text"));
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b, params: {x: [1, \"\"]}}"),
            "f.yaml:2:53: param \"x\": one of its texts is empty");
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, params: {x: [1, \"a\\nb\"]}}"),
              StartsWith("f.yaml:2:53: param \"x\": one of its texts has more than one line"));
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b, params: {x: [1, ]}}"), "no error");
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, expect: [{that: x, severty: warn}]}"),
              HasSubstr("did you mean \"severity\"?"));
  EXPECT_THAT(error_of_test("{testlet: ping, from: a, to: b, expect: [{that: x, severity: wran}]}"),
              HasSubstr("did you mean \"warn\"?"));
  EXPECT_THAT(
      error_of("tests:\n  - testlet: ping\n    from: a\n    to: b\n    expect:\n      - total: loss < 1%\n"),
      "f.yaml:6:9: put quotes around it: \"total: loss < 1%\"");
  EXPECT_THAT(error_of_test("{name: X, testlet: ping, from: a, to: b}"),
              StartsWith("f.yaml:2:6: \"X\" is no name"));
  EXPECT_EQ(error_of_test("{testlet: ping, from: a, to: b}\n  - {testlet: ping, from: a, to: b}"),
            "f.yaml:3:5: two tests are named \"ping\": give each a name of its own");
  EXPECT_EQ(error_of("tests: []"), "f.yaml:1:8: \"tests\" is an empty list");
}

TEST(ObjectsTest, ARingNeedsNoTo) {
  const model::Test test = test_of("{testlet: ping, from: a, pairing: ring}");
  EXPECT_EQ(test.to.values, test.from.values);
}

TEST(ObjectsTest, SplitsDocumentsIntoTheirOwnText) {
  const std::string text = std::string("# comment\n") + kGroups + "---\n" + kSuite;
  const auto definitions = split_definitions(text, "f.yaml");
  ASSERT_TRUE(definitions) << definitions.error().detail;
  ASSERT_EQ(definitions->size(), 5u);
  EXPECT_EQ((*definitions)[0].kind, "Group");
  EXPECT_EQ((*definitions)[0].name, "branches");
  EXPECT_THAT((*definitions)[0].text, StartsWith("# comment\napiVersion"));
  EXPECT_EQ((*definitions)[4].kind, "Suite");
  EXPECT_EQ((*definitions)[4].text, kSuite);
  for (const Definition& definition : *definitions) {
    auto again = split_definitions(definition.text, definition.name);
    ASSERT_TRUE(again) << again.error().detail;
    EXPECT_EQ(again->at(0).name, definition.name);
  }
  EXPECT_THAT(split_definitions("tests: [{}]", "f.yaml").error().detail,
              StartsWith("f.yaml:1:9: a test needs"));
}

TEST(ObjectsTest, ReadsAHostsFile) {
  Group group;
  ASSERT_TRUE(add_hosts(group, "# all\nr1 192.0.2.1\n\n  192.0.2.0/24 # net\r\nexample.net", "hosts.txt"));
  ASSERT_EQ(group.hosts.size(), 3u);
  EXPECT_EQ(group.hosts[0].address, "192.0.2.1");
  EXPECT_EQ(group.hosts[1].name, "192.0.2.0/24");
  EXPECT_EQ(group.hosts[2].name, "example.net");
  EXPECT_THAT(add_hosts(group, "a\na b c\n", "hosts.txt").error().detail,
              StartsWith("hosts.txt:2:1: \"c\" is one word too many"));
}

TEST(ObjectsTest, NamesAreRestricted) {
  EXPECT_TRUE(is_valid_name("a"));
  EXPECT_TRUE(is_valid_name("0.a_b-c"));
  EXPECT_TRUE(is_valid_name(std::string(63, 'a')));
  EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
  EXPECT_FALSE(is_valid_name(""));
  EXPECT_FALSE(is_valid_name("-a"));
  EXPECT_FALSE(is_valid_name("A"));
  EXPECT_FALSE(is_valid_name("a b"));
}

}  // namespace
}  // namespace todd::model
