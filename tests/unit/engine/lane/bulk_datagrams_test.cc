// Jobs of todd.bulk/1 on connected UDP sockets, in an instance on a real reactor over loopback.
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <iterator>

#include "engine/base/fd.h"
#include "tests/unit/engine/lane/stream_flow_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::EngineChoice;
using io::kOldestUring;

constexpr uint16_t kAbsent = 0xffff;

uint64_t number_at(const std::string& bytes, size_t at, size_t n) {
  uint64_t value = 0;
  for (size_t i = 0; i < n; ++i) value = value << 8 | static_cast<uint8_t>(bytes.at(at + i));
  return value;
}

// A network namespace of this thread's, made so, as long as it lives.
class OwnNetwork {
 public:
  explicit OwnNetwork(const std::string& make)
      : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    inside_ = getuid() == 0 && unshare(CLONE_NEWNET) == 0;
    up_ = inside_ && system((make + " 2>/dev/null").c_str()) == 0;
  }
  ~OwnNetwork() {
    if (inside_) EXPECT_EQ(setns(home_.get(), CLONE_NEWNET), 0);
  }
  bool up() const { return up_; }

 private:
  UniqueFd home_;
  bool inside_ = false, up_ = false;
};

class BulkDatagramsTest : public StreamFlowTest {
 protected:
  void SetUp() override {
    StreamFlowTest::SetUp();
    puppet_.flow.proto = TODD_PEERS;
    puppet_.flow.slot_cap = 2048;
  }
  void open() {
    far_ = peer();
    setup_.targets.push_back({.address = *io::local_address(far_.get())});
    begin();
  }
  static UniqueFd peer() {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto address = io::loopback(AF_INET);
    EXPECT_EQ(bind(fd.get(), &address.sa, sizeof address.v4), 0);
    const int bytes = 4 << 20;
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    return fd;
  }
  static todd_bulk_job job(uint32_t flags, uint32_t length) {
    todd_bulk_job made{};
    made.size = sizeof made;
    made.flags = flags;
    made.length = length;
    made.first_sequence = 1;
    made.seconds_at = 0;
    made.micros_at = 4;
    made.sequence_at = 8;
    made.sequence_bytes = 4;
    return made;
  }
  uint64_t begin_job(uint64_t stream, const todd_bulk_job& wanted, todd_status expected = 0) {
    todd_status status = INT32_MIN;
    uint64_t number = 0;
    puppet_.in_step = [&] { status = puppet_.bulk->begin(puppet_.lane, 0, stream, &wanted, &number); };
    EXPECT_TRUE(rounds([&] { return status != INT32_MIN; }));
    EXPECT_EQ(status, expected);
    return number;
  }
  todd_bulk_count counted(uint64_t number) const {
    todd_bulk_count out{};
    out.size = sizeof out;
    EXPECT_EQ(puppet_.bulk->count(puppet_.lane, number, &out), 0);
    return out;
  }
  void stop(uint64_t number) {
    puppet_.in_step = [=, this] { puppet_.bulk->stop(puppet_.lane, number); };
    EXPECT_EQ(next(TODD_OP_BULK).result, 0);
  }
  std::vector<std::string> come() const {
    std::vector<std::string> all;
    char bytes[65536];
    for (ssize_t n; (n = recv(far_.get(), bytes, sizeof bytes, MSG_DONTWAIT)) >= 0;)
      all.emplace_back(bytes, static_cast<size_t>(n));
    return all;
  }
  // A stream of a listener's, with the far side as its peer.
  uint64_t accepted() {
    const auto here = io::loopback(AF_INET, go(op(TODD_OP_LISTEN)).port);
    EXPECT_EQ(::connect(far_.get(), &here.sa, sizeof here.v4), 0);
    EXPECT_EQ(send(far_.get(), "hello", 5, 0), 5);
    const uint64_t stream = next(TODD_OP_ACCEPT).arg;
    next(TODD_OP_RECV);
    return stream;
  }
  void tell(uint64_t number, size_t sequence_bytes = 4, size_t length = 60) const {
    std::string bytes(length, 'x');
    for (size_t i = 0; i < sequence_bytes; ++i)
      bytes[8 + i] = static_cast<char>(number >> 8 * (sequence_bytes - 1 - i));
    EXPECT_EQ(send(far_.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(length));
  }

  UniqueFd far_;
};
TODD_ALL_ENGINES(BulkDatagramsTest);

// ---- sending

TEST_P(BulkDatagramsTest, EachHasTheNextNumberAndItsTime) {
  open();
  const uint64_t s = connect();
  for (const uint32_t offload : {0u, uint32_t{TODD_BF_OFFLOAD}}) {
    todd_bulk_job wanted = job(TODD_BF_SEND | offload, 100);
    wanted.first_sequence = 7;
    wanted.bytes = 19'950;  // half a datagram less than 200
    const int64_t before_us = wall_ns() / 1000;
    const uint64_t number = begin_job(s, wanted);
    EXPECT_EQ(next(TODD_OP_BULK).result, 0);
    const auto all = come();
    ASSERT_EQ(all.size(), 200u);
    for (size_t i = 0; i < all.size(); ++i) {
      ASSERT_EQ(all[i].size(), 100u);
      EXPECT_EQ(number_at(all[i], 8, 4), 7 + i);
      EXPECT_EQ(all[i].substr(12, 8), std::string("01234567890123456789").substr((i * 100 + 12) % 10, 8));
      const auto us = static_cast<int64_t>(number_at(all[i], 0, 4) * 1'000'000 + number_at(all[i], 4, 4));
      EXPECT_GE(us, before_us);
      EXPECT_LE(us, wall_ns() / 1000);
    }
    const todd_bulk_count count = counted(number);
    EXPECT_EQ(count.datagrams, 200u);
    EXPECT_EQ(count.bytes, 20'000u);
    EXPECT_EQ(count.calls, 4u);  // of 64
    EXPECT_EQ(count.refused, 0u);
  }
}

// The kernel cuts nothing into pieces that the path would have to cut again.
TEST_P(BulkDatagramsTest, WhatIsLongerThanThePathIsSentOneByOne) {
  OwnNetwork own("ip link set lo up mtu 1500");
  if (!own.up()) GTEST_SKIP() << "needs root and ip, for a network of its own";
  open();
  todd_bulk_job wanted = job(TODD_BF_SEND | TODD_BF_OFFLOAD, 3000);
  wanted.bytes = 5 * 3000;
  const uint64_t number = begin_job(connect(), wanted);
  EXPECT_EQ(next(TODD_OP_BULK).result, 0);
  EXPECT_EQ(counted(number).refused, 0u);
  const auto all = come();
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all.back().size(), 3000u);
}

TEST_P(BulkDatagramsTest, APaceIsKept) {
  open();
  todd_bulk_job wanted = job(TODD_BF_SEND, 500);
  wanted.bytes = 500 * 100;
  wanted.bitrate = 500 * 8 * 1000;  // one in 1 ms
  const uint64_t number = begin_job(connect(), wanted);
  EXPECT_EQ(next(TODD_OP_BULK).result, 0);
  const todd_bulk_count count = counted(number);
  // What was missed for more than 10 ms is not made good, so it may take longer.
  EXPECT_GE(count.last_ns - count.first_ns, 89 * kMs);
  EXPECT_GT(count.late_ns, 0);
  EXPECT_EQ(come().size(), 100u);
}

TEST_P(BulkDatagramsTest, NobodyThereEndsIt) {
  open();
  const uint64_t s = connect();
  far_.reset();
  begin_job(s, job(TODD_BF_SEND, 100));
  EXPECT_EQ(next(TODD_OP_BULK).result, -ECONNREFUSED);
}

TEST_P(BulkDatagramsTest, WhatDoesNotFitIsRefused) {
  open();
  const uint64_t s = connect();
  todd_bulk_job wanted = job(TODD_BF_SEND, 11);  // its number ends at 12
  begin_job(s, wanted, -EINVAL);
  wanted.sequence_at = kAbsent;
  wanted.bytes = 11;
  begin_job(s, wanted);
  EXPECT_EQ(next(TODD_OP_BULK).result, 0);
  begin_job(s, job(TODD_BF_SEND, 70'000), -EINVAL);
  begin_job(s, job(TODD_BF_SEND | TODD_BF_ZERO_COPY, 100), -EINVAL);
  begin_job(s, job(TODD_BF_DISCARD, 100), -EINVAL);
}

// What this host's own queue refuses is no loss of the network's: the numbers that leave have no gaps.
TEST_P(BulkDatagramsTest, WhatThisHostRefusesLeavesNoGap) {
  OwnNetwork own("ip link set lo up && tc qdisc add dev lo root tbf rate 50mbit burst 2kb limit 6kb");
  if (!own.up()) GTEST_SKIP() << "needs root, ip and tc, for a network of its own";
  open();
  const uint64_t number = begin_job(connect(), job(TODD_BF_SEND, 600));
  rounds([&] { return counted(number).refused > 20 && counted(number).datagrams > 200; });
  stop(number);
  const todd_bulk_count count = counted(number);
  std::vector<std::string> all;
  rounds([&] {  // the rest is in the queue
    std::ranges::move(come(), std::back_inserter(all));
    return all.size() >= count.datagrams;
  });
  EXPECT_GT(count.refused, 20u);
  EXPECT_EQ(all.size(), count.datagrams);
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(number_at(all[i], 8, 4), 1 + i);
}

// ---- receiving

TEST_P(BulkDatagramsTest, LossOrderAndDuplicatesAreCounted) {
  for (const uint16_t sequence_bytes : {uint16_t{4}, uint16_t{8}}) {
    if (sequence_bytes == 4) open();
    if (sequence_bytes == 8) far_ = peer();
    const uint64_t s = accepted();
    todd_bulk_job wanted = job(sequence_bytes == 8 ? TODD_BF_OFFLOAD : 0, 1400);
    wanted.sequence_bytes = sequence_bytes;
    const uint64_t number = begin_job(s, wanted);
    settle();
    for (uint64_t n = 1; n <= 100; ++n) {
      if (n == 10 || n == 11 || n == 30) continue;
      tell(n, sequence_bytes);
      if (n == 20) tell(n, sequence_bytes);
      if (n == 31) tell(30, sequence_bytes);
    }
    rounds([&] { return counted(number).datagrams == 99; });
    stop(number);
    const todd_bulk_count count = counted(number);
    EXPECT_EQ(count.datagrams, 99u);
    EXPECT_EQ(count.bytes, 99u * 60);
    EXPECT_EQ(count.lost, 2u);
    EXPECT_EQ(count.duplicates, 1u);
    EXPECT_EQ(count.out_of_order, 1u);
    EXPECT_EQ(count.highest, 100u);
    EXPECT_EQ(count.bursts, 2u);
    EXPECT_EQ(count.longest_burst, 2u);
    EXPECT_EQ(count.dropped, 0u);
    EXPECT_GT(count.jitter_ns, 0u);
    want(op(TODD_OP_CLOSE, s));
    settle();
  }
}

TEST_P(BulkDatagramsTest, WhatCameBeforeAJobIsToldAndAfterItIsAgain) {
  open();
  const uint64_t s = accepted();
  tell(1);
  tell(2);
  const uint64_t number = begin_job(s, job(0, 1400));
  EXPECT_EQ(next(TODD_OP_RECV).len, 60u);
  EXPECT_EQ(next(TODD_OP_RECV).len, 60u);
  tell(3);
  ASSERT_TRUE(rounds([&] { return counted(number).datagrams == 1; }));
  stop(number);
  want(op(TODD_OP_RECV, s));
  tell(4);
  tell(5, 4, 40);
  EXPECT_EQ(next(TODD_OP_RECV).len, 60u);
  EXPECT_EQ(next(TODD_OP_RECV).len, 40u);
}

// Both ends here, as fast as it goes: what the receiver's socket has no room for is all that is missing.
TEST_P(BulkDatagramsTest, WhatIsLostHereIsToldAsDropped) {
  puppet_.flow.receive_buffer = 100'000;
  open();
  const uint16_t port = go(op(TODD_OP_LISTEN)).port;
  todd_op aimed = op(TODD_OP_CONNECT);
  aimed.port = port;
  const uint64_t source = go(aimed).arg;
  go(op(TODD_OP_SEND, source), "hello");
  const uint64_t sink = next(TODD_OP_ACCEPT).arg;
  next(TODD_OP_RECV);
  for (const uint32_t offload : {0u, uint32_t{TODD_BF_OFFLOAD}}) {
    const uint64_t receiving = begin_job(sink, job(offload, 1400));
    settle();
    todd_bulk_job wanted = job(TODD_BF_SEND | offload, 1400);
    wanted.bytes = 20'000 * 1400;
    const uint64_t sending = begin_job(source, wanted);
    EXPECT_EQ(next(TODD_OP_BULK).result, 0);
    settle();
    stop(receiving);
    const todd_bulk_count sent = counted(sending), got = counted(receiving);
    EXPECT_EQ(sent.datagrams, 20'000u);
    EXPECT_GT(got.datagrams, 0u);
    EXPECT_GT(got.dropped, 0u);
    if (offload == 0) {
      EXPECT_EQ(got.datagrams + got.dropped, 20'000u);
      EXPECT_LE(got.lost, got.dropped);
    } else {  // the kernel drops many as one
      EXPECT_LE(got.datagrams + got.dropped, 20'000u);
    }
    EXPECT_EQ(got.lost + got.datagrams, got.highest);
    EXPECT_EQ(got.duplicates + got.out_of_order, 0u);
    EXPECT_EQ(got.bytes, got.datagrams * 1400);
  }
}

}  // namespace
}  // namespace todd::lane
