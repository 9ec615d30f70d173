#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/fd.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::store {

// One append-only file per open run, DIR/<id>.journal: entries of length, CRC-32C and bytes whose meaning is
// the caller's. Entries become durable together (group commit). Resource; everything on the loop's thread.
class Journal {
 public:
  // How long an entry may wait for others before it is synced.
  static constexpr int64_t kCommitNs = 5'000'000;
  static constexpr size_t kMaxEntry = size_t{64} << 20;

  // The folder is made if missing. Errors: system, denied.
  static Result<std::unique_ptr<Journal>> open(io::Loop& loop, std::string dir);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // The runs that were open when the last process ended.
  std::vector<std::string> left_open() const;
  // Takes such a run up: calls back with its whole entries in the order appended, one in memory at a time,
  // until false says that the run is not wanted. A torn, damaged or unreadable end is cut off, in the file
  // too; later appends go on from there. on_entry must not append. Errors: not_found, denied, system.
  Status recover(const std::string& run, const std::function<bool(std::string_view entry)>& on_entry);

  // Begins a run's file with its first entry, durable when it returns. Errors: exists, exhausted (above
  // kMaxEntry), system.
  Status begin(const std::string& run, std::string_view first);
  // on_durable is called from the loop, in the order of the appends, never from within append. A failure is
  // the disk's, or exhausted (above kMaxEntry): the entry will not be durable. Precondition: not empty; begun
  // or recovered, not ended.
  void append(const std::string& run, std::string_view entry,
              std::function<void(const Status&)> on_durable = nullptr);
  // Syncs now and calls what waits.
  void commit();
  // The run needs no recovery any more: removes its file, begun or left. What is still waiting is called with
  // success first.
  void end(const std::string& run);

 private:
  struct Waiting {
    std::string run;
    std::function<void(const Status&)> on_durable;
    Status taken;  // else it was not written at all
  };
  struct File {
    UniqueFd fd;
    uint64_t size = 0;
    bool dirty = false;
    Status status;  // the first failure; from then on nothing is durable
  };
  Journal(io::Loop& loop, std::string dir) : loop_(loop), dir_(std::move(dir)) {}
  std::string path_of(const std::string& run) const;

  io::Loop& loop_;
  std::string dir_;
  std::map<std::string, File> files_;
  std::vector<Waiting> waiting_;
  io::HandlePtr timer_;
};

}  // namespace todd::store
