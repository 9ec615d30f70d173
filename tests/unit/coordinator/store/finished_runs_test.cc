#include "coordinator/store/finished_runs.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace todd::store {
namespace {

FinishedRuns::ReportPtr report(const std::string& id) {
  model::Report out;
  out.id = id;
  out.suite = "health";
  out.state = model::RunState::partial;
  out.verdict = model::Verdict::unknown;
  out.started_at_ns = 1'700'000'000'000'000'000;
  out.tests.emplace_back();
  out.tests[0].name = "lat";
  out.delivery = {{"tsdb", "pending", 5, 0, 0}};
  return std::make_shared<const model::Report>(std::move(out));
}

class FinishedRunsTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "todd_runs_XXXXXX";
    dir = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(dir); }
  std::string dir;
};

TEST_P(FinishedRunsTest, KeepsTheLastOnes) {
  auto runs = FinishedRuns::open(GetParam() ? dir : "", {.keep_runs = 2}).value();
  for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(runs.put(report(id)));
  EXPECT_EQ(runs.list().size(), 2u);
  EXPECT_EQ(runs.get("a").error().code, Errc::not_found);
  EXPECT_EQ((*runs.get("c"))->tests.at(0).name, "lat");
  ASSERT_TRUE(runs.set_delivery("c", {{"tsdb", "delivered", 0, 5, 0}}));
  EXPECT_EQ((*runs.get("c"))->delivery.at(0).state, "delivered");
  EXPECT_EQ(runs.list().at("c").verdict, model::Verdict::unknown);
}
TEST_P(FinishedRunsTest, ARunCanBeRemovedForGood) {
  auto runs = FinishedRuns::open(GetParam() ? dir : "").value();
  for (const char* id : {"a", "b"}) ASSERT_TRUE(runs.put(report(id)));
  ASSERT_TRUE(runs.remove("a"));
  EXPECT_EQ(runs.remove("a").error().code, Errc::not_found);
  EXPECT_EQ(runs.get("a").error().code, Errc::not_found);
  EXPECT_EQ(runs.set_delivery("a", {}).error().code, Errc::not_found);
  ASSERT_EQ(runs.list().size(), 1u);
  EXPECT_EQ(FinishedRuns::open(dir)->list().size(), GetParam() ? 1u : 0u);
}
INSTANTIATE_TEST_SUITE_P(FileAndMemory, FinishedRunsTest, ::testing::Bool());

TEST_F(FinishedRunsTest, SurviveARestartAndDamage) {
  {
    auto runs = FinishedRuns::open(dir).value();
    ASSERT_TRUE(runs.put(report("a")));
    ASSERT_TRUE(runs.put(report("b")));
  }
  std::ofstream(dir + "/b.run") << "nonsense\n";
  auto runs = FinishedRuns::open(dir).value();
  ASSERT_EQ(runs.list().size(), 1u);
  EXPECT_EQ(runs.list().at("a").state, model::RunState::partial);
  EXPECT_EQ((*runs.get("a"))->delivery.at(0).pending, 5u);
}

TEST_F(FinishedRunsTest, BytesAreBoundedButTheNewestStays) {
  auto runs = FinishedRuns::open("", {.keep_bytes = 10}).value();
  ASSERT_TRUE(runs.put(report("a")));
  ASSERT_TRUE(runs.put(report("b")));
  EXPECT_EQ(runs.list().size(), 1u);
  EXPECT_EQ(runs.list().count("b"), 1u);
}

}  // namespace
}  // namespace todd::store
