#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "coordinator/sink/line_spool.h"
#include "coordinator/sink/sink_set.h"
#include "engine/io/loop.h"

namespace todd::sink {

// What became of one batch.
enum class Taken {
  all,           // delivered
  refused,       // some line is bad: bisect
  too_large,     // send less at a time
  retry,         // later, with back-off
  misconfigured  // only a person can mend it
};
struct Outcome {
  Taken taken = Taken::all;
  std::string error;
  int64_t wait_ns = 0;  // retry: at least so long
};

// Where batches of lines go.
class Writer {
 public:
  virtual ~Writer() = default;
  // done is called once from the loop, never from within; not after the writer is destroyed. One batch at a
  // time.
  virtual void write(const std::string& lines, std::function<void(const Outcome&)> done) = 0;
};
std::unique_ptr<Writer> make_influx_writer(io::Loop& loop, const SinkConfig& config,
                                           const SinkOptions& options);
std::unique_ptr<Writer> make_jsonl_writer(io::Loop& loop, const SinkConfig& config);

// The lines for one sink, run by run, and their way out: one batch at a time, in order, with retries.
// Resource.
class Lane {
 public:
  // folder may be empty. settled is called from the loop when a closed run has nothing left.
  static Result<std::unique_ptr<Lane>> open(io::Loop& loop, SinkConfig config, SinkOptions options,
                                            std::string folder, std::unique_ptr<Writer> writer,
                                            std::function<void(const std::string&)> settled);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  const SinkConfig& config() const { return config_; }
  void open_run(const std::string& run);
  void add(const std::string& run, const std::string& line);
  void close_run(const std::string& run);
  void forget_run(const std::string& run);
  bool has_run(const std::string& run) const { return runs_.count(run) != 0; }
  bool settled(const std::string& run) const;
  model::Delivery delivery(const std::string& run) const;
  SinkHealth health() const;

 private:
  enum class State { ok, failing, paused };
  struct Run {
    LineSpool spool;
    uint64_t skip = 0;  // lines still to be passed over, because they were given before a restart
    bool closed = true;
  };

  Lane(io::Loop& loop, SinkConfig config, SinkOptions options, std::string folder,
       std::unique_ptr<Writer> writer, std::function<void(const std::string&)> settled);
  Status take_up();
  Result<LineSpool> open_spool(const std::string& run) const;
  void wake(int64_t delay_ns);
  void pump();
  void send(const std::string& run);
  void on_outcome(const Outcome& outcome);
  void consumed(bool delivered);
  void drop(Run& run);
  int64_t back_off();

  io::Loop& loop_;
  SinkConfig config_;
  SinkOptions options_;
  std::string folder_;
  std::unique_ptr<Writer> writer_;
  std::function<void(const std::string&)> settled_;
  std::map<std::string, Run> runs_;  // ids rise with time: the oldest run goes first
  uint64_t backlog_ = 0;             // bytes of all runs

  // The batch under way.
  bool sending_ = false;
  bool hurried_ = false;  // a full batch is waiting for the next turn
  std::string sending_run_;
  uint64_t sent_lines_ = 0, sent_bytes_ = 0;
  // How many lines each of the next batches of that run has, the nearest last: what a bisection still has to
  // try.
  std::vector<uint64_t> parts_;
  size_t batch_bytes_;

  State state_ = State::ok;
  int failures_ = 0;
  std::string last_error_;
  uint64_t delivered_ = 0, dead_ = 0, dropped_ = 0;
  std::mt19937_64 random_;
  io::HandlePtr timer_;
};

}  // namespace todd::sink
