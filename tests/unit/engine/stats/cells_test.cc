#include "engine/stats/cells.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace todd::stats {
namespace {

const std::vector<Kind> kKinds = {Kind::counter, Kind::histogram, Kind::gauge, Kind::breakdown,
                                  Kind::info,    Kind::ratio,     Kind::spread};

struct Table {
  explicit Table(uint32_t edges, uint32_t samples = 8)
      : layout(kKinds, edges, samples),
        memory(layout.bytes()),
        writer(layout, memory.data()),
        reader(layout, memory.data()) {}
  CellLayout layout;
  std::vector<uint8_t> memory;
  CellWriter writer;
  CellReader reader;
};

const Value* find(const CellReader::Row& row, uint32_t metric) {
  for (const auto& [m, value] : row)
    if (m == metric) return &value;
  return nullptr;
}

TEST(CellsTest, APeriodIsADeltaAndTheNextStartsEmpty) {
  Table t(3);
  t.writer.count(0, 1, 5);
  t.writer.observe(1, 1, 1000);
  t.writer.set(2, 1, 2.5, GaugeMerge::sum);
  t.writer.tally(3, 1, "200", 2);
  t.writer.info(4, 1, "TLS 1.3");
  uint32_t bank = t.writer.close_period();
  t.writer.count(0, 1, 7);  // belongs to the next period
  auto row = t.reader.bank_row(bank, 1);
  EXPECT_EQ(find(row, 0)->counter, 5u);
  EXPECT_EQ(find(row, 1)->histogram.sum, 1000u);
  EXPECT_EQ(find(row, 2)->gauge, 2.5);
  EXPECT_EQ(find(row, 3)->breakdown.at("200"), 2u);
  EXPECT_EQ(find(row, 4)->info, "TLS 1.3");
  EXPECT_TRUE(t.reader.bank_row(bank, 0).empty());
  t.writer.copied();
  bank = t.writer.close_period();
  row = t.reader.bank_row(bank, 1);
  EXPECT_EQ(find(row, 0)->counter, 7u);
  EXPECT_EQ(find(row, 1), nullptr);
  EXPECT_EQ(find(row, 4), nullptr);
}

TEST(CellsTest, NothingIsWrittenWhileMuted) {
  Table t(3);
  const std::vector<uint8_t> before = t.memory;
  t.writer.mute(true);
  t.writer.count(0, 1, 5);
  t.writer.observe(1, 1, 1000);
  t.writer.set(2, 1, 2.5, GaugeMerge::sum);
  t.writer.tally(3, 1, "200", 2);
  t.writer.info(4, 1, "TLS 1.3");
  t.writer.note({});
  t.writer.sample({});
  EXPECT_EQ(t.memory, before);
  EXPECT_EQ(t.writer.refused(), 0u);
  t.writer.mute(false);
  t.writer.count(0, 1, 5);
  EXPECT_EQ(find(t.reader.bank_row(t.writer.close_period(), 1), 0)->counter, 5u);
}

TEST(CellsTest, HistogramEqualsTheOneMadeDirectlyOverManyPeriods) {
  Table t(2);
  std::mt19937_64 random(7);
  Histogram direct, read;
  for (int period = 0; period < 5; ++period) {
    for (int i = 0; i < 1000; ++i) {
      const uint64_t v = random() >> (random() % 60 + 4);
      direct.add(v);
      t.writer.observe(1, 0, v);
    }
    const uint32_t bank = t.writer.close_period();
    read.merge(find(t.reader.bank_row(bank, 0), 1)->histogram);
    t.writer.copied();
  }
  EXPECT_EQ(read, direct);
}

TEST(CellsTest, ManyEdgesShareOneBankRowAndKeepFlatRows) {
  Table t(kTwoBankEdges + 10);
  ASSERT_TRUE(t.layout.compact());
  t.writer.count(0, 4100, 1);
  t.writer.count(0, 5, 2);
  t.writer.observe(1, 4100, 100);
  t.writer.observe(1, 5, 300);
  const uint32_t bank = t.writer.close_period();
  auto total = t.reader.bank_row(bank, 0);
  EXPECT_EQ(find(total, 0)->counter, 3u);
  EXPECT_EQ(find(total, 1)->histogram.count, 2u);
  EXPECT_EQ(t.reader.flat(4100, 0).count, 1u);
  EXPECT_EQ(t.reader.flat(4100, 1).max, 100u);
  EXPECT_FALSE(t.reader.flat_empty(4100));
  EXPECT_TRUE(t.reader.flat_empty(4101));
  EXPECT_FALSE(t.reader.flat(4101, 0).something);
}

TEST(CellsTest, AFlatRowIsPackedAndExact) {
  const std::vector<Kind> kinds(8, Kind::counter);
  std::vector<Kind> ping = kinds;
  ping.insert(ping.end(), {Kind::ratio, Kind::histogram, Kind::histogram, Kind::gauge, Kind::breakdown});
  std::vector<bool> only_total(ping.size());
  only_total[10] = true;
  const CellLayout layout(ping, kTwoBankEdges + 1, 0, only_total);
  EXPECT_EQ(layout.flat_stride(), 64u);
  std::vector<uint8_t> memory(layout.bytes());
  CellWriter writer(layout, memory.data());
  const CellReader reader(layout, memory.data());
  std::mt19937_64 random(11);
  Histogram direct;
  for (int i = 0; i < 1000; ++i) {
    const uint64_t v = random() >> (16 + random() % 40);
    direct.add(v);
    writer.observe(9, 7, v);
    writer.observe(10, 7, v);
  }
  writer.set(11, 7, 0.1, GaugeMerge::sum);
  const auto read = reader.flat(7, 9);
  EXPECT_EQ(read.count, direct.count);
  EXPECT_EQ(read.sum, direct.sum);
  EXPECT_EQ(read.min, direct.min);
  EXPECT_EQ(read.max, direct.max);
  EXPECT_EQ(reader.flat(7, 11).gauge, 0.1);
  EXPECT_FALSE(reader.flat(7, 10).something);  // kept in the total alone
  const auto total = reader.bank_row(0, 0);
  EXPECT_EQ(find(total, 10)->histogram, direct);
}

TEST(CellsTest, WhatIsTooMuchForAFlatRowStaysAtItsMost) {
  Table t(kTwoBankEdges + 1);
  t.writer.count(0, 3, 5);
  t.writer.count(0, 3, uint64_t{1} << 40);
  t.writer.count(0, 3, 7);
  t.writer.observe(1, 3, UINT64_MAX);
  t.writer.observe(1, 3, UINT64_MAX);
  EXPECT_EQ(t.reader.flat(3, 0).count, UINT32_MAX);
  EXPECT_EQ(t.reader.flat(3, 1).max, CellLayout::kFlatMost);
  EXPECT_EQ(t.reader.flat(3, 1).sum, UINT64_MAX);
  EXPECT_EQ(find(t.reader.bank_row(0, 0), 0)->counter, (uint64_t{1} << 40) + 12);  // exact
}

// A row of every table and text is reserved; what nobody records must not be touched.
TEST(CellsTest, BreakdownsAndTextsTakeMemoryOnlyWhereRecorded) {
  Table t(kTwoBankEdges);
  EXPECT_LT(t.layout.row_stride(), 300u);
  t.writer.tally(3, 4000, "unreachable", 1);
  t.writer.tally(3, 2, "refused", 3);
  t.writer.info(4, 4000, "TLS 1.3");
  const auto row = t.reader.bank_row(0, 4000);
  EXPECT_EQ(find(row, 3)->breakdown.at("unreachable"), 1u);
  EXPECT_EQ(find(row, 4)->info, "TLS 1.3");
  EXPECT_EQ(find(t.reader.bank_row(0, 2), 3)->breakdown.at("refused"), 3u);
  const auto* used = reinterpret_cast<const CellLayout::Header*>(t.memory.data())->bank[0].used;
  EXPECT_EQ(used[CellLayout::kTables], 2u);
  EXPECT_EQ(used[CellLayout::kTexts], 1u);
  t.writer.close_period();
  t.writer.copied();
  t.writer.close_period();  // the first bank is open again, and clean
  t.writer.tally(3, 1, "reset", 1);
  EXPECT_EQ(find(t.reader.bank_row(0, 1), 3)->breakdown, (std::map<std::string, uint64_t>{{"reset", 1}}));
}

TEST(CellsTest, WhatDoesNotFitIsRefusedAndCounted) {
  Table t(1);
  t.writer.count(1, 0, 1);   // a histogram
  t.writer.count(0, 1, 1);   // no such edge
  t.writer.count(99, 0, 1);  // no such metric
  EXPECT_EQ(t.writer.refused(), 3u);
}

TEST(CellsTest, SamplesNotYetCopiedAreNeverOverwritten) {
  Table t(1, 4);
  CellSample sample{};
  for (uint64_t i = 0; i < 6; ++i) sample.seq = i, t.writer.sample(sample);
  EXPECT_EQ(t.reader.samples_dropped(), 2u);
  const uint32_t bank = t.writer.close_period();
  auto got = t.reader.samples(bank, false);
  ASSERT_EQ(got.size(), 4u);
  EXPECT_EQ(got.back().seq, 3u);
  t.writer.copied();
  sample.seq = 9;
  t.writer.sample(sample);
  got = t.reader.samples(t.writer.close_period(), false);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].seq, 9u);
}

