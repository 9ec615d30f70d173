#pragma once
// What the params of an instance say, read once.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plugins/http/checks.h"
#include "plugins/http/proxy.h"
#include "plugins/http/request.h"
#include "plugins/http/secrets.h"
#include "plugins/http/token.h"
#include "todd/testlet.h"

namespace todd::http {

enum class Version { kAuto, k11, k2 };  // in the order of the param's choices

// Only to be moved.
struct Settings {
  // Throws todd::error (TODD_E_PARAM) that names the param and what is wrong with it.
  explicit Settings(const todd_run& run);

  RequestSpec request;  // its URL has no host
  Checks checks;
  Version version = Version::kAuto;
  uint32_t connections = 1, streams = 1, follow = 0;
  int64_t think_ns = 0;  // between two requests of a worker
  bool keep_alive = true, compressed = false;
  // A request that may be sent again when its connection ends without an answer (RFC 9110 section 9.2.2).
  bool idempotent = true;
  uint64_t max_body = 0, checked_body = 0;
  std::string server_name;
  std::optional<Proxy> proxy;
  std::optional<RequestSpec> token_request;  // for a Bearer token; none: requests have what they are given
  Secrets secrets;                           // of what requests have
  uint8_t tos = 0;

  bool looks_at_heads() const { return follow != 0 || checks.wants_headers(); }
  bool looks_at_bodies() const { return compressed || checks.wants_body() || checks.wants_hash(); }

 private:
  void read_proxy(const todd_run& run);
  void read_oauth(const todd_run& run);
  void hide_credentials(const char* user_param, const std::string& user, const std::string& password);
};

// What `authorities` and `certificate` mean: PEM, or the text of a file ("/...") that must be PEM.
// Throws todd::error naming the param.
std::string pem_of(const char* param, std::string_view value);

}  // namespace todd::http
