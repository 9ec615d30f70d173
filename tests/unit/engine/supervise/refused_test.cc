// Targets that the agent's owner refuses, through a real worker.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor_fixture.h"

namespace todd::supervise {
namespace {

using testing::HasSubstr;

class RefusedTest : public SupervisorBooks {
 protected:
  void SetUp() override {
    start({.worker_binary = TODD_BINARY_DIR "/bin/todd-worker",
           .testlet_folders = {TODD_BINARY_DIR "/tests/testlets"}});
  }
  v1::Task to(const std::vector<std::string>& hosts, const std::vector<std::string>& refused) {
    v1::Task task = task_of("t", "teller", v1::SOURCE, {});
    task.mutable_schedule()->set_duration_ns(1'000'000);
    for (const auto& host : hosts) task.add_targets()->set_host(host);
    for (const auto& one : refused) task.add_refuse_targets(one);
    return task;
  }
  // "EDGE+EDGES: REASON: ERROR" of those that are not tested.
  std::vector<std::string> errors() {
    std::vector<std::string> out;
    for (const auto& one : books_["t"].endpoints)
      if (!one.error().empty())
        out.push_back(fmt::format("{}+{}: {}: {}", one.edge(), one.edges(), one.reason(), one.error()));
    return out;
  }
};

TEST_F(RefusedTest, TheEdgeIsDeniedAndTheOthersGoOn) {
  auto& book =
      run(to({"192.0.2.1", "10.1.2.3", "192.0.2.2", "::ffff:10.9.9.9"}, {"10.0.0.0/8", "192.0.2.2"}));
  ASSERT_TRUE(book.ready) << book.detail;
  const std::string where = "in refuse-targets of the agent's configuration";
  EXPECT_THAT(errors(),
              testing::ElementsAre("1+1: denied: 10.1.2.3 is refused by 10.0.0.0/8, " + where,
                                   "2+1: denied: 192.0.2.2 is refused, " + where,
                                   "3+1: denied: ::ffff:10.9.9.9 is refused by 10.0.0.0/8, " + where));
  EXPECT_EQ(book.state, "complete");
}

TEST_F(RefusedTest, OfANetworkThoseInTheRuleAreToldAtOnce) {
  auto& book = run(to({"10.0.0.0/22", "192.0.2.1"}, {"10.0.1.0/24", "10.0.3.7"}));
  ASSERT_TRUE(book.ready) << book.detail;
  ASSERT_EQ(errors().size(), 2u);  // edge 0 is 10.0.0.1
  EXPECT_THAT(errors()[0], HasSubstr("255+256: denied: 10.0.1.0-10.0.1.255 is refused by 10.0.1.0/24"));
  EXPECT_THAT(errors()[1], HasSubstr("774+1: denied: 10.0.3.7 is refused"));
}

TEST_F(RefusedTest, ANameIsJudgedByWhereItLeads) {
  auto& book = run(to({"localhost", "192.0.2.1"}, {"127.0.0.0/8", "::1"}));
  ASSERT_TRUE(book.ready) << book.detail;
  ASSERT_EQ(errors().size(), 1u);
  EXPECT_THAT(errors()[0], HasSubstr("0+1: denied: "));
  EXPECT_NE(book.endpoints.at(0).address(), "");
}

TEST_F(RefusedTest, WithoutAnyTargetLeftTheTaskIsRefused) {
  const auto& book = run(to({"10.0.0.0/12"}, {"10.0.0.0/8"}));
  EXPECT_TRUE(book.failed);
  EXPECT_EQ(book.reason, "denied");
  EXPECT_EQ(
      book.detail,
      "10.0.0.1-10.15.255.254 is refused by 10.0.0.0/8, in refuse-targets of the agent's configuration");
}

TEST_F(RefusedTest, ARuleThatIsNoneRefusesAll) {
  const auto& book = run(to({"192.0.2.1"}, {"everything"}));
  EXPECT_TRUE(book.failed);
  EXPECT_THAT(book.detail, HasSubstr("\"everything\" is no network"));
}

}  // namespace
}  // namespace todd::supervise
