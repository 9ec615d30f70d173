#pragma once
// What Runs knows of its open runs. Internal to this folder.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/model/plan.h"
#include "coordinator/model/report.h"
#include "coordinator/run/columns.h"
#include "coordinator/run/request.h"
#include "engine/stats/metric.h"

namespace todd::run {

// The values of one edge or total, by metric. Most hold counters and gauges only. Value type.
class Cells {
 public:
  struct Cell {
    uint32_t metric = 0;
    bool has_gauge = false;
    union {
      uint64_t counter = 0;
      double gauge;  // if has_gauge
    };
    std::unique_ptr<stats::Value> rest;  // of other kinds

    Cell() = default;
    Cell(Cell&&) = default;
    Cell& operator=(Cell&&) = default;
    Cell(const Cell& other)
        : metric(other.metric),
          has_gauge(other.has_gauge),
          counter(other.counter),  // or the gauge's bits
          rest(other.rest ? std::make_unique<stats::Value>(*other.rest) : nullptr) {}
  };
  void merge(const manifest::Testlet& testlet, uint32_t metric, const stats::Value& from);
  void merge(const manifest::Testlet& testlet, const Cells& from);
  uint64_t counter(uint32_t metric) const;
  bool empty() const { return cells_.empty(); }
  size_t bytes() const { return cells_.capacity() * sizeof(Cell); }  // without what `rest` takes
  // By name, as the model takes them.
  stats::Values values(const manifest::Testlet& testlet) const;

 private:
  std::vector<Cell> cells_;  // sorted by metric
};

// What an edge of a test alongside another measured while that one did not run, and while it did.
struct Windows {
  struct Held {  // a period of which that is not known yet
    int64_t from_ns = 0, to_ns = 0;
    Cells cells;
  };
  Cells idle, loaded;
  std::vector<Held> held;
};

// What few edges of a large test have.
struct SlotDetails {
  Cells cells;  // from rows
  std::vector<model::Example> examples;
  std::vector<model::PeriodReport> periods;
  std::vector<model::SampleReport> samples;
  std::string address;      // where it does not follow from the plan
  uint64_t resolve_ns = 0;  // how long it took to find; 0: nobody was asked
  int64_t last_point_ns = 0;
  Windows windows;
};

// One source, one target address: an edge of the report. A range in the plan is many of them. Value type.
struct Slot {
  static constexpr uint32_t kNoTask = UINT32_MAX;
  uint32_t source_task = kNoTask;
  uint32_t why = 0;                                    // in EdgeTable::whys
  model::EdgeState state = model::EdgeState::waiting;  // if decided
  bool decided : 1 = false;
  bool has_record : 1 = false;
  bool flat : 1 = false;  // has values in the columns
  std::unique_ptr<SlotDetails> more;

  Slot() = default;
  Slot(Slot&&) = default;
  Slot& operator=(Slot&&) = default;
  Slot(const Slot& other);

  SlotDetails& details() {
    if (!more) more = std::make_unique<SlotDetails>();
    return *more;
  }
};
static_assert(sizeof(Slot) == 24);

// What is known of the edges of a test. A copy is a snapshot.
struct EdgeTable {
  std::vector<uint32_t> first_slot;  // by edge of the plan; one more at the end
  std::vector<Slot> slots;
  Columns columns;
  struct Why {
    std::string reason, detail;
    bool operator==(const Why&) const = default;
  };
  std::vector<Why> whys = std::vector<Why>(1);  // the first says nothing

  // The edge of the plan that a slot belongs to.
  uint32_t edge_of(size_t slot) const;
  // Whether the edge stands for many addresses.
  bool is_range(uint32_t edge) const { return first_slot[edge + 1] - first_slot[edge] > 1; }
  // The address of the slot, with the edges of the plan.
  std::string address_of(size_t slot, const std::vector<model::Edge>& edges) const;
  // What its name was resolved to; empty where that is not known, or it stands for many.
  std::string known_address(uint32_t edge) const;
  const Why& why(size_t slot) const { return whys[slots[slot].why]; }
  // Sets why of a slot.
  void explain(Slot& slot, const char* reason, std::string detail);
  size_t bytes() const;
};

// One task on one agent.
struct Task {
  enum class Phase { preparing, ready, running, ended };
  std::string id;
  std::string agent;
  bool source = false;
  uint32_t test = 0;
  uint32_t unit = 0;
  std::vector<uint32_t> edges;  // of the plan
  std::vector<uint32_t> slots;  // a record's row r is of slot slots[r]
  Phase phase = Phase::preparing;
  uint16_t port = 0;
  bool idle = false;  // a responder that listens nowhere: the target's system answers, as for ICMP echoes
  std::string failed_reason, failed_detail;  // could not be prepared, or broke
  std::string dropped;     // what its agent says of records it had no room for; empty: it kept them all
  bool timed_out = false;  // ended by our deadline
  bool cancelled = false;  // ended by a cancel of the run
  bool stopped = false;    // its agent ended it early, for stopped_why
  std::string stopped_why;
  bool stopping = false;  // told to stop
  std::string prepare;    // the serialized v1::Task, for an agent that was away; empty once it runs
  int64_t clock_error_ns = 0;

