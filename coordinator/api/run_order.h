#pragma once
// What a client orders with POST /runs, and the request it becomes.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/model/facts.h"
#include "coordinator/model/objects.h"
#include "coordinator/model/plan.h"
#include "coordinator/run/request.h"
#include "engine/base/result.h"

namespace todd::api {

// Either a stored suite, or a document that is stored nowhere.
struct RunOrder {
  std::string suite;
  std::string document;
  std::string origin = "request";                  // of the document, for messages
  std::map<std::string, std::string> hosts_files;  // path as the document's groups name it -> its lines
  std::map<std::string, std::string> sets;         // "TEST.PARAM" -> value
  std::vector<std::string> only;
  std::map<std::string, std::string> labels;
  model::Trigger trigger = model::Trigger::api;
  bool dry_run = false;
  bool check = false;
  uint64_t max_edges = 0;  // edges of the report that whoever orders takes for meant; 0: any
};

// Strict: unknown, doubled and wrongly typed keys are errors (invalid) that name the key.
Result<RunOrder> parse_run_order(std::string_view json);

// The suite to run, with the text it was read from.
struct ChosenSuite {
  model::Suite suite;
  std::vector<model::Group> groups;
  std::string text;
};
// The one suite of the order's document; its groups come before stored ones of the same name. Errors:
// invalid.
Result<ChosenSuite> read_document(const RunOrder& order, std::vector<model::Group> stored);

// Errors: not_found where the plans have no edge; invalid where they have more than the order's max_edges.
Result<run::Request> make_request(const RunOrder& order, const ChosenSuite& chosen,
                                  std::vector<model::TestPlan> plans, const std::vector<model::Facts>& agents,
                                  const std::map<std::string, std::string>& manifest_hashes);

}  // namespace todd::api
