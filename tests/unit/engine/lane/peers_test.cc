#include "engine/lane/peers.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/io/sockets.h"

namespace todd::lane {
namespace {

io::Address at(const std::string& host, uint16_t port) { return *io::parse_address(host, port); }
const io::Address kLocal = at("192.0.2.1", 7);

TEST(PeersTest, ASenderKeepsItsTokenAndATokenLeadsBack) {
  Peers peers;
  const uint64_t token = peers.token_of(at("198.51.100.1", 4000), kLocal);
  EXPECT_EQ(peers.token_of(at("198.51.100.1", 4000), kLocal), token);
  EXPECT_NE(peers.token_of(at("198.51.100.1", 4001), kLocal), token);
  const auto* peer = peers.find(token);
  ASSERT_NE(peer, nullptr);
  EXPECT_EQ(io::format_endpoint(peer->address), "198.51.100.1:4000");
  EXPECT_EQ(io::format_address(peer->local), "192.0.2.1");
  EXPECT_EQ(peers.find(0), nullptr);
  EXPECT_EQ(peers.find(token + 100), nullptr);
}

// A wildcard socket answers from the address that was asked, also when one sender asks two of them.
TEST(PeersTest, OneSenderToTwoLocalAddressesIsTwoPeers) {
  Peers peers;
  const auto sender = at("198.51.100.1", 4000);
  const uint64_t first = peers.token_of(sender, kLocal), second = peers.token_of(sender, at("192.0.2.2", 7));
  EXPECT_EQ(io::format_address(peers.find(first)->local), "192.0.2.1");
  EXPECT_EQ(io::format_address(peers.find(second)->local), "192.0.2.2");
  io::Address unknown{};
  EXPECT_EQ(peers.token_of(sender, unknown), peers.token_of(sender, unknown));
}

// A direct-mapped table lost a token to the first sender that fell on the same place: with a hundred senders,
// some always did.
TEST(PeersTest, TokensOutliveATableFullOfOtherSenders) {
  Peers peers;
  std::set<uint64_t> tokens;
  for (size_t i = 0; i < Peers::kMost; ++i)
    tokens.insert(peers.token_of(at("198.51.100.1", static_cast<uint16_t>(i + 1)), kLocal));
  EXPECT_EQ(tokens.size(), Peers::kMost);
  for (const uint64_t token : tokens) EXPECT_NE(peers.find(token), nullptr);
  const uint64_t oldest = peers.token_of(at("198.51.100.1", 1), kLocal);  // heard again: now the youngest
  peers.token_of(at("2001:db8::1", 1), at("2001:db8::2", 7));
  EXPECT_NE(peers.find(oldest), nullptr);
  EXPECT_EQ(peers.find(*tokens.begin() + 1), nullptr) << "the longest silent one made room";
}

}  // namespace
}  // namespace todd::lane
