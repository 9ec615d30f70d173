#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/model/report.h"

namespace todd::run {

// How far one test of a run is.
struct TestProgress {
  std::string name;
  uint64_t edges = 0;  // every address of a range is one
  uint64_t edges_done = 0;
  uint64_t sent = 0;  // probes so far, of testlets that count them
  uint64_t received = 0;
};

// One thing that happened to a run. Value type.
struct Event {
  enum class Kind { run_started, run_progress, run_waiting, test_finished, run_finished };
  Kind kind = Kind::run_progress;
  uint64_t id = 0;  // rises by one over all runs of this process
  std::string run;
  std::string suite;
  int64_t at_ns = 0;                // wall clock
  std::vector<TestProgress> tests;  // run_started, run_progress: every test; test_finished: that one
  std::string waiting;              // run_waiting: "waiting for run 4f2a on dc-1"
  model::RunState state = model::RunState::running;
  model::Verdict verdict = model::Verdict::none;  // test_finished, run_finished
};

// "run.started", "run.progress", "run.waiting", "test.finished", "run.finished"
const char* event_name(Event::Kind kind);

// The event as one JSON object on one line, for an event stream.
std::string event_json(const Event& event);

}  // namespace todd::run