  uint64_t seq = 0;      // highest seen
  uint64_t durable = 0;  // highest written down
  uint64_t missing = 0;
  uint64_t sent = 0;    // probes, of a source
  int64_t from_ns = 0;  // on our clock: what the records cover
  int64_t to_ns = 0;
  model::Quality quality;
  stats::Histogram lateness;
};

// Who answers an edge of a source task, and as whom the responder knows it.
struct Answerer {
  uint16_t port = 0;  // 0: none, the target's own
  uint64_t token = 0;
};

// Edges that run together: all of a test, or one of a test that may not run them side by side.
struct Unit {
  // ready: waits for those it begins with. lasting: of a test alongside, that other one is over; stopping:
  // its sources were told to end.
  enum class Phase {
    waiting,
    responders,
    sources,
    ready,
    running,
    lasting,
    stopping,
    draining,
    cancelling,
    done
  };
  uint32_t test = 0;
  uint32_t index = 0;
  std::vector<uint32_t> edges;
  std::vector<uint32_t> tasks;             // of the run
  std::map<uint32_t, Answerer> answerers;  // by edge
  Phase phase = Phase::waiting;
  int64_t deadline_ns = 0;  // of the phase, on the monotonic clock
  int64_t started_wall_ns = 0;
  bool holds_turn = false;
};

struct TestRun : EdgeTable {
  static constexpr uint32_t kNone = UINT32_MAX;
  model::TestPlan* plan = nullptr;  // of the run's request; without edges once there is a report
  std::vector<Unit> units;
  uint32_t main = kNone;            // the test of the run that it goes along with; edges and units are alike
  std::vector<uint32_t> alongside;  // those that go along with it
  Cells total;
  uint64_t done = 0;                      // slots: those without a source, and those whose source has ended
  std::map<std::string, uint32_t> turns;  // edges running, by agent: for at_once of tests that are not heavy
  std::optional<model::TestReport> report;  // once it has ended
};

struct Run {
  std::string id;
  Request request;
  int64_t started_wall_ns = 0;
  bool cancelled = false;
  bool overdue = false;  // cancelled, because the deadline of who ordered it passed
  size_t step = 0;

  // Why its edges are cancelled.
  const char* cancel_reason() const { return overdue ? model::reason::kDeadline : model::reason::kCancelled; }
  const char* cancel_detail() const { return overdue ? "the deadline of the run passed" : ""; }

  int64_t hold_until_ns = 0;  // after a restart: agents get so long to return before anything new begins
  std::vector<TestRun> tests;
  std::vector<std::unique_ptr<Task>> tasks;
  std::map<std::string, std::string> agent_reasons;  // why an agent took no part or stopped
  std::map<std::string, std::string> agent_engines;
  size_t periods = 0, samples = 0;
  std::vector<std::string> warnings;
  std::map<std::string, std::set<std::string>>
      lacking;  // what is said of a secret that is missing -> by which agents
  std::string waiting;
  int64_t progress_due_ns = 0;  // 0: nothing to tell
  int64_t progress_last_ns = 0;
};

// A run with its slots laid out, nothing begun. Errors: invalid, exhausted (ranges too large).
Result<std::unique_ptr<Run>> make_run(std::string id, Request request, int64_t started_wall_ns);

// The units that begin together: that of the test itself, then of those that go along with it.
std::vector<Unit*> together(Run& run, const Unit& unit);

// Whether a source of the unit is ready.
bool can_start(const Run& run, const Unit& unit);

// Whether every task of the unit has ended, or at least every source.
bool all_ended(const Run& run, const Unit& unit);
bool sources_ended(const Run& run, const Unit& unit);

// Why a task that ended did so without doing all it should, for people.
std::string why_ended(const Task& task);

// How long the sources of a unit of so many targets per task take, by the plan; at most an hour where it does
// not say.
int64_t planned_ns(const model::TestPlan& plan, uint64_t targets_per_task);

// What messages call a run.
std::string short_id(const std::string& id);

}  // namespace todd::run
