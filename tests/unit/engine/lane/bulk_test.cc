// Jobs of todd.bulk/1 on connections, in an instance on a real reactor over loopback. The far side is this
// test's own socket.
#include <fcntl.h>

#include <csignal>

#include "engine/lane/bulk_lanes.h"
#include "tests/unit/engine/lane/stream_flow_fixture.h"

namespace todd::lane {
namespace {

using io::Backend;
using io::engine_name;
using io::EngineChoice;
using io::kOldestUring;

constexpr uint64_t kUser = 77;

class BulkTest : public StreamFlowTest {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);  // as the worker does
    StreamFlowTest::SetUp();
  }
  void open() {
    begin();
    stream_ = connect();
    far_ = accept_one();
  }
  static todd_bulk_job job(uint32_t flags, uint32_t length = 128 * 1024) {
    todd_bulk_job made{};
    made.size = sizeof made;
    made.flags = flags;
    made.length = length;
    made.user = kUser;
    return made;
  }
  // In the testlet's step.
  todd_status try_begin(const todd_bulk_job& wanted) {
    todd_status status = INT32_MIN;
    puppet_.in_step = [&] { status = puppet_.bulk->begin(puppet_.lane, 0, stream_, &wanted, &number_); };
    EXPECT_TRUE(rounds([&] { return status != INT32_MIN; }));
    return status;
  }
  void begin_job(const todd_bulk_job& wanted) { ASSERT_EQ(try_begin(wanted), 0); }
  todd_bulk_count counted() const {
    todd_bulk_count out{};
    out.size = sizeof out;
    EXPECT_EQ(puppet_.bulk->count(puppet_.lane, number_, &out), 0);
    return out;
  }
  void stop_job() {
    puppet_.in_step = [this] { puppet_.bulk->stop(puppet_.lane, number_); };
  }
  // What came of the job.
  int ended() {
    const todd_done done = next(TODD_OP_BULK);
    EXPECT_EQ(done.user, kUser);
    EXPECT_EQ(done.arg, stream_);
    EXPECT_EQ(counted().running, 0u);
    return done.result;
  }
  // Reads what there is at the far side.
  void drain(std::string& into) {
    static char buffer[1 << 18];
    for (ssize_t n; (n = recv(far_.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
      into.append(buffer, static_cast<size_t>(n));
  }
  void expect_sent(const todd_bulk_job& wanted, std::string& came) {
    begin_job(wanted);
    bool over = false;
    ASSERT_TRUE(rounds([&] {
      drain(came);
      over = over ||
             std::ranges::any_of(puppet_.done, [](const todd_done& d) { return d.code == TODD_OP_BULK; });
      return over && came.size() >= wanted.bytes;
    }));
    EXPECT_EQ(ended(), 0);
    EXPECT_EQ(came.size(), wanted.bytes);
    EXPECT_EQ(counted().bytes, wanted.bytes);
  }

  uint64_t stream_ = 0, number_ = 0;
  UniqueFd far_;
};
TODD_ALL_ENGINES(BulkTest);

TEST_P(BulkTest, SendsAsManyBytesAsWanted) {
  puppet_.flow.send_buffer = 40'000;  // so that it stalls
  open();
  todd_bulk_job wanted = job(TODD_BF_SEND);
  wanted.bytes = 20'000'001;
  std::string came;
  const int64_t before = monotonic_ns();
  expect_sent(wanted, came);
  const todd_bulk_count count = counted();
  EXPECT_GE(count.calls, wanted.bytes / wanted.length);
  EXPECT_GT(count.stalls, 0u);
  EXPECT_GE(count.first_ns, before);
  EXPECT_GT(count.last_ns, count.first_ns);
  EXPECT_LE(count.last_ns, monotonic_ns());
  EXPECT_EQ(count.zero_copied, 0u);
  EXPECT_EQ(came.substr(0, 20), "01234567890123456789");
}

TEST_P(BulkTest, SendsRandomBytes) {
  open();
  todd_bulk_job wanted = job(TODD_BF_SEND | TODD_BF_RANDOM);
  wanted.bytes = 128 * 1024;
  std::string came;
  expect_sent(wanted, came);
  std::vector<size_t> seen(256);
  for (const char c : came) ++seen[static_cast<uint8_t>(c)];
  EXPECT_GT(std::ranges::min(seen), 256u);  // 512 are expected
}

TEST_P(BulkTest, LendsPagesAndTheSocketIsAsBefore) {
  puppet_.flow.send_buffer = 40'000;  // so that it stalls
  open();
  const int before = fcntl(instance_->stream_flow_of(stream_)->fd(stream_), F_GETFL);
  todd_bulk_job wanted = job(TODD_BF_SEND | TODD_BF_ZERO_COPY, 1u << 20);
  wanted.bytes = 20'000'001;
  std::string came;
  expect_sent(wanted, came);
  EXPECT_EQ(counted().zero_copied, wanted.bytes);
  EXPECT_GT(counted().stalls, 0u);
  EXPECT_EQ(came.substr(0, 20), "01234567890123456789");
  EXPECT_EQ(fcntl(instance_->stream_flow_of(stream_)->fd(stream_), F_GETFL), before);
  // It goes on as a stream.
  EXPECT_EQ(go(op(TODD_OP_SEND, stream_), "end").result, 3);
  drain(came);
  EXPECT_EQ(came.substr(wanted.bytes), "end");
}

TEST_P(BulkTest, ReceivesUntilThePeerEnds) {
  for (const uint32_t flags : {0u, uint32_t{TODD_BF_DISCARD}}) {
    SCOPED_TRACE(flags);
    TearDown();
    SetUp();
    setup_.targets.clear();
    puppet_ = {};
    open();
    begin_job(job(flags));
    const std::string piece(1'000'000, 'x');
    size_t sent = 0;
    ASSERT_TRUE(rounds([&] {
      const ssize_t n =
          send(far_.get(), piece.data(), std::min(piece.size(), 9'000'000 - sent), MSG_DONTWAIT);
      if (n > 0) sent += static_cast<size_t>(n);
      return sent == 9'000'000;
    }));
    ASSERT_TRUE(rounds([&] { return counted().bytes == 9'000'000; }));
    EXPECT_EQ(counted().running, 1u);
    shutdown(far_.get(), SHUT_WR);
    EXPECT_EQ(ended(), 0);
    EXPECT_EQ(counted().bytes, 9'000'000u);
    EXPECT_EQ(puppet_.received, "");  // none of it went through a step
  }
}

// What the stream had read by itself is the testlet's, in order, and the job's begins right behind.
TEST_P(BulkTest, WhatCameBeforeIsToldAndNotCounted) {
  open();
  want(op(TODD_OP_RECV, stream_));
  settle();
  ASSERT_EQ(send(far_.get(), "before", 6, 0), 6);
  ASSERT_TRUE(rounds([&] { return puppet_.received == "before"; }));
  // No turn of the reactor comes between this and begin(): it is on the way.
  ASSERT_EQ(send(far_.get(), "between", 7, 0), 7);
  begin_job(job(0));
  ASSERT_TRUE(rounds([&] { return puppet_.received.size() - 6 + counted().bytes == 7; }));
  ASSERT_EQ(send(far_.get(), "behind", 6, 0), 6);
  ASSERT_TRUE(rounds([&] { return puppet_.received.size() - 6 + counted().bytes == 13; }));
  EXPECT_GE(counted().bytes, 6u);
  EXPECT_EQ(puppet_.received, std::string("beforebetween").substr(0, puppet_.received.size()));
  stop_job();
  EXPECT_EQ(ended(), 0);
  // And afterwards the stream may be read again.
  want(op(TODD_OP_RECV, stream_));
  settle();
  puppet_.received.clear();
  ASSERT_EQ(send(far_.get(), "again", 5, 0), 5);
  ASSERT_TRUE(rounds([&] { return puppet_.received == "again"; }));
}

TEST_P(BulkTest, EndsAtItsTimeWhateverTheSocketDoes) {
  open();
  for (const uint32_t flags : {uint32_t{TODD_BF_SEND}, 0u}) {  // nobody reads, nobody sends
    todd_bulk_job wanted = job(flags);
    wanted.end_ns = monotonic_ns() + 30 * kMs;
    begin_job(wanted);
    EXPECT_EQ(ended(), 0);
    EXPECT_GE(monotonic_ns(), wanted.end_ns);
    EXPECT_LE(monotonic_ns(), wanted.end_ns + kS);
  }
}

TEST_P(BulkTest, StopAndCloseEndIt) {
  open();
  begin_job(job(TODD_BF_SEND));
  ASSERT_TRUE(rounds([&] { return counted().stalls > 0; }));
  stop_job();
  EXPECT_EQ(ended(), 0);
  begin_job(job(TODD_BF_SEND));
  const uint64_t sending = number_;
  begin_job(job(0));
  want(op(TODD_OP_CLOSE, stream_));
  const int results[] = {next(TODD_OP_BULK).result, next(TODD_OP_BULK).result};
  EXPECT_EQ(results[0], 0);
  EXPECT_EQ(results[1], 0);
  todd_bulk_count out{};
  out.size = sizeof out;
  EXPECT_EQ(puppet_.bulk->count(puppet_.lane, number_, &out), -ENOENT);
  EXPECT_EQ(puppet_.bulk->count(puppet_.lane, sending, &out), -ENOENT);
  // The connection is really closed: no descriptor of it is left.
  std::string came;
  ASSERT_TRUE(rounds([&] {
    drain(came);
    return hung_up(far_);
  }));
}

TEST_P(BulkTest, APeerThatResetsIsItsResult) {
  open();
  begin_job(job(TODD_BF_SEND));
  const linger reset{.l_onoff = 1, .l_linger = 0};
  setsockopt(far_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  ASSERT_TRUE(rounds([&] { return counted().stalls > 0; }));
  far_.reset();
  const int result = ended();
  EXPECT_TRUE(result == -ECONNRESET || result == -EPIPE) << result;
}

TEST_P(BulkTest, RefusesWhatItCannotDo) {
  open();
  EXPECT_EQ(try_begin(job(TODD_BF_SEND, 0)), -EINVAL);
  EXPECT_EQ(try_begin(job(TODD_BF_SEND, (4u << 20) + 1)), -EINVAL);
  EXPECT_EQ(try_begin(job(TODD_BF_SEND | TODD_BF_DISCARD)), -EINVAL);
  EXPECT_EQ(try_begin(job(TODD_BF_ZERO_COPY)), -EINVAL);
  EXPECT_EQ(try_begin(job(TODD_BF_SEND | TODD_BF_OFFLOAD)), -EINVAL);  // of datagrams
  EXPECT_EQ(try_begin(job(1u << 20)), -EINVAL);
  todd_bulk_job small = job(0);
  small.size = 8;
  EXPECT_EQ(try_begin(small), -EINVAL);
  stream_ += 1;
  EXPECT_EQ(try_begin(job(TODD_BF_SEND)), -ENOTCONN);
  stream_ -= 1;
  begin_job(job(TODD_BF_SEND));
  EXPECT_EQ(try_begin(job(TODD_BF_SEND)), -EBUSY);
  begin_job(job(0));
  EXPECT_EQ(try_begin(job(0)), -EBUSY);
  EXPECT_EQ(go(op(TODD_OP_RECV, stream_)).result, -EINVAL);
}

TEST_P(BulkTest, NotBehindSendsThatAreUnderWay) {
  puppet_.flow.send_buffer = 40'000;
  open();
  todd_op sending = op(TODD_OP_SEND, stream_);
  todd_status status = INT32_MIN;
  const todd_bulk_job wanted = job(TODD_BF_SEND);
  for (int i = 0; i < 60; ++i) want(sending, std::string(60'000, 'x'));  // more than the socket takes
  settle();
  puppet_.in_step = [&] { status = puppet_.bulk->begin(puppet_.lane, 0, stream_, &wanted, &number_); };
  ASSERT_TRUE(rounds([&] { return status != INT32_MIN; }));
  EXPECT_EQ(status, -EBUSY);
}

// The instance may go while a mover has its job, as it does when a task is cancelled.
TEST_P(BulkTest, OutlivesItsInstance) {
  open();
  begin_job(job(TODD_BF_SEND));
  ASSERT_TRUE(rounds([&] { return counted().stalls > 0; }));
  instance_.reset();
  for (int i = 0; i < 100 && !hung_up(far_); ++i) {
    std::string came;
    drain(came);
    mover_->work(monotonic_ns());
    reactor_->turn(monotonic_ns() + 10 * kMs);
  }
  EXPECT_TRUE(hung_up(far_));
}

TEST_P(BulkTest, KeepsToItsBitrate) {
  open();
  todd_bulk_job wanted = job(TODD_BF_SEND, 10'000);
  wanted.bitrate = 80'000'000;  // one send a millisecond
  wanted.end_ns = monotonic_ns() + 300 * kMs;
  begin_job(wanted);
  std::string came;
  ASSERT_TRUE(rounds([&] {
    drain(came);
    return counted().running == 0;
  }));
  EXPECT_EQ(ended(), 0);
  const todd_bulk_count count = counted();
  // Never ahead; behind only as far as this host was too busy for more than 10 ms.
  EXPECT_LE(count.bytes, 3'010'000u);
  EXPECT_GE(count.bytes, 1'500'000u);
  EXPECT_GT(count.late_ns, 0);
}

// ---- other lanes

class BulkLanesTest : public BulkTest {
 protected:
  void SetUp() override {
    BulkTest::SetUp();
    if (IsSkipped()) return;
    for (auto& lane : others_) {
      auto made = Lane::start(GetParam(), {});
      ASSERT_TRUE(made);
      lane = std::move(*made);
      lanes_.add(*lane);
    }
    events_.move = [this](const std::shared_ptr<BulkJob>& job) { return lanes_.place(job); };
  }
  void TearDown() override {
    instance_.reset();
    lanes_.clear();
    for (auto& lane : others_) lane.reset();
    BulkTest::TearDown();
  }
  std::vector<size_t> jobs() const { return {others_[0]->load().jobs, others_[1]->load().jobs}; }

  BulkLanes lanes_;
  std::unique_ptr<Lane> others_[2];
};
TODD_ALL_ENGINES(BulkLanesTest);

TEST_P(BulkLanesTest, EachGetsAJobAndTheOwnerReadsTheCounts) {
  open();
  todd_bulk_job wanted = job(TODD_BF_SEND);
  wanted.bytes = 50'000'000;
  begin_job(wanted);
  EXPECT_EQ(jobs(), (std::vector<size_t>{1, 0}));
  const uint64_t sending = number_;
  begin_job(job(TODD_BF_DISCARD));
  EXPECT_EQ(jobs(), (std::vector<size_t>{1, 1}));
  const uint64_t receiving = number_;
  ASSERT_EQ(send(far_.get(), "there", 5, 0), 5);
  number_ = sending;
  std::string came;
  uint64_t before = 0;
  ASSERT_TRUE(rounds([&] {
    drain(came);
    EXPECT_GE(counted().bytes, before);
    before = counted().bytes;
    return came.size() == wanted.bytes;
  }));
  EXPECT_EQ(ended(), 0);
  EXPECT_EQ(counted().bytes, wanted.bytes);
  EXPECT_EQ(jobs(), (std::vector<size_t>{0, 1}));
  number_ = receiving;
  ASSERT_TRUE(rounds([&] { return counted().bytes == 5; }));
  stop_job();  // while it waits for the socket
  EXPECT_EQ(ended(), 0);
  EXPECT_EQ(jobs(), (std::vector<size_t>{0, 0}));
}

TEST_P(BulkLanesTest, CloseStopsThemThere) {
  open();
  begin_job(job(TODD_BF_SEND));
  begin_job(job(0));
  want(op(TODD_OP_CLOSE, stream_));
  EXPECT_EQ(next(TODD_OP_BULK).result, 0);
  EXPECT_EQ(next(TODD_OP_BULK).result, 0);
  std::string came;
  ASSERT_TRUE(rounds([&] {
    drain(came);
    return hung_up(far_) && jobs() == std::vector<size_t>{0, 0};
  }));
}

TEST_P(BulkLanesTest, TheInstanceGoesFirst) {
  open();
  begin_job(job(TODD_BF_SEND));
  begin_job(job(0));
  instance_.reset();
  const int64_t end = monotonic_ns() + 10 * kS;
  std::string came;
  while (!hung_up(far_) && monotonic_ns() < end) drain(came);
  EXPECT_TRUE(hung_up(far_));
}

TEST_P(BulkLanesTest, TheLaneThatMovesItGoesFirst) {
  open();
  begin_job(job(TODD_BF_SEND));
  lanes_.clear();
  for (auto& lane : others_) lane.reset();
  EXPECT_EQ(ended(), -ECANCELED);
  EXPECT_EQ(try_begin(job(TODD_BF_SEND)), -ECANCELED);
}

}  // namespace
}  // namespace todd::lane
