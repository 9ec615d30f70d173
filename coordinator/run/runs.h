#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/model/report.h"
#include "coordinator/run/events.h"
#include "coordinator/run/request.h"
#include "coordinator/run/transport.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::store {
class Journal;
class FinishedRuns;
}  // namespace todd::store
namespace todd::sink {
class SinkSet;
}

namespace todd::run {

struct RunsOptions {
  size_t max_open = 64;                 // runs that have not ended; more are refused (unavailable)
  int64_t prepare_ns = 10'000'000'000;  // for both ends of a test, names included
  int64_t grace_ns = 5'000'000'000;     // after a test's planned end and its timeout, for records under way
  int64_t return_ns =
      35'000'000'000;  // after a restart, for agents to come back: their longest back-off, and to join
  int64_t cancel_ns = 2'000'000'000;    // for what still comes after a cancel
  int64_t turn_ns = 3'600'000'000'000;  // longest wait for the turn of a heavy edge
  int64_t start_lead_ns = 50'000'000;   // START is at least this far ahead
  int64_t progress_ns = 250'000'000;    // least distance of two run_progress events of a run
  size_t max_periods =
      10'000;  // edge periods kept per run, further ones only go to the sinks; 0: nobody wants any
  size_t max_samples = 100'000;     // per run
  size_t examples_per_outcome = 5;  // per edge
};

// What outlives the process; each may be null. They must outlive Runs.
struct Stores {
  store::Journal* journal = nullptr;        // open runs
  store::FinishedRuns* finished = nullptr;  // null: the last 100 runs are kept in memory
  sink::SinkSet* sinks = nullptr;
};

// One run as lists show it.
struct RunSummary {
  std::string id;
  std::string suite;
  model::RunState state = model::RunState::running;
  model::Verdict verdict = model::Verdict::none;
  int64_t started_at_ns = 0;
  int64_t finished_at_ns = 0;
  std::string waiting;  // what it waits for at the moment; empty: nothing
};

// Owns all runs: drives their tests over a transport, merges what agents report, and ends every run, whatever
// happens, with a report. Resource; everything on the loop's thread. Nothing here waits or blocks but the
// journal's group commit.
//
// The transport may drop anything sent to an agent that is away. When the agent returns, the last command of
// each of its tasks (prepare, start or stop) is sent again: agents take a repeated command for a task they
// know as said once, and answer a repeated prepare with the same Ready.
// It calls back from the loop, never from within a call to it.
class Runs : public TransportEvents {
 public:
  Runs(io::Loop& loop, Transport& transport, const Clock& clock, RunsOptions options = {},
       Stores stores = {});
  ~Runs() override;
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  // Takes up the runs that the journal holds. Call once, before the transport brings agents. Says how many; a
  // run whose journal cannot be read is dropped with a line in the log.
  size_t recover();

  // Begins a run and returns its id (UUIDv7). Errors: invalid (nothing to run), unavailable (too many open
  // runs: later), exhausted (too large), system (the journal cannot be written: nothing has begun).
  Result<std::string> create(Request request);

  // Ends a run soon: what was measured is kept, the state is cancelled. Errors: not_found, exists (it has
  // ended).
  enum class Because { asked, deadline };  // deadline: that of who ordered the run
  Status cancel(const std::string& id, Because because = Because::asked);

  // Forgets a run that has ended. Points of it that no sink has taken yet are still delivered. Errors:
  // not_found, exists (it is under way), system.
  Status remove(const std::string& id);

  // The full id for an id, a unique prefix of at least four characters, `last`, or `SUITE~N` (SUITE~1: the
  // latest finished run of the suite, SUITE~2 the one before). Errors: not_found, invalid (ambiguous, with
  // the candidates).
  Result<std::string> resolve(const std::string& text) const;

  // The report, as far as it goes for a run that has not ended. Who does not want its periods is not warned
  // that some are missing. Errors: not_found, corrupt.
  Result<std::shared_ptr<const model::Report>> report(const std::string& id, bool periods = true) const;

  // How far a run is, in one event of a few bytes per test, however many edges there are: run_progress (or
  // run_waiting, while it waits) with every test, or run_finished. Errors: not_found.
  Result<Event> standing(const std::string& id) const;

  // Open and finished runs, newest first.
  std::vector<RunSummary> list() const;

  // Events of every run from now on, while the handle lives. Called from the loop, never from within a call
  // to Runs.
  [[nodiscard]] io::HandlePtr subscribe(std::function<void(const Event&)> listener);

  // Records for tasks nobody knows (any more) are acknowledged, so that the agent can forget them.
  void on_ready(const std::string& agent, const v1::Ready& ready) override;
  void on_failed(const std::string& agent, const v1::Failed& failed) override;
  void on_record(const std::string& agent, const v1::Record& record) override;
  void on_connected(const std::string& agent) override;
  void on_lost(const std::string& agent) override;

  // Whether a task belongs to an open run: agents may forget all others.
  bool knows_task(const std::string& task) const;

  // Acts on every deadline that has passed by the clock. Its own timer calls it; tests do after moving their
  // clock.
  void expire();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::run
