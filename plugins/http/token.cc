#include "plugins/http/token.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "plugins/http/field.h"
#include "plugins/http/headers.h"
#include "plugins/http/json.h"
#include "todd/testlet.hpp"

namespace todd::http {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kLongest = 10LL * 365 * 86400;  // seconds of life that are believed

// application/x-www-form-urlencoded, as RFC 6749 appendix B has it.
std::string form_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '*';
    if (plain)
      out += c;
    else if (c == ' ')
      out += '+';
    else
      out += {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
  }
  return out;
}

JsonValue member(const JsonReader& json, const char* name) { return json.at({name}); }

// "401: invalid_client: no such client", as far as the answer says so.
std::string refusal(int status, std::string_view body) {
  std::string why = std::to_string(status);
  JsonReader json;
  if (body.empty() || json.read(body)) return why;
  for (const char* name : {"error", "error_description"}) {
    const JsonValue said = member(json, name);
    if (said.kind == JsonValue::Kind::kText) why += ": " + std::string(said.text);
  }
  return why;
}

// A number of seconds, which some servers write as a text. None: neither.
std::optional<int64_t> seconds_of(const JsonValue& value) {
  int64_t seconds = 0;
  const char* const end = value.text.data() + value.text.size();
  if (value.kind == JsonValue::Kind::kText) {
    const auto read = std::from_chars(value.text.data(), end, seconds);
    if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  } else if (value.kind == JsonValue::Kind::kNumber && value.number < 1) {
    return std::nullopt;
  } else if (value.kind == JsonValue::Kind::kNumber && value.number < kLongest) {
    seconds = static_cast<int64_t>(value.number);
  } else if (value.kind == JsonValue::Kind::kNumber) {
    seconds = kLongest;
  } else {
    return std::nullopt;
  }
  if (seconds < 1) return std::nullopt;
  return std::min(seconds, kLongest);
}

}  // namespace

RequestSpec token_request(const TokenSpec& spec) {
  RequestSpec request;
  if (!BadUrl::may_tell(spec.url)) refuse("oauth_url", "has credentials; give oauth_client and oauth_secret");
  try {
    request.url = parse_url(spec.url);
  } catch (const error& e) {
    throw error(TODD_E_PARAM, std::string("oauth_url: ") + e.what());
  }
  if (spec.client.empty()) refuse("oauth_client", "is missing; oauth_url needs it");
  if (spec.secret.empty()) refuse("oauth_secret", "is missing; oauth_url needs it");
  if (!is_value(spec.scope)) refuse("oauth_scope", "control characters are not allowed");
  request.method = "POST";
  request.user_agent = spec.user_agent;
  request.headers = {"Accept: application/json", "Content-Type: application/x-www-form-urlencoded"};
  request.body = "grant_type=client_credentials";
  if (!spec.scope.empty()) request.body += "&scope=" + form_encoded(spec.scope);
  request.user = form_encoded(spec.client);
  request.password = form_encoded(spec.secret);
  request.keep_alive = false;
  (void)Request(request);
  return request;
}

std::optional<Token> read_token(int status, std::string_view body, std::string& why) {
  if (status != 200) {
    why = refusal(status, body);
    return std::nullopt;
  }
  JsonReader json;
  if (auto fault = json.read(body)) {
    why = "200: " + *fault;
    return std::nullopt;
  }
  const JsonValue text = member(json, "access_token"), type = member(json, "token_type"),
                  life = member(json, "expires_in");
  Token token;
  if (text.kind != JsonValue::Kind::kText || text.text.empty())
    why = "200, but no access_token";
  else if (text.text.size() > kMaxToken || !is_clean(text.text, false))
    why = "200, but an access_token that no header can have: not printable, or longer than 8 KiB";
  else if (type.kind != JsonValue::Kind::kText || !same_word(type.text, "bearer"))
    why = "200, but a token_type other than Bearer";
  else if (const auto seconds = seconds_of(life); seconds || life.kind == JsonValue::Kind::kMissing)
    return Token{text.text, seconds.value_or(0) * kSecond};
  else
    why = "200, but an expires_in that is no number of seconds";
  return std::nullopt;
}

bool Tokens::wanted(int64_t now_ns) const {
  return !fetching_ && now_ns >= retry_ns_ && (!usable(now_ns) || now_ns >= renew_ns_);
}

void Tokens::got(Token token, int64_t asked_ns, int64_t now_ns) {
  fetching_ = false;
  const int64_t life = token.lifetime_ns;
  token_ = std::move(token);
  ++number_;
  retry_ns_ = now_ns;
  // Counted from when it was asked for: it was made after that.
  usable_until_ns_ = life == 0 ? INT64_MAX : asked_ns + life - std::min(life / 20, kSecond);
  renew_ns_ = life == 0 ? INT64_MAX : usable_until_ns_ - std::min(life / 10, 30 * kSecond);
  if (!usable(now_ns)) failed("it had expired when it came", now_ns);
}

void Tokens::failed(std::string why, int64_t now_ns) {
  fetching_ = false;
  why_ = std::move(why);
  retry_ns_ = now_ns + kRetryNs;
}

void Tokens::revoked(uint32_t number, int64_t now_ns) {
  if (number != number_ || now_ns < keep_until_ns_) return;
  keep_until_ns_ = now_ns + kRetryNs;
  usable_until_ns_ = INT64_MIN;
}

}  // namespace todd::http
