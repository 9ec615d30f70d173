#include "plugins/http/secrets.h"

#include <gtest/gtest.h>

namespace todd::http {
namespace {

TEST(SecretsTest, AreHiddenInEveryEncodingOfUrlsAndForms) {
  Secrets secrets;
  EXPECT_TRUE(secrets.empty());
  secrets.add("");
  EXPECT_TRUE(secrets.empty());
  secrets.add("p\xc3\xa4ss w%rt/");
  for (const char* text : {"p\xc3\xa4ss w%rt/", "p%C3%A4ss%20w%25rt%2F", "p%c3%a4ss+w%rt/",
                           "p\xc3%a4ss+w%25rt%2f", "%70%C3%A4%73%73%20%77%25%72%74%2F"})
    EXPECT_EQ(secrets.hide("a" + std::string(text) + text + "z"), "a******z") << text;
  for (const char* text : {"", "p", "p%C3", "p%C3%A4ss", "p%C3%A4ss%", "p%C3%A4ss%2", "p%+3%A4ss+w%rt/"})
    EXPECT_EQ(secrets.hide(text), text);
}

TEST(SecretsTest, OneThatIsAPartOfAnotherLeavesNothingOfThat) {
  Secrets secrets;
  secrets.add("sesam");
  secrets.add("sesam-open");
  EXPECT_EQ(secrets.hide("sesam sesam-open sesa"), "*** *** sesa");
}

TEST(SecretsTest, AnEscapeInASecretIsNoEscape) {
  Secrets secrets;
  secrets.add("a%41b");
  EXPECT_EQ(secrets.hide("a%41b a%2541b aAb"), "*** *** aAb");
}

}  // namespace
}  // namespace todd::http
