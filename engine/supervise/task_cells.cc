#include "engine/supervise/task_cells.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "coordinator/proto/block.h"
#include "coordinator/proto/histogram.h"
#include "engine/schedule/targets.h"
#include "todd/v1/worker.pb.h"

namespace todd::supervise {
namespace {

// A record is full at this size. A frame of the link holds 1 MiB: a row that begins a record may be larger.
constexpr size_t kRecordBytes = 240 * 1024;
// What a field of a record adds to its content: a tag and a length.
constexpr size_t kFieldBytes = 5;
constexpr uint64_t kMostEdges = 1u << 20;

void put_cell(v1::Cell& out, uint32_t metric, const stats::Value& value) {
  out.set_metric(metric);
  out.set_counter(value.counter);
  if (value.has_gauge) out.set_gauge(value.gauge);
  out.set_info(value.info);
  for (const auto& [key, n] : value.breakdown) {
    auto& tally = *out.add_tallies();
    tally.set_key(key);
    tally.set_n(n);
  }
  if (value.histogram.count != 0) wire::put_histogram(value.histogram, *out.mutable_histogram());
}

std::string text_of(const char* text, size_t cap) { return {text, strnlen(text, cap)}; }

Result<UniqueFd> sealed_memory(size_t bytes) {
  UniqueFd fd(memfd_create("todd-cells", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail_errno(errno, "memfd for the results");
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
    return fail_errno(errno, fmt::format("{} bytes of shared memory for the results", bytes));
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return fail_errno(errno, "sealing the results' memory");
  return fd;
}

}  // namespace

Result<uint32_t> count_edges(const v1::Task& task) {
  uint64_t edges = task.role() == v1::SOURCE ? 0 : static_cast<uint64_t>(task.peers_size());
  for (int i = 0; task.role() == v1::SOURCE && i < task.targets_size(); ++i) {
    schedule::TargetSpec spec;
    spec.host = task.targets(i).host();
    spec.url = task.targets(i).url();
    const auto n = schedule::count(spec);
    if (!n) return tl::unexpected(n.error());
    edges += *n;
    if (edges > kMostEdges) break;
  }
  if (edges > kMostEdges)
    return fail(Errc::exhausted, fmt::format("a task has at most {} edges", kMostEdges));
  return static_cast<uint32_t>(std::max<uint64_t>(1, edges));
}

// Collects records; starts a further one when the last is full.
class TaskCells::Filler {
 public:
  Filler() { out_.emplace_back(); }
  // The record with room for so many bytes.
  v1::Record& record(size_t bytes) {
    if (used_ > 0 && used_ + bytes > kRecordBytes) {
      out_.back().set_more(true);
      out_.emplace_back();
      used_ = 0;
    }
    used_ += bytes + kFieldBytes;
    return out_.back();
  }
  std::vector<v1::Record> take() { return std::move(out_); }

 private:
  std::vector<v1::Record> out_;
  size_t used_ = 0;
};

Result<TaskCells::Made> TaskCells::make(const manifest::Testlet& testlet, uint32_t edges,
                                        const schedule::Shard& shard, uint32_t sample_slots) {
  stats::CellLayout layout = manifest::cell_layout(testlet, shard.edges, sample_slots, edges);
  auto fd = sealed_memory(layout.bytes());
  if (!fd) return tl::unexpected(fd.error());
  auto memory = Mapping::of(fd->get(), layout.bytes(), Mapping::Access::read);
  if (!memory) return tl::unexpected(memory.error());
  return Made{
      std::unique_ptr<TaskCells>(new TaskCells(std::move(layout), std::move(*memory), shard.first_edge)),
      std::move(*fd)};
}

TaskCells::TaskCells(stats::CellLayout layout, Mapping memory, uint32_t first_edge)
    : layout_(std::move(layout)),
      memory_(std::move(memory)),
      reader_(layout_, memory_.data()),
      first_edge_(first_edge) {}

void TaskCells::add_bank(Filler& out, uint32_t bank, bool with_flat_rows) {
  const bool flat = layout_.compact();
  for (const auto& [metric, value] : flat ? reader_.bank_row(bank, 0) : stats::CellReader::Row()) {
    v1::Cell cell;
    put_cell(cell, metric, value);
    *out.record(cell.ByteSizeLong()).add_totals() = std::move(cell);
  }
  if (flat && with_flat_rows) add_blocks(out);
  if (flat) return;
  v1::Row row;
  for (uint32_t edge = 0; edge < layout_.edges(); ++edge) {
    const auto cells = reader_.bank_row(bank, edge);
    if (cells.empty()) continue;
    row.Clear();
    row.set_edge(first_edge_ + edge);
    for (const auto& [metric, value] : cells) put_cell(*row.add_cells(), metric, value);
    *out.record(row.ByteSizeLong()).add_rows() = std::move(row);
  }
}

void TaskCells::add_blocks(Filler& out) const {
  size_t row_bytes = 5;  // of an edge among the empty ones
  for (const stats::Kind kind : layout_.kinds()) row_bytes += wire::column_bytes(kind);
  const auto most = static_cast<uint32_t>(std::max<size_t>(1, kRecordBytes / row_bytes));
  std::vector<stats::CellReader::Flat> rows;
  uint32_t edge = 0;
  for (;;) {
    while (edge < layout_.edges() && reader_.flat_empty(edge)) ++edge;
    if (edge == layout_.edges()) return;
    const uint32_t n = std::min(most, layout_.edges() - edge);
    v1::Block block;
    block.set_first(first_edge_ + edge);
    block.set_n(n);
    for (uint32_t i = 1; i < n; ++i)
      if (reader_.flat_empty(edge + i)) block.add_empty(i);
    rows.resize(n);
    for (uint32_t metric = 0; metric < layout_.kinds().size(); ++metric) {
      if (layout_.flat_cell(metric) == stats::CellLayout::kNoCell) continue;
      for (uint32_t i = 0; i < n; ++i) rows[i] = reader_.flat(edge + i, metric);
      wire::put_column(layout_.kinds()[metric], metric, rows, block);
    }
    *out.record(block.ByteSizeLong()).add_blocks() = std::move(block);
    edge += n;
  }
}

void TaskCells::add_rings(Filler& out, uint32_t bank, bool everything) {
  for (const auto& s : reader_.samples(bank, everything)) {
    v1::Sample sample;
    sample.set_edge(first_edge_ + s.edge);
    sample.set_at_wall_ns(s.at_wall_ns);
    sample.set_rtt_ns(s.rtt_ns);
    sample.set_seq(s.seq);
    sample.set_ttl(s.ttl);
    sample.set_tx_stamp(s.tx_stamp);
    sample.set_rx_stamp(s.rx_stamp);
    sample.set_outcome(text_of(s.outcome, sizeof s.outcome));
    *out.record(sample.ByteSizeLong()).add_samples() = std::move(sample);
  }
  for (const auto& n : reader_.notes(bank, everything)) {
    v1::Example example;
    example.set_edge(first_edge_ + n.edge);
    example.set_at_wall_ns(n.at_wall_ns);
    example.set_outcome(text_of(n.outcome, sizeof n.outcome));
    example.set_detail(text_of(n.text, sizeof n.text));
    *out.record(example.ByteSizeLong()).add_examples() = std::move(example);
  }
}

std::vector<v1::Record> TaskCells::read(const v1::PeriodClosed& closed) {
  const uint32_t bank = closed.bank() & 1;
  open_ = 1 - bank;
  read_to_wall_ns_ = closed.to_wall_ns();
  Filler filler;
  add_bank(filler, bank, closed.last());
  add_rings(filler, bank, false);
  std::vector<v1::Record> out = filler.take();
  *out.back().mutable_quality() = closed.quality();
  out.back().mutable_quality()->set_samples_dropped(reader_.samples_dropped());
  for (auto& record : out) {
    record.set_compact(layout_.compact());
    record.set_from_wall_ns(closed.from_wall_ns());
    record.set_to_wall_ns(closed.to_wall_ns());
  }
  return out;
}

std::vector<v1::Record> TaskCells::salvage(Life life) {
  Filler filler;
  const uint32_t open = reader_.open_bank();
  const int64_t from_wall_ns = read_to_wall_ns_ != 0 ? read_to_wall_ns_ : life.started_wall_ns;
  // It turned since we read last: what it closed lies unread, its word of it was never sent.
  if (open != open_) add_bank(filler, 1 - open, false);
  add_bank(filler, open, true);
  add_rings(filler, open, true);
  std::vector<v1::Record> out = filler.take();
  for (auto& record : out) {
    record.set_compact(layout_.compact());
    record.set_partial(true);
    record.set_from_wall_ns(from_wall_ns);
    record.set_to_wall_ns(std::max(from_wall_ns, life.ended_wall_ns));  // it may have died before its start
  }
  return out;
}

}  // namespace todd::supervise
