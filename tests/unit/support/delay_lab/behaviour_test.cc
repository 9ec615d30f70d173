#include "tests/support/delay_lab/behaviour.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace todd::delay_lab {
namespace {

constexpr int64_t kMs = 1'000'000;

Behaviour behaviour(std::string_view rules) { return Behaviour(parse_rules(rules).value()); }
Address at(const char* text) { return *parse_address(text); }

// What became of `count` requests to the address, one a ms from 0.
std::vector<std::vector<Action>> requests(Behaviour& lab, const char* address, int count) {
  std::vector<std::vector<Action>> fates;
  for (int i = 0; i < count; ++i) fates.push_back(lab.decide(at(address), i * kMs));
  return fates;
}

// One letter a request: r reply, R reply and duplicate, d dropped, f frozen, i icmp.
std::string letters(const std::vector<std::vector<Action>>& fates) {
  std::string text;
  for (const auto& actions : fates) {
    switch (actions[0].event) {
      case Event::reply: text += actions.size() == 2 ? 'R' : 'r'; break;
      case Event::dropped: text += 'd'; break;
      case Event::frozen: text += 'f'; break;
      case Event::icmp: text += 'i'; break;
      case Event::duplicate: text += '?'; break;
      case Event::passed: text += '?'; break;
    }
  }
  return text;
}

TEST(BehaviourTest, TheLongestPrefixDecides) {
  auto lab = behaviour("10.0.0.0/8 delay 1ms\n10.64.0.0/16 delay 2ms\n10.64.0.1 delay 3ms");
  EXPECT_EQ(lab.decide(at("10.1.1.1"), 0)[0].due_ns, 1 * kMs);
  EXPECT_EQ(lab.decide(at("10.64.9.9"), 0)[0].due_ns, 2 * kMs);
  EXPECT_EQ(lab.decide(at("10.64.0.1"), 0)[0].due_ns, 3 * kMs);
  EXPECT_FALSE(lab.owns(at("11.0.0.1")));
  EXPECT_FALSE(lab.owns(at("fd64::1")));
}

TEST(BehaviourTest, AnIPv6PrefixOfZeroDoesNotOwnIPv4) {
  auto lab = behaviour("::/0 delay 1ms");
  EXPECT_TRUE(lab.owns(at("fd64::1")));
  EXPECT_FALSE(lab.owns(at("10.0.0.1")));
}

TEST(BehaviourTest, EveryNthIsCountedPerAddress) {
  auto lab = behaviour("10.0.0.0/24 drop every 3 duplicate every 2");
  EXPECT_EQ(letters(requests(lab, "10.0.0.1", 7)), "rRdRrdr");
  EXPECT_EQ(letters(requests(lab, "10.0.0.2", 3)), "rRd");
}

TEST(BehaviourTest, TheFirstSoManyAreCountedPerAddress) {
  auto lab = behaviour("10.0.0.0/24 drop first 2 duplicate every 2 first 4");
  EXPECT_EQ(letters(requests(lab, "10.0.0.1", 6)), "ddrRrr");
  EXPECT_EQ(letters(requests(lab, "10.0.0.2", 1)), "d");
}

TEST(BehaviourTest, TheWayBackIsApart) {
  auto lab = behaviour("10.0.0.1 delay 1ms drop every 2 drop first 1 back");
  std::string there, back;
  for (int i = 0; i < 4; ++i) {
    there += lab.decide(at("10.0.0.1"), 0)[0].event == Event::dropped ? 'd' : 'r';
    const auto action = lab.decide(at("10.0.0.1"), 0, true)[0];
    back += action.event == Event::dropped ? 'd' : 'r';
    EXPECT_EQ(action.due_ns, 1 * kMs);
  }
  EXPECT_EQ(there, "rdrd");
  EXPECT_EQ(back, "drrr");
}

TEST(BehaviourTest, ProbabilitiesFollowFromTheSeed) {
  const auto drops = [](const char* seed) {
    auto lab = behaviour(std::string("10.0.0.1 drop 20% seed ") + seed);
    return letters(requests(lab, "10.0.0.1", 1000));
  };
  const auto once = drops("1");
  EXPECT_EQ(once, drops("1"));
  EXPECT_NE(once, drops("2"));
  EXPECT_NEAR(static_cast<double>(std::count(once.begin(), once.end(), 'd')), 200, 60);
}

TEST(BehaviourTest, ADelayIsUniformWithinItsBounds) {
  auto lab = behaviour("10.0.0.1 delay 2ms..4ms");
  int64_t least = INT64_MAX, most = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto due = lab.decide(at("10.0.0.1"), 0)[0].due_ns;
    least = std::min(least, due);
    most = std::max(most, due);
  }
  EXPECT_GE(least, 2 * kMs);
  EXPECT_LE(most, 4 * kMs);
  EXPECT_LT(least, 2 * kMs + kMs / 20);
  EXPECT_GT(most, 4 * kMs - kMs / 20);
}

TEST(BehaviourTest, HeldAndDuplicatedAreLater) {
  auto lab = behaviour("10.0.0.1 delay 1ms hold every 2 for 20ms duplicate every 2 after 3ms");
  EXPECT_EQ(lab.decide(at("10.0.0.1"), 0)[0].due_ns, 1 * kMs);
  const auto second = lab.decide(at("10.0.0.1"), 0);
  ASSERT_EQ(second.size(), 2u);
  EXPECT_EQ(second[0].due_ns, 21 * kMs);
  EXPECT_EQ(second[1].event, Event::duplicate);
  EXPECT_EQ(second[1].due_ns, 24 * kMs);
}

TEST(BehaviourTest, AFreezeReleasesAtItsEndWhatItHeld) {
  auto lab = behaviour("10.0.0.1 delay 1ms freeze 3ms every 10ms");
  const auto fates = requests(lab, "10.0.0.1", 12);
  std::vector<int64_t> due;
  for (const auto& actions : fates) due.push_back(actions[0].due_ns / kMs);
  EXPECT_THAT(due, testing::ElementsAre(1, 2, 3, 4, 5, 6, 10, 10, 10, 10, 11, 12));
}

TEST(BehaviourTest, AFreezeThatDropsLosesWhatIsDueInIt) {
  auto lab = behaviour("10.0.0.1 delay 1ms freeze 3ms every 10ms dropping");
  EXPECT_EQ(letters(requests(lab, "10.0.0.1", 12)), "rrrrrrfffrrr");
}

TEST(BehaviourTest, TheAddressesOfARuleFreezeTogether) {
  auto lab = behaviour("10.0.0.0/24 freeze 3ms every 10ms dropping");
  EXPECT_EQ(lab.decide(at("10.0.0.1"), 100 * kMs)[0].event, Event::reply);
  EXPECT_EQ(lab.decide(at("10.0.0.2"), 108 * kMs)[0].event, Event::frozen);
}

TEST(BehaviourTest, ErrorsTakeThePlaceOfReplies) {
  auto lab = behaviour("10.0.0.1 icmp 3/1 every 2 drop every 4");
  EXPECT_EQ(letters(requests(lab, "10.0.0.1", 4)), "rird");
}

}  // namespace
}  // namespace todd::delay_lab