TEST(CellsTest, AReaderSurvivesGarbage) {
  for (const uint32_t edges : {4u, kTwoBankEdges + 4}) {
    Table t(edges);
    std::mt19937 random(3);
    for (auto& byte : t.memory) byte = static_cast<uint8_t>(random());
    for (uint32_t row = 0; row < t.layout.bank_rows(); ++row) (void)t.reader.bank_row(random() % 2, row);
    for (uint32_t edge = 0; t.layout.compact() && edge < edges; ++edge) {
      for (uint32_t m = 0; m < kKinds.size(); ++m) (void)t.reader.flat(edge, m);
    }
    EXPECT_LE(t.reader.samples(0, true).size(), t.layout.sample_slots());
    EXPECT_LE(t.reader.notes(1, true).size(), CellLayout::kNotes);
  }
}

TEST(CellsTest, BreakdownKeepsItsTotalBeyondTheKeyLimit) {
  Table t(1);
  for (int i = 0; i < 100; ++i) t.writer.tally(3, 0, std::to_string(i), 1);
  const auto row = t.reader.bank_row(t.writer.close_period(), 0);
  uint64_t total = 0;
  for (const auto& [key, n] : find(row, 3)->breakdown) total += n;
  EXPECT_EQ(total, 100u);
  EXPECT_EQ(find(row, 3)->breakdown.at(kOtherKey), 36u);
}

}  // namespace
}  // namespace todd::stats
