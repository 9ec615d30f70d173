#include "engine/io/join_token.h"

#include <gtest/gtest.h>

namespace todd::io {
namespace {
JoinToken sample() {
  return {{{"192.0.2.1", 7481}, {"2001:db8::1", 7481}, {"coordinator.example", 443}},
          std::string(64, 'a'),
          "17",
          "s3cret"};
}

TEST(JoinTokenTest, ReadsBackWhatItWrote) {
  const auto token = parse_join_token(write_join_token(sample()));
  ASSERT_TRUE(token) << token.error().detail;
  EXPECT_EQ(*token, sample());
}

TEST(JoinTokenTest, IsOneWordAndForgivesSpaceAround) {
  const std::string text = write_join_token(sample());
  EXPECT_EQ(text.find_first_of(" \n\"'=+/"), std::string::npos);
  EXPECT_TRUE(parse_join_token("  " + text + "\n"));
}

TEST(JoinTokenTest, RefusesEveryCutOfIt) {
  const std::string text = write_join_token({{{"h", 1}}, std::string(64, 'b'), "1", "x"});
  // The last characters hold the end of the port; a cut there may only be noticed by the coordinator.
  for (size_t n = 0; n + 4 < text.size(); ++n) EXPECT_FALSE(parse_join_token(text.substr(0, n))) << n;
}

TEST(JoinTokenTest, TellsAPersonWhatToDo) {
  EXPECT_NE(parse_join_token("hello").error().detail.find("todd agents invite"), std::string::npos);
  EXPECT_NE(parse_join_token("todd-join-v1.!!!!").error().detail.find("paste all of it"), std::string::npos);
}

TEST(HostPortTest, ReadsAddressesAndNames) {
  EXPECT_EQ(parse_host_port("192.0.2.1:80").value(), (HostPort{"192.0.2.1", 80}));
  EXPECT_EQ(parse_host_port("[2001:db8::1]:80").value(), (HostPort{"2001:db8::1", 80}));
  EXPECT_EQ(format_host_port({"2001:db8::1", 80}), "[2001:db8::1]:80");
  for (const char* bad : {"", "host", "host:", ":80", "host:0", "host:65536", "2001:db8::1:80", "[::1]",
                          "host:8x", "[[x]:80"}) {
    EXPECT_FALSE(parse_host_port(bad)) << bad;
  }
}

TEST(EnrolProofTest, DependsOnEachPart) {
  const std::string proof = enrol_proof("s", "exporter", "csr");
  EXPECT_NE(proof, enrol_proof("t", "exporter", "csr"));
  EXPECT_NE(proof, enrol_proof("s", "exporteR", "csr"));
  EXPECT_NE(proof, enrol_proof("s", "exporter", "csR"));
}
}  // namespace
}  // namespace todd::io
