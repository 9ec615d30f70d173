#include "fleet_fixture.h"

#include "coordinator/fleet/tokens.h"
#include "engine/io/pki.h"

namespace todd::fleet {
namespace {
using EnrolmentTest = FleetTest;

TEST_F(EnrolmentTest, ATokenLetsOneAgentIn) {
  const io::JoinToken token = invite();
  const auto first = enrol_with(token, "lab-1");
  ASSERT_TRUE(first) << first.error().detail;
  EXPECT_EQ(first->name, "lab-1");
  ASSERT_NE(roster->by_name("lab-1"), nullptr);
  EXPECT_EQ(roster->by_name("lab-1")->id, first->agent_id);
  EXPECT_EQ(roster->by_name("lab-1")->key_sha256_hex, io::spki_sha256_hex(first->certificate_pem).value());

  const auto second = enrol_with(token, "lab-2");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::denied);
  EXPECT_NE(second.error().detail.find("used already"), std::string::npos) << second.error().detail;
  EXPECT_EQ(roster->agents().size(), 1u);
}

TEST_F(EnrolmentTest, AUsedTokenStaysUsedAfterARestart) {
  const io::JoinToken token = invite();
  ASSERT_TRUE(enrol_with(token, "lab-1"));
  start_server();
  EXPECT_EQ(enrol_with(token, "lab-2").error().code, Errc::denied);
}

TEST_F(EnrolmentTest, AnOpenTokenSurvivesARestart) {
  const io::JoinToken token = invite();
  start_server();
  EXPECT_TRUE(enrol_with(token, "lab-1"));
}

TEST_F(EnrolmentTest, AnExpiredTokenIsRefusedAsExpired) {
  const auto refused = enrol_with(invite(1), "lab-1");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("expired"), std::string::npos) << refused.error().detail;
}

TEST_F(EnrolmentTest, AWrongSecretIsRefusedAndTheTokenIsStillGood) {
  const io::JoinToken token = invite();
  io::JoinToken forged = token;
  forged.secret = io::random_hex(32);
  EXPECT_EQ(enrol_with(forged, "lab-1").error().code, Errc::denied);
  EXPECT_TRUE(enrol_with(token, "lab-1"));
}

TEST_F(EnrolmentTest, AWrongPinStopsBeforeAnythingIsSent) {
  io::JoinToken token = invite();
  token.ca_sha256_hex = std::string(64, '0');
  const auto refused = enrol_with(token, "lab-1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::corrupt) << refused.error().detail;
  EXPECT_TRUE(roster->agents().empty());
}

TEST_F(EnrolmentTest, ATakenNameIsRefusedWithoutSpendingTheToken) {
  enrol("lab-1");
  const io::JoinToken token = invite();
  const auto refused = enrol_with(token, "lab-1");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("enrolled already"), std::string::npos) << refused.error().detail;
  EXPECT_TRUE(enrol_with(token, "lab-2"));
}

TEST_F(EnrolmentTest, ANameThatIsNoneIsRefused) {
  EXPECT_EQ(enrol_with(invite(), "../../etc").error().code, Errc::denied);
}

TEST_F(EnrolmentTest, NobodyThereIsUnavailable) {
  io::JoinToken token = invite();
  server->stop();
  const auto refused = enrol_with(token, "lab-1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable) << refused.error().detail;
}

class SlowEnrolmentTest : public FleetTest {
 protected:
  LinkOptions options() const override {
    LinkOptions made = FleetTest::options();
    made.enrol_per_s = 1e-6;
    made.enrol_burst = 2;
    return made;
  }
};

TEST_F(SlowEnrolmentTest, AttemptsAreLimitedPerAddress) {
  io::JoinToken forged = invite();
  const io::JoinToken good = forged;
  forged.secret = "wrong";
  enrol_with(forged, "x");
  enrol_with(forged, "x");
  const auto refused = enrol_with(good, "x");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().detail.find("too many"), std::string::npos) << refused.error().detail;
}

struct ManualClock final : Clock {
  int64_t wall_now_ns() const override { return now; }
  int64_t now = 1'000'000'000'000;
};

TEST_F(EnrolmentTest, TokensExpireByTheClockAndAreKeptPrivate) {
  ManualClock clock;
  Tokens tokens(path("tokens"), clock);
  const auto made = tokens.make(1000);
  ASSERT_TRUE(made);
  EXPECT_EQ(std::filesystem::status(path("tokens")).permissions(), std::filesystem::perms(0600));
  clock.now += 999;
  EXPECT_EQ(tokens.secret(made->id).value(), made->secret);
  clock.now += 1;
  EXPECT_EQ(tokens.secret(made->id).error().code, Errc::timed_out);

  Tokens again(path("tokens"), clock);
  ASSERT_TRUE(again.load());
  EXPECT_EQ(again.secret(made->id).error().code, Errc::timed_out);
}
}  // namespace
}  // namespace todd::fleet
