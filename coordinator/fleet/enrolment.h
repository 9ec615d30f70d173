#pragma once
#include <string>

#include "coordinator/fleet/ca.h"
#include "coordinator/fleet/roster.h"
#include "coordinator/fleet/tokens.h"
#include "engine/base/result.h"

namespace todd::fleet {

struct EnrolRequest {
  std::string token_id;
  std::string proof;
  std::string csr_pem;
  std::string name;
  std::string tls_exporter;  // of the session it came over
};

// Lets one agent in: checks token, proof and name, signs its key, uses the token up, enters it in the roster,
// in this order; so a crash in between costs a token, never lets one be used twice. Errors are for the
// joining person's eyes; without a valid proof they tell nothing of the fleet.
Result<EnrolledAgent> enrol(const EnrolRequest& request, const Authority& authority, Tokens& tokens,
                            Roster& roster, std::string& certificate_pem);

}  // namespace todd::fleet
