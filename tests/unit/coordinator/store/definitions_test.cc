#include "coordinator/store/definitions.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/base/files.h"

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
  std::string read(const std::string& name) { return read_file(dir + "/" + name).value_or("(nothing)"); }
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

TEST_F(DefinitionsTest, AFileOfAnotherObjectIsNotWrittenOver) {
  auto definitions = open();
  write("groups/core.yaml", group("edge", "mine"));
  const auto refused = definitions.put({"Group", "core", group("core", "x")});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::exists);
  EXPECT_NE(refused.error().detail.find(
                "groups/core.yaml, which holds group \"edge\"; give that file another name"),
            std::string::npos)
      << refused.error().detail;
  EXPECT_EQ(read("groups/core.yaml"), group("edge", "mine"));
  // None of several, where one is in the way.
  EXPECT_FALSE(definitions.put_all({{"Group", "a", group("a", "x")}, {"Group", "core", group("core", "x")}}));
  EXPECT_EQ(definitions.list().size(), 1u);
  // Nor does taking a shared file apart.
  write("all.yaml", group("core", "y") + "---\n" + group("b", "y"));
  EXPECT_EQ(definitions.remove("Group", "b").error().code, Errc::exists);
  EXPECT_EQ(definitions.put({"Group", "b", group("b", "z")}).error().code, Errc::exists);
  EXPECT_EQ(read("groups/core.yaml"), group("edge", "mine"));
  std::filesystem::rename(dir + "/groups/core.yaml", dir + "/groups/edge.yaml");
  EXPECT_TRUE(definitions.remove("Group", "b"));
  EXPECT_EQ(definitions.list().size(), 2u);
}

TEST_F(DefinitionsTest, AnEditThatCannotBeReadIsNotWrittenOver) {
  const std::string good = group("a", "x") + "---\n" + group("b", "y");
  write("all.yaml", good);
  auto definitions = open();
  ASSERT_EQ(definitions.list().size(), 2u);
  const std::string edit = good + "---\nkind: Grou";
  write("all.yaml", edit);
  for (const auto& refused :
       {definitions.put({"Group", "a", group("a", "new")}), definitions.remove("Group", "b")}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::exists);
    EXPECT_NE(refused.error().detail.find("all.yaml, whose last edit cannot be read"), std::string::npos)
        << refused.error().detail;
  }
  EXPECT_EQ(read("all.yaml"), edit);
  // A file that never held anything good is not written over either.
  write("groups/c.yaml", "kind: [");
  EXPECT_EQ(definitions.put({"Group", "c", group("c", "x")}).error().code, Errc::exists);
  EXPECT_EQ(read("groups/c.yaml"), "kind: [");
  write("all.yaml", good);
  EXPECT_TRUE(definitions.remove("Group", "b"));
  EXPECT_EQ(definitions.list().size(), 1u);
}

TEST_F(DefinitionsTest, FilesOfEveryUsualEndingAreRead) {
  const std::string json = R"({"apiVersion": "todd/v1", "kind": "Group", "metadata": {"name": "j"},
                               "spec": {"match": {"agent": "x"}}})";
  auto definitions = open();
  write("groups/j.json", json);
  write("suites/health.yml", kSuite);
  EXPECT_EQ(definitions.list().size(), 2u);
  ASSERT_EQ(definitions.suites().size(), 1u);
  EXPECT_EQ(definitions.suites()[0].name, "health");
  write("groups/k.json", "{");
  EXPECT_EQ(definitions.broken().size(), 1u);
  // What is written is YAML and goes where YAML is expected.
  ASSERT_TRUE(definitions.put({"Group", "j", group("j", "y")}));
  EXPECT_EQ(read("groups/j.yaml"), group("j", "y"));
  EXPECT_FALSE(std::filesystem::exists(dir + "/groups/j.json"));
  ASSERT_TRUE(definitions.put({"Suite", "health", std::string(kSuite) + "# new\n"}));
  EXPECT_EQ(read("suites/health.yml"), std::string(kSuite) + "# new\n");
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
