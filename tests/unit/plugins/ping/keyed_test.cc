// Param key: what both ends prove to each other, and what whoever sees the probes cannot make of them.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <set>

#include "engine/io/digest.h"
#include "plugins/ping/block.h"
#include "plugins/ping/proof.h"
#include "plugins/ping/replays.h"
#include "plugins/ping/wire.h"
#include "tests/support/testlet_host.h"

namespace todd::ping {
namespace {

using test::Answer;
using test::TestletHost;
using test::World;

constexpr int64_t kMs = 1'000'000;
constexpr const char* kKey = "correct horse battery staple";
const todd_testlet& kPing = **todd_entry_v0.testlets;

std::span<uint8_t> bytes_of(std::string& text) {
  return {reinterpret_cast<uint8_t*>(text.data()), text.size()};
}

// As the wire's description has it, without the testlet: the HMAC of all before it, from `first` on.
std::string hmac_of(const std::string& message, size_t first, std::string_view key = kKey) {
  io::Digest digest(std::span(reinterpret_cast<const uint8_t*>(key.data()), key.size()));
  digest.add({reinterpret_cast<const uint8_t*>(message.data()) + first, message.size() - 16 - first});
  const auto value = digest.end();
  return {value.begin(), value.begin() + 16};
}

void sign(std::string& message, size_t first, std::string_view key = kKey) {
  message.replace(message.size() - 16, 16, hmac_of(message, first, key));
}

// What a responder with the key makes of a request, its report left out.
void make_reply(std::string& message, std::string_view key = kKey) {
  message[message.size() - 31] = 2;
  sign(message, 0, key);
}

TEST(ProofTest, ComesBackAsItWasWritten) {
  std::string message(kUdpKey + kProofBytes, 'x');
  for (const Proof& proof :
       {Proof{Way::kRequest, 77, 0x0123456789abcdef}, Proof{Way::kReply, 0xffffffff, 0}}) {
    write_proof(bytes_of(message), proof);
    EXPECT_EQ(read_proof(bytes_of(message)), proof);
    EXPECT_FALSE(read_proof(bytes_of(message).subspan(1))) << "no room for it behind the host's key";
  }
  for (const size_t other : {0, 1, 2}) {  // version, way, what must be 0
    std::string bad = message;
    bad[kUdpKey + other] ^= 4;
    EXPECT_FALSE(read_proof(bytes_of(bad))) << other;
  }
}

TEST(ReplaysTest, ANumberIsNewOnce) {
  std::mt19937 random(5);
  Replays replays;
  std::set<uint32_t> seen;
  uint32_t latest = 0;
  for (int i = 0; i < 200'000; ++i) {
    const uint32_t jump = random() % 1000 == 0 ? 3000 : 40;  // far beyond the window now and then
    const auto number =
        static_cast<uint32_t>(std::max<int64_t>(0, int64_t{latest} - 1100 + random() % (1100 + jump)));
    const bool is_new = replays.is_new(1, number);
    if (seen.contains(number)) {
      ASSERT_FALSE(is_new) << number;
    } else if (i == 0 || number > latest || latest - number <= Replays::kWindow) {
      ASSERT_TRUE(is_new) << number << " after " << latest;
    }
    if (is_new) seen.insert(number);
    latest = std::max(latest, number);
  }
  EXPECT_GT(seen.size(), 10'000u);
}

TEST(ReplaysTest, StreamsAreApartAndTheLastOnesAreRemembered) {
  Replays replays(100);
  EXPECT_TRUE(replays.is_new(1, 5000)) << "a stream may begin anywhere";
  EXPECT_TRUE(replays.is_new(1, 4999)) << "and not in order";
  EXPECT_TRUE(replays.is_new(1, 0xffffffff));
  EXPECT_FALSE(replays.is_new(1, 0xffffffff));
  EXPECT_FALSE(replays.is_new(1, 6000));
  EXPECT_TRUE(replays.is_new(2, 5000));
  for (uint64_t stream = 10; stream < 100; ++stream) EXPECT_TRUE(replays.is_new(stream, 0));
  EXPECT_FALSE(replays.is_new(2, 5000));
  for (uint64_t stream = 1000; stream < 1300; ++stream) replays.is_new(stream, 0);
  EXPECT_TRUE(replays.is_new(2, 5000)) << "forgotten: memory is bounded";
}

// The testlet at both ends.
struct KeyedTest : testing::Test {
  World world;
  test::Options at_responder, at_source;
  std::unique_ptr<TestletHost> responder, source;
  std::vector<std::string> requests, replies;  // as they went over the wire

  KeyedTest() {
    at_responder.role = TODD_RESPONDER;
    at_responder.params = at_source.params = {{"mode", "udp"}, {"key", kKey}};
    at_source.slots = 256;
    at_source.datagram = [this](uint64_t, std::string_view bytes) { return requests.emplace_back(bytes), 0; };
    at_responder.datagram = [this](uint64_t, std::string_view bytes) {
      return replies.emplace_back(bytes), 0;
    };
  }

  void start_responder() {
    responder = std::make_unique<TestletHost>(world, kPing, at_responder);
    ASSERT_EQ(responder->check(), 0) << responder->error_text;
    ASSERT_EQ(responder->start(), 0) << responder->error_text;
    at_source.targets[0].peer = responder.get();
  }
  void start_source() {
    source = std::make_unique<TestletHost>(world, kPing, at_source);
    ASSERT_EQ(source->check(), 0) << source->error_text;
    ASSERT_EQ(source->start(), 0) << source->error_text;
  }
  void tickets(uint32_t rounds) {
    for (uint32_t r = 0; r < rounds; ++r) source->ticket(0, r, world.now_ns + r * 10 * kMs);
    world.run_for(rounds * 10 * kMs + 3000 * kMs);
  }
  void end() {
    source->drain();
    world.run_for(10 * kMs);
    EXPECT_TRUE(source->finished());
    if (!responder) return;
    responder->drain();
    world.run_for(10 * kMs);
  }
  void run(uint32_t rounds) {
    start_responder();
    start_source();
    source->begin();
    tickets(rounds);
    end();
  }
  size_t received() const { return source->observed("rtt").size(); }
  size_t answered() const {
    return static_cast<size_t>(std::count_if(responder->operations.begin(), responder->operations.end(),
                                             [](const todd_op& op) { return op.code == TODD_OP_SEND; }));
  }
};

TEST_F(KeyedTest, BothWaysAreProvenAndMeasured) {
  run(10);
  EXPECT_EQ(received(), 10u);
  EXPECT_EQ(source->observed("delay_forward").size(), 10u);
  EXPECT_EQ(source->observed("processing").size(), 10u);
  EXPECT_EQ(source->counter("forged") + source->counter("corrupted"), 0u);
  EXPECT_TRUE(source->notes.empty());
  EXPECT_TRUE(responder->logs.empty());
  ASSERT_EQ(requests.size(), 10u);
  ASSERT_EQ(replies.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    ASSERT_EQ(requests[i].size(), 88u) << "the default grows by the proof, so that one_way keeps its room";
    EXPECT_EQ(requests[i].substr(72), hmac_of(requests[i], 8));
    EXPECT_EQ(replies[i].substr(72), hmac_of(replies[i], 0));
    EXPECT_EQ(read_proof(bytes_of(requests[i]))->number, i);
  }
}

TEST_F(KeyedTest, SizesPatternsAndFlowsWorkAsEver) {
  for (auto* params : {&at_source.params, &at_responder.params}) {
    (*params)["sizes"] = "40,87,88,1400,9000";
    (*params)["payload"] = "random";
    (*params)["flows"] = "3";
  }
  at_source.flags = TODD_RF_WHOLE;
  run(30);
  EXPECT_EQ(received(), 30u);
  EXPECT_EQ(source->counter("corrupted") + source->counter("forged"), 0u);
  EXPECT_EQ(source->tally("by_size", "40_received"), 6u);
  EXPECT_EQ(source->tally("by_size", "9000_received"), 6u);
  EXPECT_EQ(source->observed("processing").size(), 18u) << "88 bytes and more have room for the report";
  EXPECT_EQ(source->gauge("path_mtu"), 20 + 8 + 9000);
}

TEST_F(KeyedTest, LossesAreToldApart) {
  at_source.datagram = [](uint64_t n, std::string_view) { return n % 10 == 3 || n % 10 == 4 ? -1 : 0; };
  at_responder.datagram = [](uint64_t n, std::string_view) { return n % 8 == 2 ? -1 : 0; };
  run(101);  // the last one is answered
  EXPECT_EQ(source->counter("lost_forward"), 20u);
  EXPECT_EQ(source->counter("lost_back"), 10u);
  EXPECT_TRUE(source->notes.empty()) << "it was answered, so its key is right";
}

TEST_F(KeyedTest, ChangedRequestsAndCopiesAreNotAnswered) {
  at_source.datagram = [this](uint64_t, std::string_view bytes) { return requests.emplace_back(bytes), -1; };
  run(1);
  ASSERT_EQ(requests.size(), 1u);
  start_responder();
  for (size_t bit = 8 * 8; bit < 8 * 88; ++bit) {
    std::string bad = requests[0];
    bad[bit / 8] ^= static_cast<char>(1 << bit % 8);
    responder->datagram(bad);
    if (bit % 16 == 0) world.run_for(kMs);
  }
  for (const size_t size : {0, 39, 40, 87}) responder->datagram(requests[0].substr(0, size));
  responder->datagram(std::string(88, '\0'));
  world.run_for(kMs);
  EXPECT_EQ(answered(), 0u);
  EXPECT_EQ(responder->logs.size(), 1u) << "told at once, and not of each";
  responder->datagram(requests[0]);
  responder->datagram(requests[0]);
  world.run_for(kMs);
  responder->datagram(requests[0]);
  world.run_for(kMs);
  EXPECT_EQ(answered(), 1u);
  responder->drain();
  world.run_for(kMs);
  ASSERT_EQ(responder->logs.size(), 2u);
  EXPECT_NE(responder->logs[1].find("645 datagrams without proof of the key, 2 copies"), std::string::npos)
      << responder->logs[1];
}

TEST_F(KeyedTest, ChangedRepliesAreNone) {
  constexpr uint32_t kBits = 8 * 80;
  at_source.params["size"] = "80";
  at_source.answer = [](uint32_t, uint32_t round, std::string_view) {
    return Answer{.edit = [round](std::string& m) {
      make_reply(m);
      if (round < kBits) m[round / 8] ^= static_cast<char>(1 << round % 8);
      if (round == kBits + 1) m.pop_back();
      if (round == kBits + 2) m += '\0';
      if (round == kBits + 3) m.resize(39);
      if (round == kBits + 4) make_reply(m, "another key");
    }};
  };
  start_source();
  source->begin();
  tickets(kBits + 5);
  end();
  EXPECT_EQ(received(), 1u) << "the one that was left as it is";
  EXPECT_EQ(source->counter("forged"), kBits + 4);
  EXPECT_EQ(source->counter("corrupted"), 0u);
  EXPECT_EQ(source->notes.at(0), "forged: the HMAC of a reply is wrong: forged, damaged, or of another key");
}

// Who holds true messages and may change the 8 bytes at their front, by which the host knows a probe.
TEST_F(KeyedTest, TheReplyToAnotherProbeIsNone) {
  std::string first;
  at_source.answer = [&](uint32_t, uint32_t round, std::string_view request) {
    if (round == 0) first = request;
    return Answer{.edit = [&, round](std::string& m) {
      const std::string id = m.substr(0, 8);
      if (round != 0) m = first;
      if (round == 1) m.replace(0, 8, id), make_reply(m);  // the request was changed before it was answered
      if (round == 2) make_reply(m), m.replace(0, 8, id);  // the reply was
    }};
  };
  start_source();
  source->begin();
  tickets(3);
  end();
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(source->counter("forged"), 3u) << "the first comes back as it was sent";
}

TEST_F(KeyedTest, AnotherKeyIsLossAndSaysWhatItMayBe) {
  at_responder.params["key"] = "another";
  run(3);
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(replies.size(), 0u);
  EXPECT_EQ(source->notes,
            (std::vector<std::string>{"unproven: no answer that the key proves: is it the same at "
                                      "the responder, and does that have one?"}));
  ASSERT_EQ(responder->logs.size(), 2u);
  EXPECT_NE(responder->logs[0].find("does not prove that its sender has the key"), std::string::npos);
  EXPECT_NE(responder->logs[1].find("3 datagrams without proof of the key, 0 copies"), std::string::npos);
}

TEST_F(KeyedTest, AResponderWithoutAKeyIsNotBelieved) {
  at_responder.params.erase("key");
  run(3);
  EXPECT_EQ(replies.size(), 3u);
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(source->counter("forged"), 3u);
  ASSERT_EQ(source->notes.size(), 4u);
  EXPECT_EQ(source->notes[0],
            "forged: the probe came back as it was: the responder has no key, or is none of ours");
  EXPECT_EQ(source->notes[3].substr(0, 10), "unproven: ");
}

TEST_F(KeyedTest, ASourceWithoutTheKeyGetsNothing) {
  at_source.params.erase("key");
  run(3);
  EXPECT_EQ(received(), 0u);
  EXPECT_EQ(replies.size(), 0u);
  EXPECT_EQ(responder->logs.size(), 2u);
}

// The rounds begin anew behind the warm-up, and so do the numbers of probes.
TEST_F(KeyedTest, WhatBelongsToTheWarmUpIsNoAnswerBehindIt) {
  std::string warm;
  bool counting = false;
  at_source.answer = [&](uint32_t, uint32_t, std::string_view request) {
    if (!counting) warm = request;
    return Answer{.edit = [&](std::string& m) {
      const std::string id = m.substr(0, 8);
      if (counting) m = warm;
      m.replace(0, 8, id);
      make_reply(m);
    }};
  };
  start_source();
  source->warm_up();
  tickets(1);
  EXPECT_EQ(received(), 1u);
  counting = true;
  source->begin();
  tickets(1);
  EXPECT_EQ(received(), 1u);
  EXPECT_EQ(source->counter("forged"), 0u);
}

TEST_F(KeyedTest, AResponderAnswersTheWarmUpAndWhatFollows) {
  start_responder();
  start_source();
  source->warm_up();
  tickets(5);
  source->begin();
  tickets(5);
  EXPECT_EQ(received(), 10u);
}

TEST_F(KeyedTest, IsRefusedWhereItCannotBe) {
  const std::pair<std::map<std::string, std::string>, const char*> all[] = {
      {{{"mode", "icmp"}}, "key: belongs to mode udp"},
      {{{"mode", "tcp"}}, "key: belongs to mode udp"},
      {{{"mode", "udp"}, {"size", "39"}}, "size: with a key at least 40 bytes"},
      {{{"mode", "udp"}, {"sizes", "1400,39"}}, "sizes: \"39\": sizes go from 40 to 65507"},
  };
  for (const auto& [params, text] : all) {
    at_source.params = params;
    at_source.params["key"] = kKey;
    TestletHost host(world, kPing, at_source);
    EXPECT_EQ(host.check(), TODD_E_PARAM) << text;
    EXPECT_NE(host.error_text.find(text), std::string::npos) << host.error_text;
    EXPECT_EQ(host.error_text.find(kKey), std::string::npos);
  }
  at_source.params = {{"mode", "udp"}, {"key", kKey}, {"size", "40"}};
  TestletHost host(world, kPing, at_source);
  EXPECT_EQ(host.check(), 0) << host.error_text;
}

}  // namespace
}  // namespace todd::ping
