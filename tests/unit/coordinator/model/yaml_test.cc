#include "coordinator/model/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::model {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string error_of(std::string_view text, const YamlLimits& limits = {}) {
  auto nodes = parse_yaml(text, "f.yaml", limits);
  return nodes ? "no error" : nodes.error().detail;
}

TEST(YamlTest, KeepsOrderTextQuotesAndPlaces) {
  const auto nodes = parse_yaml("b: 'x y'\na:\n  - 1\n  - {c: \"2\"}\n", "f.yaml");
  ASSERT_TRUE(nodes);
  ASSERT_EQ(nodes->size(), 1u);
  const Node& root = (*nodes)[0];
  ASSERT_TRUE(root.is_map());
  EXPECT_EQ(root.keys[0].text, "b");
  EXPECT_EQ(root.keys[1].text, "a");
  EXPECT_EQ(root.keys[1].position, (Position{2, 1}));
  EXPECT_TRUE(root.find("b")->quoted);
  EXPECT_EQ(root.find("b")->text, "x y");
  const Node& list = *root.find("a");
  ASSERT_TRUE(list.is_list());
  EXPECT_EQ(list.items[0].text, "1");
  EXPECT_FALSE(list.items[0].quoted);
  EXPECT_EQ(list.items[0].position, (Position{3, 5}));
  EXPECT_TRUE(list.items[1].find("c")->quoted);
  EXPECT_EQ(root.find("missing"), nullptr);
}

TEST(YamlTest, ReadsJson) {
  const auto nodes = parse_yaml(R"({"a": [1, true, null, "x\u00e9"]})", "f.json");
  ASSERT_TRUE(nodes);
  const Node& list = *(*nodes)[0].find("a");
  EXPECT_EQ(list.items[3].text, "xé");
  EXPECT_TRUE(list.items[2].is_null());
  EXPECT_FALSE(list.items[3].is_null());
}

TEST(YamlTest, PassesOverEmptyDocumentsAndKnowsWhereEachBegins) {
  const std::string text = "# one\na: 1\n---\n---\nb: 2\n";
  const auto nodes = parse_yaml(text, "f.yaml");
  ASSERT_TRUE(nodes);
  ASSERT_EQ(nodes->size(), 2u);
  EXPECT_EQ((*nodes)[0].first_byte, 0u);
  EXPECT_EQ(text.substr((*nodes)[1].first_byte), "---\nb: 2\n");
  EXPECT_TRUE(parse_yaml("", "f.yaml")->empty());
  EXPECT_TRUE(parse_yaml("# only this\n", "f.yaml")->empty());
}

TEST(YamlTest, RefusesWithThePlace) {
  EXPECT_EQ(error_of("a: 1\nb: 2\na: 3\n"), "f.yaml:3:1: \"a\" is given twice");
  EXPECT_THAT(error_of("a: &x 1\n"), StartsWith("f.yaml:1:4: anchors"));
  EXPECT_THAT(error_of("a: *x\n"), StartsWith("f.yaml:1:4: aliases"));
  EXPECT_THAT(error_of("a: !!int 1\n"), StartsWith("f.yaml:1:4: tags"));
  EXPECT_THAT(error_of("a: 1\n? [b]\n: 2\n"), StartsWith("f.yaml:2:3: a key must be text, not a list"));
  EXPECT_EQ(error_of("a: [1,\nb"),
            "f.yaml:3:1: did not find expected ',' or ']' while parsing a flow sequence");
  EXPECT_THAT(error_of("a:\n\t- 1\n"), StartsWith("f.yaml:2:1: "));
  EXPECT_THAT(error_of("a: 1\nb: \xff\n"), StartsWith("f.yaml:2:4: "));
}

TEST(YamlTest, KeepsItsLimits) {
  EXPECT_EQ(error_of("abcdef", {.max_bytes = 5}),
            "f.yaml:1:1: 6 bytes are more than the limit of 5: split the file");
  EXPECT_EQ(error_of("[[[1]]]", {.max_depth = 3}), "f.yaml:1:4: nested deeper than 3");
  EXPECT_EQ(error_of("[[1]]", {.max_depth = 3}), "no error");
  EXPECT_THAT(error_of("[1, 2, 3]", {.max_nodes = 3}), StartsWith("f.yaml:1:8: more than 3 values"));
  EXPECT_EQ(parse_yaml("[1, 2, 3]", "f", {.max_nodes = 3}).error().code, Errc::exhausted);
  // Quadratic in libyaml (30 s) unless stopped at the depth limit.
  EXPECT_THAT(error_of(std::string(100'000, '[')), HasSubstr("nested deeper than 64"));
}

}  // namespace
}  // namespace todd::model
