#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "engine/base/clock.h"
#include "engine/base/result.h"

namespace todd::fleet {

// Join tokens that may still be used, in one file (0600; it holds the secrets, which the proof needs).
// Resource.
class Tokens {
 public:
  Tokens(std::string file, const Clock& clock);

  // Errors: corrupt, naming the line.
  Status load();

  struct Made {
    std::string id;
    std::string secret;
  };
  // Durable on return.
  Result<Made> make(int64_t ttl_ns);

  // The secret of a token. Errors: not_found (unknown, or used before), timed_out (expired).
  Result<std::string> secret(const std::string& id) const;

  // Takes the token out of circulation; durable on return.
  Status use(const std::string& id);

 private:
  struct Token {
    std::string secret;
    int64_t expires_wall_ns = 0;
  };
  Status save() const;

  std::string file_;
  const Clock& clock_;
  std::map<std::string, Token> tokens_;  // by id
};

}  // namespace todd::fleet
