#include "engine/supervise/task_cells.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "todd/v1/worker.pb.h"

namespace todd::supervise {
namespace {

// Frames on the link are at most 256 KiB; a row is counted by what it really takes.
constexpr size_t kRecordBytes = 240 * 1024;

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
  const auto& h = value.histogram;
  if (h.count == 0) return;
  auto& histogram = *out.mutable_histogram();
  histogram.set_count(h.count);
  histogram.set_sum(h.sum);
  histogram.set_min(h.min);
  histogram.set_max(h.max);
  histogram.set_squares_low(static_cast<uint64_t>(h.sum_squares));
  histogram.set_squares_high(static_cast<uint64_t>(h.sum_squares >> 64));
  uint32_t before = 0;
  for (const auto& [bucket, n] : h.buckets) {
    histogram.add_bucket(bucket - before);
    histogram.add_n(n);
    before = bucket;
  }
}

std::string text_of(const char* text, size_t cap) { return {text, strnlen(text, cap)}; }

// Starts a further record when the last one is full.
class Filler {
 public:
  explicit Filler(std::vector<v1::Record>& out) : out_(out) {
    if (out_.empty()) out_.emplace_back();
  }
  v1::Record& record(size_t bytes) {
    if (used_ + bytes > kRecordBytes) {
      out_.back().set_more(true);
      out_.emplace_back();
      used_ = 0;
    }
    used_ += bytes;
    return out_.back();
  }

 private:
  std::vector<v1::Record>& out_;
  size_t used_ = 0;
};

}  // namespace

Result<std::unique_ptr<TaskCells>> TaskCells::map(const manifest::Testlet& testlet, uint32_t edges, uint32_t sample_slots, uint64_t bytes, const UniqueFd& fd) {
  std::vector<stats::Kind> kinds;
  for (const auto& metric : testlet.metrics) kinds.push_back(metric.kind);
  stats::CellLayout layout(std::move(kinds), edges, sample_slots);
  if (layout.bytes() != bytes) return fail(Errc::corrupt, fmt::format("the worker's results take {} bytes, {} were expected", bytes, layout.bytes()));
  void* memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return fail_errno(errno, "mapping the worker's results");
  return std::unique_ptr<TaskCells>(new TaskCells(std::move(layout), static_cast<const uint8_t*>(memory)));
}

TaskCells::TaskCells(stats::CellLayout layout, const uint8_t* memory) : layout_(std::move(layout)), memory_(memory), reader_(layout_, memory) {}

TaskCells::~TaskCells() { munmap(const_cast<uint8_t*>(memory_), layout_.bytes()); }

void TaskCells::add_bank(std::vector<v1::Record>& out, uint32_t bank, bool with_flat_rows) {
  Filler fill(out);
  if (layout_.compact()) {
    for (const auto& [metric, value] : reader_.bank_row(bank, 0)) put_cell(*fill.record(0).add_totals(), metric, value);
  }
  const bool flat = layout_.compact();
  if (flat && !with_flat_rows) return;
  v1::Row row;
  for (uint32_t edge = 0; edge < layout_.edges(); ++edge) {
    const auto cells = flat ? reader_.flat_row(edge) : reader_.bank_row(bank, edge);
    if (cells.empty()) continue;
    row.Clear();
    row.set_edge(edge);
    for (const auto& [metric, value] : cells) put_cell(*row.add_cells(), metric, value);
    *fill.record(row.ByteSizeLong() + 8).add_rows() = std::move(row);
  }
}

void TaskCells::add_rings(std::vector<v1::Record>& out, uint32_t bank, bool everything) {
  Filler fill(out);
  for (const auto& s : reader_.samples(bank, everything)) {
    auto& sample = *fill.record(64).add_samples();
    sample.set_edge(s.edge);
    sample.set_at_wall_ns(s.at_wall_ns);
    sample.set_rtt_ns(s.rtt_ns);
    sample.set_seq(s.seq);
    sample.set_ttl(s.ttl);
    sample.set_tx_stamp(s.tx_stamp);
    sample.set_rx_stamp(s.rx_stamp);
    sample.set_outcome(text_of(s.outcome, sizeof s.outcome));
  }
  for (const auto& n : reader_.notes(bank, everything)) {
    auto& example = *fill.record(256).add_examples();
    example.set_edge(n.edge);
    example.set_at_wall_ns(n.at_wall_ns);
    example.set_outcome(text_of(n.outcome, sizeof n.outcome));
    example.set_detail(text_of(n.text, sizeof n.text));
  }
}

std::vector<v1::Record> TaskCells::read(const v1::PeriodClosed& closed) {
  std::vector<v1::Record> out;
  read_to_wall_ns_ = closed.to_wall_ns();
  add_bank(out, closed.bank() & 1, closed.last());
  add_rings(out, closed.bank() & 1, false);
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
  std::vector<v1::Record> out;
  const uint32_t open = reader_.open_bank();
  const int64_t from_wall_ns = read_to_wall_ns_ != 0 ? read_to_wall_ns_ : life.started_wall_ns;
  add_bank(out, open, true);
  add_rings(out, open, true);
  for (auto& record : out) {
    record.set_compact(layout_.compact());
    record.set_partial(true);
    record.set_from_wall_ns(from_wall_ns);
    record.set_to_wall_ns(std::max(from_wall_ns, life.ended_wall_ns));  // it may have died before its start
  }
  return out;
}

}  // namespace todd::supervise
