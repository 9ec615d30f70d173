#include "engine/supervise/task_cells.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <random>

#include "coordinator/proto/block.h"
#include "todd/v1/worker.pb.h"

namespace todd::supervise {
namespace {

manifest::Testlet testlet() {
  manifest::Testlet out;
  for (const auto kind : {stats::Kind::counter, stats::Kind::histogram})
    out.metrics.emplace_back().kind = kind;
  return out;
}

struct Table {
  Table(uint32_t edges, uint32_t samples)
      : layout({stats::Kind::counter, stats::Kind::histogram}, edges, samples) {
    auto made = TaskCells::make(testlet(), edges, schedule::shard_of(edges, 0, 1), samples);
    EXPECT_TRUE(made) << made.error().detail;
    cells = std::move(made->cells);
    fd = std::move(made->fd);
    memory = std::move(*Mapping::of(fd.get(), layout.bytes(), Mapping::Access::write));
    writer.emplace(layout, memory.data());
  }
  std::vector<v1::Record> read() {
    v1::PeriodClosed closed;
    closed.set_bank(writer->close_period());
    closed.set_last(true);
    return cells->read(closed);
  }
  stats::CellLayout layout;
  std::unique_ptr<TaskCells> cells;
  UniqueFd fd;
  Mapping memory;
  std::optional<stats::CellWriter> writer;
};

// Memory that shrinks under a reader is a SIGBUS.
TEST(TaskCellsTest, WhoHasTheDescriptorCannotPullTheMemoryAway) {
  Table t(3, 8);
  for (const off_t size : {off_t{0}, static_cast<off_t>(t.layout.bytes()) + 4096}) {
    EXPECT_EQ(ftruncate(t.fd.get(), size), -1);
    EXPECT_EQ(errno, EPERM);
  }
  EXPECT_EQ(fcntl(t.fd.get(), F_ADD_SEALS, F_SEAL_WRITE), -1);
}

TEST(TaskCellsTest, RecordsAreCutBeforeTheyAreTooLarge) {
  Table t(4096, 8192);
  for (uint32_t edge = 0; edge < 4096; ++edge)
    for (uint64_t v = 1; v < 1u << 20; v *= 3) t.writer->observe(1, edge, v);
  stats::CellSample sample{};
  sample.at_wall_ns = sample.rtt_ns = INT64_MAX;
  for (uint64_t i = 0; i < 8192; ++i) sample.seq = i, t.writer->sample(sample);
  const auto records = t.read();
  ASSERT_GT(records.size(), 2u);
  int rows = 0, samples = 0;
  for (const auto& record : records) {
    EXPECT_LT(record.ByteSizeLong(), 256u * 1024);
    EXPECT_EQ(record.more(), &record != &records.back());
    rows += record.rows_size();
    samples += record.samples_size();
  }
  EXPECT_EQ(rows, 4096);
  EXPECT_EQ(samples, 8192);
}

// Every edge with something in it, once; those without are named.
TEST(TaskCellsTest, VeryManyEdgesComeAsColumns) {
  constexpr uint32_t kEdges = 100'000;
  Table t(kEdges, 0);
  std::mt19937_64 random(9);
  std::vector<uint64_t> values(kEdges);
  uint64_t sum = 0;
  for (uint32_t edge = 0; edge < kEdges; ++edge) {
    if (edge < 100 || edge % 777 == 0) continue;
    t.writer->count(0, edge, 1);
    t.writer->observe(1, edge, values[edge] = random() >> 30);
    sum += values[edge];
  }
  const auto records = t.read();
  ASSERT_GT(records.size(), 1u);
  std::vector<uint64_t> got(kEdges);
  uint64_t counted = 0;
  for (const auto& record : records) {
    EXPECT_LT(record.ByteSizeLong(), 256u * 1024);
    EXPECT_EQ(record.rows_size(), 0);
    EXPECT_TRUE(record.compact());
    for (const auto& block : record.blocks()) {
      std::vector<bool> empty(block.n());
      for (const uint32_t i : block.empty()) empty.at(i) = true;
      const wire::ColumnView count(block.columns(0), block.n()), histogram(block.columns(1), block.n());
      for (uint32_t i = 0; i < block.n(); ++i) {
        got.at(block.first() + i) = histogram.sum(i);
        counted += count.count(i);
        EXPECT_EQ(empty[i], values[block.first() + i] == 0);
        EXPECT_EQ(count.count(i), empty[i] ? 0u : 1u);
      }
    }
  }
  EXPECT_EQ(got, values);
  EXPECT_EQ(records[0].totals(0).counter(), counted);
  EXPECT_EQ(records[0].totals(1).histogram().sum(), sum);
}

TEST(TaskCellsTest, AShardsColumnsAreOfTheTasksEdges) {
  constexpr uint32_t kEdges = 10'000;
  const auto shard = schedule::shard_of(kEdges, 1, 2);
  auto made = TaskCells::make(testlet(), kEdges, shard, 0);
  ASSERT_TRUE(made) << made.error().detail;
  const stats::CellLayout layout = manifest::cell_layout(testlet(), shard.edges, 0, kEdges);
  Mapping memory = std::move(*Mapping::of(made->fd.get(), layout.bytes(), Mapping::Access::write));
  stats::CellWriter writer(layout, memory.data());
  writer.count(0, 17, 1);
  v1::PeriodClosed closed;
  closed.set_bank(writer.close_period());
  closed.set_last(true);
  const auto records = made->cells->read(closed);
  ASSERT_EQ(records.size(), 1u);
  ASSERT_EQ(records[0].blocks_size(), 1);
  EXPECT_EQ(records[0].blocks(0).first(), shard.first_edge + 17);
}

// Both layouts: the memory is the worker's to fill, with anything.
TEST(TaskCellsTest, NumbersThatLieAreRead) {
  std::mt19937_64 random(5);
  for (const uint32_t edges : {3u, stats::kTwoBankEdges + 1}) {
    for (int round = 0; round < 20; ++round) {
      Table t(edges, 16);
      for (size_t i = 0; i + 8 <= std::min<size_t>(t.layout.bytes(), 1u << 16); i += 8) {
        const uint64_t word = random() >> (random() % 64);
        memcpy(t.memory.data() + i, &word, sizeof word);
      }
      v1::PeriodClosed closed;
      closed.set_bank(static_cast<uint32_t>(random()));
      closed.set_last(true);
      EXPECT_FALSE(t.cells->read(closed).empty());
      EXPECT_FALSE(t.cells->salvage({1, 2}).empty());
    }
  }
}

TEST(TaskCellsTest, AMarkSaysThatTheTestletIsAtWork) {
  Table t(1, 0);
  EXPECT_FALSE(t.cells->in_testlet());
  {
    const stats::InTestlet mark(t.memory.data());
    EXPECT_TRUE(t.cells->in_testlet());
  }
  EXPECT_FALSE(t.cells->in_testlet());
}

}  // namespace
}  // namespace todd::supervise
