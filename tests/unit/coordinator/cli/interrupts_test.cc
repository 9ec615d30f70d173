#include "coordinator/cli/interrupts.h"

#include <gtest/gtest.h>

namespace todd::cli {
namespace {

TEST(InterruptsTest, SaysWhichOneCame) {
  Interrupts interrupts;
  EXPECT_FALSE(interrupts.take());
  ASSERT_EQ(::raise(SIGTERM), 0);
  EXPECT_TRUE(interrupts.take());
  EXPECT_EQ(interrupts.exit_code(), 143);
  ASSERT_EQ(::raise(SIGINT), 0);
  EXPECT_TRUE(interrupts.take());
  EXPECT_EQ(interrupts.exit_code(), 130);
  EXPECT_FALSE(interrupts.take());
}

// A second Ctrl-C that nobody took ended the process by the signal, when it was unblocked.
TEST(InterruptsTest, OneThatWasNotTakenDoesNoHarmAfterwards) {
  {
    const Interrupts interrupts;
    ASSERT_EQ(::raise(SIGINT), 0);
    ASSERT_EQ(::raise(SIGTERM), 0);
  }
  SUCCEED();
}

}  // namespace
}  // namespace todd::cli
