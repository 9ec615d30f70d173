#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/model/report.h"
#include "engine/base/result.h"

namespace todd::store {

struct FinishedRunsOptions {
  size_t keep_runs = 100;
  uint64_t keep_bytes = uint64_t{256} << 20;
};

// The reports of the last runs, each a file DIR/<id>.run: a line about it, then the report as JSON. The
// oldest go first. Resource; single-threaded.
class FinishedRuns {
 public:
  struct Summary {
    std::string id;
    std::string suite;
    model::RunState state = model::RunState::completed;
    model::Verdict verdict = model::Verdict::none;
    int64_t started_at_ns = 0;
    int64_t finished_at_ns = 0;
    uint64_t bytes = 0;
  };

  // An empty dir keeps everything in memory. A file that cannot be read is passed over with a line in the
  // log. Errors: system, denied.
  static Result<FinishedRuns> open(std::string dir, FinishedRunsOptions options = {});

  using ReportPtr = std::shared_ptr<const model::Report>;

  // Keeps a report (or replaces the one of that id) and evicts what is too much, but never this one. Errors:
  // system.
  Status put(ReportPtr report);
  // The state of delivery alone. Errors: not_found, system.
  Status set_delivery(const std::string& id, const std::vector<model::Delivery>& delivery);

  // Gone for good when it returns. Errors: not_found, system.
  Status remove(const std::string& id);

  // Of a file it is read anew each time. Errors: not_found, corrupt.
  Result<ReportPtr> get(const std::string& id) const;

  // By id, which is by time.
  const std::map<std::string, Summary>& list() const { return summaries_; }

 private:
  FinishedRuns(std::string dir, FinishedRunsOptions options) : dir_(std::move(dir)), options_(options) {}
  Status load();
  void evict(const std::string& but);
  std::string path_of(const std::string& id) const;

  std::string dir_;
  FinishedRunsOptions options_;
  std::map<std::string, Summary> summaries_;
  std::map<std::string, ReportPtr> reports_;  // without a dir
  uint64_t bytes_ = 0;
};

}  // namespace todd::store
