#pragma once
// The supervisor's view of the shared memory of one shard of a task: closed periods become records, in frames
// of bounded size, with the edges numbered as the task does.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/fd.h"
#include "engine/base/mapping.h"
#include "engine/manifest/manifest.h"
#include "engine/schedule/shards.h"
#include "engine/stats/cells.h"

namespace todd::v1 {
class PeriodClosed;
class Record;
class Task;
}  // namespace todd::v1

namespace todd::supervise {

// How many edges the task has: one per address its targets stand for, or per peer of a responder. Errors:
// invalid (a target that is none), exhausted (more than 1,048,576).
Result<uint32_t> count_edges(const v1::Task& task);

class TaskCells {
 public:
  struct Made;
  // Makes the memory for a shard of a task of this testlet with so many edges in all: of our size, and
  // sealed, so that whoever gets the descriptor can write the content and nothing else. Errors: system.
  static Result<Made> make(const manifest::Testlet& testlet, uint32_t edges, const schedule::Shard& shard,
                           uint32_t sample_slots);
  TaskCells(const TaskCells&) = delete;
  TaskCells& operator=(const TaskCells&) = delete;

  // What the closed period adds. All but the last record have `more`. Sequence numbers and task are the
  // caller's to fill in.
  std::vector<v1::Record> read(const v1::PeriodClosed& closed);
  // After the worker's death: the closed bank if it was not copied, and the open bank, as of the time from
  // the last period's end to now. Before the first period has ended it began at started_wall_ns.
  struct Life {
    int64_t started_wall_ns = 0;
    int64_t ended_wall_ns = 0;
  };
  std::vector<v1::Record> salvage(Life life);
  bool in_testlet() const { return reader_.in_testlet(); }

 private:
  class Filler;
  TaskCells(stats::CellLayout layout, Mapping memory, uint32_t first_edge);
  void add_bank(Filler& out, uint32_t bank, bool with_flat_rows);
  void add_blocks(Filler& out) const;
  void add_rings(Filler& out, uint32_t bank, bool everything);

  stats::CellLayout layout_;
  Mapping memory_;
  stats::CellReader reader_;
  uint32_t first_edge_;
  uint32_t open_ = 0;            // the bank that is open since the last period was read
  int64_t read_to_wall_ns_ = 0;  // end of the last period read; 0: none yet
};

struct TaskCells::Made {
  std::unique_ptr<TaskCells> cells;
  UniqueFd fd;  // for the worker
};

}  // namespace todd::supervise
