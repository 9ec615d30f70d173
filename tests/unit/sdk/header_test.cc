// The two headers a testlet author includes compile in every language they promise, without a warning.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <string>

#include "tests/unit/sdk/command.h"

namespace todd {
namespace {

using test::Ran;
using test::run;

const std::string kSource = TODD_SOURCE_DIR;
const std::string kFlags =
    " -fsyntax-only -pedantic -Wall -Wextra -Wpadded -Werror -I" + kSource + "/sdk/include ";

class HeaderTest : public testing::TestWithParam<const char*> {};

TEST_P(HeaderTest, CompilesWithItsLayoutUnchanged) {
  const Ran ran = run(std::string(GetParam()) + kFlags + kSource + "/tests/unit/sdk/layout.c");
  EXPECT_EQ(ran.status, 0) << ran.output;
}

INSTANTIATE_TEST_SUITE_P(Standards, HeaderTest,
                         testing::Values("cc -std=c99 -x c", "cc -std=c11 -x c", "cc -std=c17 -x c",
                                         "c++ -std=c++11 -x c++", "c++ -std=c++14 -x c++",
                                         "c++ -std=c++17 -x c++", "c++ -std=c++20 -x c++"));

TEST(CppHeaderTest, CompilesAloneAsCpp17) {
  const Ran ran =
      run("printf '#include \"todd/testlet.hpp\"\\n' | c++ -std=c++17 -fsyntax-only -pedantic -Wall -Wextra "
          "-Wshadow -Wold-style-cast -Werror -I" +
          kSource + "/sdk/include -x c++ -");
  EXPECT_EQ(ran.status, 0) << ran.output;
}

// The check checks: with one field more in a frozen record, that record's lines and no others stop compiling.
TEST(LayoutCheckTest, NoticesAChange) {
  const std::string folder = testing::TempDir() + "layout" + std::to_string(getpid());
  const Ran made =
      run("mkdir -p " + folder + "/todd && sed 's/^} todd_op;/  uint64_t grown;\\n} todd_op;/' " + kSource +
          "/sdk/include/todd/testlet.h > " + folder + "/todd/testlet.h && grep -c grown " + folder +
          "/todd/testlet.h");
  ASSERT_EQ(made.output, "1\n");
  const Ran ran =
      run("cc -std=c99 -x c -fsyntax-only -I" + folder + " " + kSource + "/tests/unit/sdk/layout.c");
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.output, testing::HasSubstr("layout_op"));
  EXPECT_THAT(ran.output, testing::Not(testing::HasSubstr("layout_done")));
  EXPECT_EQ(run("rm -r " + folder).status, 0);
}

}  // namespace
}  // namespace todd
