#pragma once
// A Bearer token by OAuth 2.0, the grant of client credentials (RFC 6749 section 4.4): what is asked, what
// the answer means, and when another is due. No sockets, no clocks.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "plugins/http/request.h"

namespace todd::http {

inline constexpr size_t kMaxToken = 8 * 1024;         // bytes of a token
inline constexpr size_t kMaxTokenAnswer = 64 * 1024;  // bytes of the answer that has it

// As the params say.
struct TokenSpec {
  std::string url, client, secret, scope;
  std::string user_agent;
};

// The request for a token: a POST with the client and its secret as Basic credentials. Throws todd::error
// (TODD_E_PARAM) that names the param: oauth_url, oauth_client, oauth_secret, oauth_scope.
RequestSpec token_request(const TokenSpec& spec);

struct Token {
  std::string text;
  int64_t lifetime_ns = 0;  // 0: not said
};

// What a complete answer brings. None: `why` says what there was instead; of an error (RFC 6749 section 5.2)
// its code and description, as they came.
std::optional<Token> read_token(int status, std::string_view body, std::string& why);

// The token that requests go with. Times are of one clock that never goes back. A value type.
class Tokens {
 public:
  static constexpr int64_t kRetryNs = 1'000'000'000;  // between a failure and the next try

  // There is one, and it will not have expired when it arrives: in a twentieth of its life, a second at most.
  bool usable(int64_t now_ns) const { return !token_.text.empty() && now_ns < usable_until_ns_; }
  bool fetching() const { return fetching_; }
  // Another is to be fetched now: there is none that is usable, or soon it will not be (in a tenth of its
  // life, 30 s at most); nobody fetches one, and no try has failed for kRetryNs.
  bool wanted(int64_t now_ns) const;
  int64_t retry_ns() const { return retry_ns_; }  // when a try may be made again

  void asked() { fetching_ = true; }
  void got(Token token, int64_t asked_ns, int64_t now_ns);
  void failed(std::string why, int64_t now_ns);
  // A server that took token `number` takes it no longer (401): it is not used again. For kRetryNs after that
  // no other is given up so, lest a server that says so at random has all requests wait for tokens.
  void revoked(uint32_t number, int64_t now_ns);

  const std::string& text() const { return token_.text; }
  uint32_t number() const { return number_; }      // of the token, from 1 on
  const std::string& why() const { return why_; }  // of the last failure

 private:
  Token token_;
  std::string why_;
  int64_t usable_until_ns_ = 0, renew_ns_ = 0, retry_ns_ = INT64_MIN;
  int64_t keep_until_ns_ = INT64_MIN;  // whatever is said of it
  uint32_t number_ = 0;
  bool fetching_ = false;
};

}  // namespace todd::http
