#pragma once
// What a test alongside another measured while that one did not run, and while it did. Internal to this
// folder.

#include "coordinator/run/state.h"

namespace todd::run {

// When the other test was at work on an edge, as far as is known by now. On our clock.
struct Work {
  int64_t from_ns = INT64_MIN;       // when its unit began
  int64_t sure_to_ns = INT64_MIN;    // it was at work on this edge at least until then
  int64_t idle_from_ns = INT64_MAX;  // none of its unit was, nor was a probe of then under way any more
  bool over = false;                 // and more will not be known
};

// Requires: the test goes along with another, whose slots are still there.
Work work_beside(const Run& run, const TestRun& test, size_t slot);

// Puts every period that is held into the window it lies in wholly, or drops it if it lies in none; keeps
// those of which that is not known yet.
void sort_held(const manifest::Testlet& testlet, const Work& work, Windows& windows);

// The same for all edges of a test whose unit has ended.
void sort_held(const Run& run, TestRun& test, const Unit& unit);

}  // namespace todd::run
