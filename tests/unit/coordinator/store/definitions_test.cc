#include "coordinator/store/definitions.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace todd::store {
namespace {

constexpr const char* kSuite =
    "tests:\n  - {name: lat, testlet: ping, from: branches, to: branches, pairing: ring}\n";

std::string group(const std::string& name, const std::string& site) {
  return "apiVersion: todd/v1\nkind: Group\nmetadata: {name: " + name +
         "}\nspec:\n  match: {label: {site: \"" + site + "\"}}\n";
}

class DefinitionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "todd_defs_XXXXXX";
    dir = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  void write(const std::string& name, const std::string& text) { std::ofstream(dir + "/" + name) << text; }
  Definitions open() { return Definitions::open(dir).value(); }
  std::string dir;
};

TEST_F(DefinitionsTest, PutSurvivesAndReplaces) {
  auto definitions = open();
  ASSERT_TRUE(definitions.put({"Group", "branches", group("branches", "a*")}));
  const auto put = definitions.put({"Suite", "health", kSuite});
  ASSERT_TRUE(put) << put.error().detail;
  ASSERT_TRUE(definitions.put({"Group", "branches", group("branches", "bb*")}));
  auto again = open();
  ASSERT_EQ(again.list().size(), 2u);
  EXPECT_EQ(again.groups().at(0).match->children.at(0).patterns.at(0), "bb*");
  const auto suite = again.suite("health");
  ASSERT_TRUE(suite) << suite.error().detail;
  EXPECT_EQ(suite->tests.at(0).name, "lat");
}

TEST_F(DefinitionsTest, RefusesWhatIsNotThatObject) {
  auto definitions = open();
  EXPECT_EQ(definitions.put({"Group", "../x", group("branches", "a")}).error().code, Errc::invalid);
  EXPECT_EQ(definitions.put({"Group", "other", group("branches", "a")}).error().code, Errc::invalid);
  EXPECT_FALSE(definitions.put_all({{"Group", "a", group("a", "x")}, {"Group", "b", "kind: ["}}));
  EXPECT_TRUE(definitions.list().empty());
}

TEST_F(DefinitionsTest, ABrokenFileIsNamedAndTheOthersLive) {
  write("a.yaml", group("a", "x"));
  write("b.yaml", "kind: Group\nnonsense: 1\n");
  auto definitions = open();
  EXPECT_EQ(definitions.list().size(), 1u);
  ASSERT_EQ(definitions.broken().size(), 1u);
  EXPECT_NE(definitions.broken()[0].error.find("b.yaml:"), std::string::npos)
      << definitions.broken()[0].error;
}

TEST_F(DefinitionsTest, EditsByHandAreSeenAndABrokenEditKeepsTheLastGoodOne) {
  auto definitions = open();
  ASSERT_TRUE(definitions.put({"Group", "a", group("a", "x")}));
  write("groups/a.yaml", group("a", "longer*"));
  EXPECT_EQ(definitions.groups().at(0).match->children.at(0).patterns.at(0), "longer*");
  write("groups/a.yaml", "kind: Group\n  broken");
  EXPECT_EQ(definitions.groups().at(0).match->children.at(0).patterns.at(0), "longer*");
  EXPECT_EQ(definitions.broken().size(), 1u);
  std::filesystem::remove(dir + "/groups/a.yaml");
  EXPECT_TRUE(definitions.list().empty());
}

TEST_F(DefinitionsTest, AnObjectMayMoveToAnotherFile) {
  write("b.yaml", group("a", "x"));
  auto definitions = open();
  write("a.yaml", group("a", "doubled"));
  EXPECT_EQ(definitions.broken().size(), 1u);
  std::filesystem::remove(dir + "/b.yaml");
  EXPECT_TRUE(definitions.broken().empty());
  EXPECT_EQ(definitions.groups().at(0).match->children.at(0).patterns.at(0), "doubled");
}

TEST_F(DefinitionsTest, ObjectsThatShareAFileCanBeReplacedAndRemoved) {
  write("all.yaml", group("a", "x") + "---\n" + group("b", "y") + "---\n" + group("c", "z"));
  auto definitions = open();
  ASSERT_EQ(definitions.list("Group").size(), 3u);
  ASSERT_TRUE(definitions.remove("Group", "b"));
  ASSERT_TRUE(definitions.put({"Group", "a", group("a", "new")}));
  auto again = open();
  EXPECT_TRUE(again.broken().empty());
  ASSERT_EQ(again.list().size(), 2u);
  EXPECT_EQ(again.groups().at(0).match->children.at(0).patterns.at(0), "new");
  EXPECT_EQ(again.groups().at(1).name, "c");
  EXPECT_EQ(again.remove("Group", "b").error().code, Errc::not_found);
}

}  // namespace
}  // namespace todd::store
