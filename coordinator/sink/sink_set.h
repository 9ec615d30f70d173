#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/model/report.h"
#include "coordinator/sink/point.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::sink {

struct SinkConfig {
  std::string name;  // [a-z0-9][a-z0-9._-]*
  std::string type;  // "influx" (InfluxDB 1 and VictoriaMetrics) or "jsonl"
  std::string url;   // influx: "http://127.0.0.1:8086"
  std::string database = "todd";
  std::string user, password;  // influx, may be empty
  bool create = false;         // influx: make the database if it is missing
  std::string path;            // jsonl: the file appended to
};

struct SinkOptions {
  size_t batch_lines = 5'000;
  size_t batch_bytes = size_t{1} << 20;
  size_t backlog_bytes =
      size_t{64} << 20;  // per sink without a spool folder; what comes beyond is dropped and counted as dead
  size_t spool_bytes = size_t{1} << 30;  // per sink with one
  int64_t gather_ns = 200'000'000;       // a batch that is not full waits this long for more
  int64_t timeout_ns = 10'000'000'000;   // of one request
  int64_t retry_first_ns = 100'000'000;  // back-off with full jitter, doubled up to
  int64_t retry_most_ns = 30'000'000'000;
  int64_t probe_ns = 30'000'000'000;  // after an answer that only a person can mend (401, 403, 404)
};

// How a sink is doing, over all runs.
struct SinkHealth {
  std::string name;
  std::string state;       // "ok", "failing" (retries), "paused" (misconfigured: tried again every 30 s)
  std::string last_error;  // what the server or the network said last; empty: nothing wrong so far
  uint64_t delivered = 0, dead = 0, dropped = 0, pending = 0;  // lines
};

// Delivers points to every configured sink, each in its own order and at its own pace: a dead sink delays
// nobody. With a spool folder, lines wait in DIR/<sink>/<run>.lines and survive a restart. A line the server
// refuses (400) is found by bisection, counted as dead and dropped; the rest goes on. Resource; everything on
// the loop's thread.
class SinkSet {
 public:
  // spool_dir may be empty: memory only. Errors: invalid (bad config), system.
  static Result<std::unique_ptr<SinkSet>> open(io::Loop& loop, std::vector<SinkConfig> sinks,
                                               std::string spool_dir, SinkOptions options = {});
  ~SinkSet();
  SinkSet(const SinkSet&) = delete;
  SinkSet& operator=(const SinkSet&) = delete;

  // Points of a run come between these two. A run that was open when the last process ended is opened again
  // and its points written again from the first on, in the same order: those already spooled are passed over.
  void open_run(const std::string& run);
  void write(const Point& point);
  void close_run(const std::string& run);

  // Of one run, one entry per sink; empty for a run it knows nothing of (any more).
  std::vector<model::Delivery> delivery(const std::string& run) const;
  // Called from the loop once all of a closed run's lines are delivered or dead; then the run is forgotten.
  void on_settled(std::function<void(const std::string& run, const std::vector<model::Delivery>&)> callback);

  std::vector<SinkHealth> health() const;

 private:
  struct Impl;
  explicit SinkSet(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::sink
