#include "coordinator/cli/document.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace todd::cli {
namespace {

TEST(DocumentTest, AFileThatIsMissingOrTooLongIsAWrongWord) {
  EXPECT_EQ(read_document("/nowhere/suite.yaml").error().code, Errc::invalid);
  char path[] = "/tmp/todd-document-XXXXXX";
  const int fd = ::mkstemp(path);
  ASSERT_EQ(::ftruncate(fd, (8 << 20) + 1), 0);
  const auto document = read_document(path);
  ::close(fd);
  std::remove(path);
  ASSERT_FALSE(document);
  EXPECT_EQ(document.error().code, Errc::invalid);
  EXPECT_NE(document.error().detail.find(path), std::string::npos);
}

TEST(DocumentTest, WithoutPlace) {
  EXPECT_EQ(without_place("try:0:0: no", "try"), "no");
  EXPECT_EQ(without_place("try:6:17: a: b", "try"), "a: b");
  for (const char* other : {"", "try", "try:", "try:6", "try:6:7", "trying: no", "f.yaml:6:7: no"}) {
    EXPECT_EQ(without_place(other, "try"), other);
  }
}

}  // namespace
}  // namespace todd::cli
