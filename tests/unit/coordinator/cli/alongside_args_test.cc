#include "coordinator/cli/alongside_args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(AlongsideArgsTest, ReadsATestletItsTimesAndParams) {
  const auto plain = parse_alongside("ping");
  ASSERT_TRUE(plain) << plain.error().detail;
  EXPECT_EQ(plain->testlet, "ping");
  EXPECT_EQ(plain->name, "ping");
  EXPECT_EQ(plain->before_ns, 2'000'000'000);
  EXPECT_THAT(plain->params, IsEmpty());
  const auto full = parse_alongside(" ping  mode=udp before=0 after=500ms name=far header=a=b ");
  ASSERT_TRUE(full) << full.error().detail;
  EXPECT_EQ(full->name, "far");
  EXPECT_EQ(full->before_ns, 0);
  EXPECT_EQ(full->after_ns, 500'000'000);
  EXPECT_EQ(full->params, (std::map<std::string, std::string>{{"mode", "udp"}, {"header", "a=b"}}));
}

TEST(AlongsideArgsTest, RefusesWhatItCannotRead) {
  const auto error = [](const std::string& text) {
    const auto test = parse_alongside(text);
    return test ? "no error" : test.error().detail;
  };
  EXPECT_EQ(error(""), "--alongside \"\": begin with a testlet, as in \"ping interval=10ms\"");
  EXPECT_THAT(error("interval=10ms"), HasSubstr("begin with a testlet"));
  EXPECT_THAT(error("ping fast"), HasSubstr("\"fast\" is no PARAM=VALUE"));
  EXPECT_THAT(error("ping =5"), HasSubstr("\"=5\" is no PARAM=VALUE"));
  EXPECT_THAT(error("ping size="), HasSubstr("\"size=\" is no PARAM=VALUE"));
  EXPECT_THAT(error("ping before=2"), HasSubstr("before: \"2\": 2 what?"));
  EXPECT_THAT(error("ping after=2h"), HasSubstr("after: 2h is out of range, allowed 0 to 1h"));
  EXPECT_THAT(error("ping name=A"), HasSubstr("\"A\" is no name"));
}

// What `try --from` sends is read as what was typed.
TEST(AlongsideArgsTest, IsReadBackFromASuite) {
  const auto test = parse_alongside("ping before=1500ms mode=udp password=secret:db payload=a\"b: c");
  ASSERT_FALSE(test);
  const auto good = parse_alongside("ping before=1500ms mode=udp password=secret:db payload=a\"b:c");
  ASSERT_TRUE(good) << good.error().detail;
  const auto suite = model::parse_documents(
      "tests: [{testlet: iperf, from: a, to: b, alongside: [" + alongside_yaml(*good) + "]}]", "f.yaml");
  ASSERT_TRUE(suite) << suite.error().detail;
  const model::Test& read = suite->suites.at(0).tests.at(0).alongside.at(0);
  EXPECT_EQ(read.testlet, "ping");
  EXPECT_EQ(read.before_ns, 1'500'000'000);
  EXPECT_EQ(read.after_ns, 1'000'000'000);
  EXPECT_EQ(read.params, good->params);
  EXPECT_EQ(read.param_forms.at("password"), model::ParamForm::secret);
}

}  // namespace
}  // namespace todd::cli
