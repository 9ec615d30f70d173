#pragma once
// What a person carries from the coordinator to a new agent, and the proof of having it.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace todd::io {

struct HostPort {
  std::string host;  // address or name, without brackets
  uint16_t port = 0;

  bool operator==(const HostPort&) const = default;
};
// "192.0.2.1:7481", "[2001:db8::1]:7481", "coordinator.example:7481". Errors: invalid, saying what is
// missing.
Result<HostPort> parse_host_port(std::string_view text);
std::string format_host_port(const HostPort& at);

struct JoinToken {
  std::vector<HostPort> coordinators;  // tried in order
  std::string ca_sha256_hex;           // key hash of the coordinator's CA: nothing else is trusted
  std::string id;
  std::string secret;

  bool operator==(const JoinToken&) const = default;
};
// "todd-join-v1.<base64url>".
std::string write_join_token(const JoinToken& token);
// Errors: invalid, in words for the person who pasted it.
Result<JoinToken> parse_join_token(std::string_view text);

// Label of the TLS exporter the proof is bound to: a proof relayed over another TLS session is worth nothing.
inline constexpr char kEnrolLabel[] = "EXPORTER-todd-enrol-v1";
std::string enrol_proof(const std::string& secret, const std::string& tls_exporter,
                        const std::string& csr_pem);

}  // namespace todd::io
