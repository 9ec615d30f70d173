#include "engine/agent/spool.h"

#include <gtest/gtest.h>

#include "engine/io/frame.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {
v1::Record record(const std::string& task, uint64_t seq, size_t bytes = 0, bool last = false) {
  v1::Record made;
  made.set_task(task);
  made.set_seq(seq);
  made.set_last(last);
  if (bytes > 0) made.add_examples()->set_detail(std::string(bytes, 'x'));
  return made;
}

v1::Record sent(const std::string* bytes) {
  v1::FromAgent message;
  EXPECT_TRUE(bytes && message.ParseFromString(*bytes) && message.has_record());
  return message.record();
}

std::string rest(Spool& spool) {
  std::string text;
  while (const std::string* next = spool.next())
    text += sent(next).task() + std::to_string(sent(next).seq()) + " ";
  return text;
}

TEST(SpoolTest, SendsInOrderAndOnce) {
  Spool spool;
  spool.add(record("a", 1));
  spool.add(record("b", 1));
  EXPECT_EQ(rest(spool), "a1 b1 ");
  spool.add(record("a", 2));
  EXPECT_EQ(rest(spool), "a2 ");
  EXPECT_EQ(spool.records(), 3u);
}

TEST(SpoolTest, AcknowledgementIsCumulativePerTask) {
  Spool spool;
  for (uint64_t seq = 1; seq <= 3; ++seq) {
    spool.add(record("a", seq));
    spool.add(record("b", seq));
  }
  EXPECT_NE(spool.next(), nullptr);  // a1
  EXPECT_NE(spool.next(), nullptr);  // b1
  EXPECT_NE(spool.next(), nullptr);  // a2
  spool.ack("a", 2);
  EXPECT_EQ(rest(spool), "b2 a3 b3 ");  // those not sent yet, none lost or repeated
  spool.rewind();
  EXPECT_EQ(rest(spool), "b1 b2 a3 b3 ");
  spool.ack("b", 3);
  spool.ack("a", 3);
  EXPECT_EQ(spool.records(), 0u);
  EXPECT_EQ(spool.bytes(), 0u);
}

TEST(SpoolTest, ForgetsATask) {
  Spool spool;
  spool.add(record("a", 1));
  spool.add(record("b", 1));
  spool.forget("a");
  EXPECT_EQ(spool.tasks(), std::vector<std::string>{"b"});
  EXPECT_EQ(rest(spool), "b1 ");
}

TEST(SpoolTest, AboveTheLimitTheOldestLoseContentButNotTheirPlace) {
  Spool spool(10'000);
  spool.add(record("ended", 1, 3000, true));
  for (uint64_t seq = 1; seq <= 5; ++seq) spool.add(record("a", seq, 3000));
  EXPECT_LE(spool.bytes(), 10'000u);
  EXPECT_EQ(spool.dropped(), 3u);
  const v1::Record kept = sent(spool.next());
  EXPECT_EQ(kept.examples_size(), 1) << "what ends a task is never dropped";
  for (uint64_t seq = 1; seq <= 5; ++seq) {
    const v1::Record got = sent(spool.next());
    EXPECT_EQ(got.seq(), seq);
    EXPECT_EQ(got.examples_size(), seq <= 3 ? 0 : 1) << seq;
    EXPECT_EQ(got.partial(), seq <= 3) << seq;
    EXPECT_EQ(got.detail().empty(), seq > 3) << seq;
  }
}

TEST(SpoolTest, DroppingGoesOnAfterAcknowledgements) {
  Spool spool(10'000);
  for (uint64_t seq = 1; seq <= 5; ++seq) spool.add(record("a", seq, 3000));
  spool.ack("a", 1);
  for (uint64_t seq = 6; seq <= 9; ++seq) spool.add(record("a", seq, 3000));
  EXPECT_LE(spool.bytes(), 10'000u);
  EXPECT_EQ(spool.dropped(), 6u);
}

TEST(SpoolTest, ARecordTooLongForAFrameKeepsItsEnd) {
  Spool spool;
  spool.add(record("a", 1, io::kMaxFrame, true));
  const v1::Record got = sent(spool.next());
  EXPECT_TRUE(got.last());
  EXPECT_TRUE(got.partial());
  EXPECT_EQ(got.examples_size(), 0);
  EXPECT_EQ(spool.dropped(), 1u);
}
}  // namespace
}  // namespace todd::agent
