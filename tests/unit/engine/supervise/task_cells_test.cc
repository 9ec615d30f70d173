#include "engine/supervise/task_cells.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <random>

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
