#include "tests/support/delay_lab/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::delay_lab {
namespace {

using testing::HasSubstr;

std::string refusal(std::string_view text) {
  const auto rules = parse_rules(text);
  return rules ? "accepted" : rules.error().detail;
}

TEST(RulesTest, ReadsEveryWord) {
  const auto rules = parse_rules(
      "# a comment\n"
      "10.64.0.0/16 delay 1ms..5ms seed 9 freeze 500ms every 5s dropping\n"
      "\n"
      "10.64.0.1 drop 10% duplicate every 5 after 1ms hold every 3 for 20ms corrupt at 4 # trailing\n"
      "fd64::1 truncate 12 every 2 from fd64::2 icmp 2/0 by fd64::9 mtu 1400\n");
  ASSERT_TRUE(rules) << rules.error().detail;
  ASSERT_EQ(rules->size(), 3u);
  const auto& v4 = (*rules)[0];
  EXPECT_EQ(v4.prefix.address.text(), "10.64.0.1");
  ASSERT_EQ(v4.effects.size(), 4u);
  EXPECT_EQ(v4.effects[0].which.ratio, 0.1);
  EXPECT_EQ(v4.effects[1].which.every, 5u);
  EXPECT_EQ(v4.effects[1].ns, 1'000'000);
  EXPECT_EQ(v4.effects[2].ns, 20'000'000);
  EXPECT_EQ(v4.effects[3].position, 4);
  const auto& v6 = (*rules)[1];
  ASSERT_EQ(v6.effects.size(), 3u);
  EXPECT_EQ(v6.effects[0].position, 12);
  EXPECT_EQ(v6.effects[0].which.every, 2u);
  EXPECT_EQ(v6.effects[1].address->text(), "fd64::2");
  EXPECT_EQ(v6.effects[2].type, 2);
  EXPECT_EQ(v6.effects[2].mtu, 1400u);
  EXPECT_EQ(v6.effects[2].address->text(), "fd64::9");
  const auto& range = (*rules)[2];
  EXPECT_EQ(range.delay_min_ns, 1'000'000);
  EXPECT_EQ(range.delay_max_ns, 5'000'000);
  EXPECT_EQ(range.seed, 9u);
  EXPECT_EQ(range.freeze->length_ns, 500'000'000);
  EXPECT_TRUE(range.freeze->drops);
}

TEST(RulesTest, RefusesWithTheLineAndWhatWouldDo) {
  EXPECT_THAT(refusal(""), HasSubstr("no rule"));
  EXPECT_THAT(refusal("10.0.0.1 delay 1ms\n10.0.0.2 dealy 2ms"),
              testing::AllOf(HasSubstr("rule 2"), HasSubstr("'dealy' is none of")));
  EXPECT_THAT(refusal("10.0.0.1/8"), HasSubstr("bits beyond"));
  EXPECT_THAT(refusal("10.0.0.0/33"), HasSubstr("0 to 32"));
  EXPECT_THAT(refusal("host delay 1ms"), HasSubstr("'host' is no address"));
  EXPECT_THAT(refusal("10.0.0.1 delay 5ms..1ms"), HasSubstr("1ms..5ms would be"));
  EXPECT_THAT(refusal("10.0.0.1 delay 5"), HasSubstr("5"));
  EXPECT_THAT(refusal("10.0.0.1 delay"), HasSubstr("more is expected"));
  EXPECT_THAT(refusal("10.0.0.1 drop every 0"), HasSubstr("1.."));
  EXPECT_THAT(refusal("10.0.0.1 drop 101%"), HasSubstr("101%"));
  EXPECT_THAT(refusal("10.0.0.1 icmp 3"), HasSubstr("3/1 would be"));
  EXPECT_THAT(refusal("10.0.0.1 from fd64::1"), HasSubstr("other family"));
  EXPECT_THAT(refusal("10.0.0.1 hold every 2"), HasSubstr("for DURATION"));
  EXPECT_THAT(refusal("10.0.0.1 freeze 5s every 1s"), HasSubstr("shorter than its period"));
  EXPECT_THAT(refusal("10.0.0.1 drop at 3"), HasSubstr("'at' is none of"));
  EXPECT_THAT(refusal("10.0.0.1\n10.0.0.1"), HasSubstr("already"));
}

TEST(RulesTest, ARelayIsToldNothingThatItCannotDo) {
  const auto refusal_of = [](std::string_view text, bool relays) {
    const auto good = check_rules(*parse_rules(text), relays);
    return good ? "accepted" : good.error().detail;
  };
  const auto* lossy =
      "10.0.0.1 delay 1ms drop first 1 duplicate every 3 back hold 1% for 1ms freeze 1ms every 1s";
  EXPECT_EQ(refusal_of(lossy, true), "accepted");
  EXPECT_THAT(refusal_of(lossy, false), HasSubstr("10.0.0.1: 'back' is for a relay"));
  EXPECT_THAT(refusal_of("10.0.0.1 corrupt", true), HasSubstr("10.0.0.1: a relay can drop"));
  EXPECT_EQ(refusal_of("10.0.0.1 corrupt", false), "accepted");
}

TEST(RulesTest, APrefixHoldsWhatItShould) {
  const auto holds = [](const char* prefix, const char* address) {
    return parse_prefix(prefix)->contains(*parse_address(address));
  };
  EXPECT_TRUE(holds("10.64.0.0/10", "10.127.255.255"));
  EXPECT_FALSE(holds("10.64.0.0/10", "10.128.0.0"));
  EXPECT_TRUE(holds("0.0.0.0/0", "255.1.2.3"));
  EXPECT_TRUE(holds("fd64::/63", "fd64:0:0:1::5"));
  EXPECT_FALSE(holds("fd64::/64", "fd64:0:0:1::5"));
  EXPECT_TRUE(holds("10.0.0.1", "10.0.0.1"));
}

}  // namespace
}  // namespace todd::delay_lab
