#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "coordinator/model/facts.h"
#include "engine/base/result.h"

namespace todd::fleet {

struct EnrolledAgent {
  std::string id;
  std::string name;
  std::string key_sha256_hex;  // key hash of its certificate
  int64_t enrolled_wall_ns = 0;
  model::Facts facts;  // the last it sent; `connected` means nothing here
};

// Who belongs to the fleet: one small text file per agent, ID.agent, in a folder. Not in the roster = not let
// in. Resource.
class Roster {
 public:
  explicit Roster(std::string folder);

  // Makes the folder if missing. A damaged file is logged and left alone; its agent is not let in.
  Status load();

  // nullptr if there is none.
  const EnrolledAgent* by_id(const std::string& id) const;
  const EnrolledAgent* by_name(const std::string& name) const;
  const std::map<std::string, EnrolledAgent>& agents() const { return agents_; }  // by id

  // New or changed; durable on return, nothing written when equal. Errors: exists (another agent has the
  // name), system.
  Status put(const EnrolledAgent& agent);
  // Durable on return. Errors: not_found, system.
  Status remove(const std::string& id);

 private:
  std::string path(const std::string& id) const;

  std::string folder_;
  std::map<std::string, EnrolledAgent> agents_;  // by id
  std::map<std::string, std::string> id_by_name_;
};

// Names people type and files are called after: letters, digits, "._-", at most 63, beginning with a letter
// or digit.
Status check_agent_name(const std::string& name);

// The file's text and back. Errors: corrupt, naming the line.
std::string write_agent(const EnrolledAgent& agent);
Result<EnrolledAgent> read_agent(const std::string& text);

}  // namespace todd::fleet
