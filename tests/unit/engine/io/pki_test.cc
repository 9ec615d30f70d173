#include "engine/io/pki.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace todd::io {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class PkiTest : public testing::Test {
 protected:
  const KeyPair ca_ = make_ca("todd CA", 10).value();
  const std::string key_ = make_key().value();
  const std::string csr_ = make_csr(key_, "asked").value();
};

// That signed certificates work in a handshake, and which ones do not, is shown in channel_test.cc.
TEST_F(PkiTest, SignsForTheKeyOfTheRequest) {
  const auto server = sign_csr(ca_, csr_,
                               {.common_name = "given",
                                .alt_names = "IP:127.0.0.1,DNS:*.example.net,IP:2001:db8::1",
                                .server = true,
                                .days = 3});
  ASSERT_TRUE(server) << server.error().detail;
  EXPECT_THAT(*server, StartsWith("-----BEGIN CERTIFICATE-----"));
  const auto client = sign_csr(ca_, csr_, {.common_name = "given"});
  ASSERT_TRUE(client);
  EXPECT_EQ(spki_sha256_hex(*server).value(), spki_sha256_hex(*client).value());  // one key
  EXPECT_NE(spki_sha256_hex(*server).value(), spki_sha256_hex(ca_.certificate_pem).value());
  EXPECT_EQ(spki_sha256_hex(*server)->size(), 64u);
}

TEST_F(PkiTest, RefusesWhatItShouldNotSign) {
  const auto code = [&](const std::string& csr, const SignOptions& options) {
    return sign_csr(ca_, csr, options).error().code;
  };
  EXPECT_EQ(code("nonsense", {.common_name = "a"}), Errc::invalid);
  EXPECT_EQ(code(csr_, {.common_name = ""}), Errc::invalid);
  EXPECT_EQ(code(csr_, {.common_name = std::string(65, 'a')}), Errc::invalid);
  EXPECT_EQ(code(csr_, {.common_name = "a", .days = 0}), Errc::invalid);
  for (const char* names :
       {"email:copy", "IP:localhost", "DNS:", "DNS:a,,DNS:b", "DNS:a b", "dirName:section", "DNS:a,"}) {
    EXPECT_EQ(code(csr_, {.common_name = "a", .alt_names = names}), Errc::invalid) << names;
  }
  // One flipped character inside the signature, which is at the end.
  std::string forged = csr_;
  const size_t at = forged.find("-----END") - 12;
  forged[at] = forged[at] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(sign_csr(ca_, forged, {.common_name = "a"}));
}

TEST_F(PkiTest, RefusesAnAuthorityWhoseKeyDoesNotFit) {
  const auto signed_by = sign_csr({ca_.certificate_pem, key_}, csr_, {.common_name = "a"});
  ASSERT_FALSE(signed_by);
  EXPECT_THAT(signed_by.error().detail, HasSubstr("does not fit"));
}

TEST_F(PkiTest, NamesTheTextThatIsNoPem) {
  EXPECT_THAT(make_csr("nonsense", "agent-7").error().detail, HasSubstr("agent-7"));
  EXPECT_EQ(spki_sha256_hex("").error().code, Errc::invalid);
  EXPECT_EQ(spki_sha256_hex(key_).error().code, Errc::invalid);
  std::string cut = ca_.certificate_pem;
  cut.resize(cut.size() / 2);
  EXPECT_EQ(spki_sha256_hex(cut).error().code, Errc::invalid);
}

TEST(PkiToolsTest, HmacFollowsRfc4231) {
  EXPECT_EQ(hmac_sha256_hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(PkiToolsTest, RandomTextsDiffer) {
  EXPECT_EQ(random_hex(16).size(), 32u);
  EXPECT_NE(random_hex(16), random_hex(16));
  EXPECT_EQ(random_hex(0), "");
}

TEST(PkiToolsTest, ComparesWholeTexts) {
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "abcd"));
  EXPECT_TRUE(equal_constant_time("", ""));
}

}  // namespace
}  // namespace todd::io
