#pragma once
// Who this agent is to its coordinator, and how it becomes so.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/io/channel.h"
#include "engine/io/join_token.h"
#include "engine/io/loop.h"

namespace todd::agent {

struct Identity {
  std::string agent_id;
  std::string name;                        // as enrolled
  std::string token_id;                    // what it joined with
  std::vector<io::HostPort> coordinators;  // tried in order
  std::string certificate_pem;
  std::string key_pem;  // made here, never leaves
  std::string ca_pem;
};

// Errors: not_found (never joined), corrupt (part of it is missing; the text says what to remove).
Result<Identity> load_identity(const std::string& folder);
// Files 0600; the one that makes the others count is written last.
Status save_identity(const std::string& folder, const Identity& identity);

struct EnrolOptions {
  io::JoinToken token;
  std::string name;
  int64_t give_up_ns = 60'000'000'000;  // how long to try when no coordinator answers
};

// One enrolment under way. Destroying it stops it. done is called once, from the loop:
// Errc::denied: the coordinator refused (token used, expired, name taken), trying again is useless;
// Errc::unavailable: nobody answered in time; Errc::corrupt: not the coordinator the token speaks of.
class Enrolment {
 public:
  using Done = std::function<void(Result<Identity>)>;
  Enrolment(io::Loop& loop, EnrolOptions options, Done done);
  ~Enrolment();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::agent
