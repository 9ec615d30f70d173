#pragma once
// The supervisor's view of one task's shared memory: closed periods become records, in frames of bounded size.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/fd.h"
#include "engine/manifest/manifest.h"
#include "engine/stats/cells.h"

namespace todd::v1 {
class PeriodClosed;
class Record;
}  // namespace todd::v1

namespace todd::supervise {

class TaskCells {
 public:
  // Maps the memory. Errors: corrupt (its size is not what the layout of these metrics needs).
  static Result<std::unique_ptr<TaskCells>> map(const manifest::Testlet& testlet, uint32_t edges, uint32_t sample_slots, uint64_t bytes, const UniqueFd& fd);
  ~TaskCells();
  TaskCells(const TaskCells&) = delete;
  TaskCells& operator=(const TaskCells&) = delete;

  // What the closed period adds. All but the last record have `more`. Sequence numbers and task are the caller's to fill in.
  std::vector<v1::Record> read(const v1::PeriodClosed& closed);
  // After the worker's death: the open bank, as of the time from the last period's end to now. Before the
  // first period has ended it began at started_wall_ns.
  struct Life {
    int64_t started_wall_ns = 0;
    int64_t ended_wall_ns = 0;
  };
  std::vector<v1::Record> salvage(Life life);

 private:
  TaskCells(stats::CellLayout layout, const uint8_t* memory);
  void add_bank(std::vector<v1::Record>& out, uint32_t bank, bool with_flat_rows);
  void add_rings(std::vector<v1::Record>& out, uint32_t bank, bool everything);

  stats::CellLayout layout_;
  const uint8_t* memory_;
  stats::CellReader reader_;
  int64_t read_to_wall_ns_ = 0;  // end of the last period read; 0: none yet
};

}  // namespace todd::supervise
