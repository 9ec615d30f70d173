#pragma once
#include <map>
#include <string>
#include <vector>

#include "coordinator/model/facts.h"
#include "coordinator/model/plan.h"
#include "coordinator/model/report.h"

namespace todd::run {

// Everything a run needs; after this it asks nobody. Value type.
struct Request {
  std::string suite;
  std::string spec_digest;
  model::Trigger trigger = model::Trigger::manual;
  std::map<std::string, std::string> labels;
  std::vector<model::TestPlan> plans;                  // from plan_suite, in the order of the file
  std::map<std::string, std::string> manifest_hashes;  // by testlet, as the agents announced them
  std::vector<model::Facts> agents;                    // of every agent that the plans name
  bool check_only = false;                             // prepare both ends, start nothing
};

}  // namespace todd::run
