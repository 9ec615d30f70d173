#include "plugins/http/request.h"

#include <algorithm>

#include "plugins/http/field.h"
#include "plugins/http/headers.h"
#include "todd/testlet.hpp"

namespace todd::http {

namespace {

// The proxy itself reads it (RFC 9112 section 3.2.2); what is of https goes through as it is.
bool absolute(const RequestSpec& spec) { return spec.by_proxy && !spec.url.https; }

std::string authorization(const RequestSpec& spec) {
  if (spec.user.empty() && !spec.password.empty()) refuse("password", "needs a user");
  if (!spec.user.empty() && !spec.token.empty()) refuse("token", "cannot be given with a user");
  if (!spec.token.empty()) {
    if (!is_clean(spec.token, false)) refuse("token", "must be printable ASCII without spaces");
    return "Bearer " + spec.token;
  }
  if (spec.user.empty()) return "";
  return basic_credentials("user", spec.user, spec.password);
}

// The one whose value no message quotes.
Field secret_field(const RequestSpec& spec) {
  if (spec.secret_header.empty()) refuse("secret_value", "needs a secret_header, its name");
  if (spec.secret_value.empty()) refuse("secret_header", "needs a secret_value");
  if (!is_token(spec.secret_header))
    refuse("secret_header", "must be the name alone, letters, digits and -; the value is secret_value");
  Field field = parse_field("secret_header", spec.secret_header + ": " + spec.secret_value);
  if (among(field.first, {"host", "content-length", "content-type"}))
    refuse("secret_header '" + field.first + "'", "is none whose value can be a secret");
  if (spec.by_proxy && same_word(field.first, "Proxy-Authorization"))
    refuse("secret_header '" + field.first + "'", "is for the proxy; give proxy_user and proxy_password");
  return field;
}

// The headers that are not the version's own: ours, each unless the user gave one of that name, then the
// user's.
std::vector<Field> all_headers(const RequestSpec& spec, std::vector<Field> given) {
  const auto has = [&given](std::string_view name) {
    return std::any_of(given.begin(), given.end(), [&](const auto& f) { return same_word(f.first, name); });
  };
  std::vector<Field> all;
  const auto ours = [&](const char* name, std::string value) {
    if (!has(name)) all.emplace_back(name, std::move(value));
  };
  if (!spec.user_agent.empty()) ours("User-Agent", spec.user_agent);
  ours("Accept", "*/*");
  if (spec.compressed) ours("Accept-Encoding", "gzip, deflate");
  if (const std::string credentials = authorization(spec); !credentials.empty()) {
    if (has("Authorization")) refuse("header 'Authorization'", "cannot be given with a user or token");
    all.emplace_back("Authorization", credentials);
  }
  if (absolute(spec) && !spec.proxy_authorization.empty())
    all.emplace_back("Proxy-Authorization", spec.proxy_authorization);
  if (!spec.unique_header.empty()) {
    parse_field("header", spec.unique_header + ": x");
    if (has(spec.unique_header) ||
        among(spec.unique_header, {"host", "content-length", "content-type", "accept", "accept-encoding",
                                   "authorization", "proxy-authorization", "user-agent"}))
      refuse("header '" + spec.unique_header + "'", "cannot be the one that differs in each request");
    all.emplace_back(spec.unique_header, std::string(Request::kUniqueSize, '0'));
  }
  if (!spec.body.empty()) ours("Content-Type", "application/octet-stream");
  const std::string size = std::to_string(spec.body.size());
  if (!spec.body.empty() || among(spec.method, {"POST", "PUT", "PATCH"})) ours("Content-Length", size);
  for (auto& field : given) {
    if (same_word(field.first, "Content-Length") && field.second != size)
      refuse("header 'Content-Length'", ("is not the size of the body, " + size).c_str());
    all.push_back(std::move(field));
  }
  return all;
}

}  // namespace

void Request::write_unique(char* out, uint64_t n) {
  for (size_t i = kUniqueSize; i-- > 0; n >>= 4) out[i] = "0123456789abcdef"[n & 15];
}

void Request::stamp(char* copy, uint64_t n) const {
  if (unique_at_ != kNone) write_unique(copy + unique_at_, n);
}

Request::Request(const RequestSpec& spec) : body_size_(spec.body.size()), bodiless_(spec.method == "HEAD") {
  const bool capitals =
      std::none_of(spec.method.begin(), spec.method.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (!is_token(spec.method) || !capitals || spec.method.size() > 32)
    refuse("method '" + spec.method + "'", "must be a word in capitals, such as GET");
  if (spec.method == "CONNECT") refuse("method 'CONNECT'", "is not supported");
  if (!is_clean(spec.user_agent, true)) refuse("user_agent", "must be plain text on one line");

  std::string host = !spec.host.empty() ? spec.host : spec.url.authority;
  std::vector<Field> given;
  bool host_given = false;
  for (const std::string& line : spec.headers) {
    Field field = parse_field("header", line);
    if (same_word(field.first, "Host")) {
      if (host_given) refuse("header 'Host'", "is given twice");
      host_given = true;
      host = field.second;
    } else if (spec.by_proxy && same_word(field.first, "Proxy-Authorization")) {
      refuse("header 'Proxy-Authorization'", "is for the proxy; give it as proxy_header");
    } else {
      const bool twice = std::any_of(given.begin(), given.end(),
                                     [&](const Field& f) { return same_word(f.first, field.first); });
      if (twice && among(field.first, {"content-length", "content-type", "authorization", "user-agent"}))
        refuse("header '" + field.first + "'", "is given twice");
      given.push_back(std::move(field));
    }
  }
  if (!spec.secret_header.empty() || !spec.secret_value.empty()) {
    Field secret = secret_field(spec);
    if (std::any_of(given.begin(), given.end(),
                    [&](const Field& f) { return same_word(f.first, secret.first); }))
      refuse("secret_header '" + secret.first + "'", "is given by header too");
    given.push_back(std::move(secret));
  }
  if (host.empty() || !is_clean(host, false)) refuse("header 'Host'", "must be plain text without spaces");
  if (spec.url.path.empty() || spec.url.path[0] != '/' || !is_clean(spec.url.path, false))
    refuse(spec.url.path, "is no path of a request");

  if (absolute(spec) && host != spec.url.authority)
    refuse("header 'Host'", "must be the URL's: a proxy puts that in its place (RFC 9112 section 3.2.2)");

  wire_ = spec.method + " " + (absolute(spec) ? spec.url.text() : spec.url.path) +
          " HTTP/1.1\r\nHost: " + host + "\r\n";
  fields_ = {{":method", spec.method},
             {":scheme", spec.url.https ? "https" : "http"},
             {":authority", host},
             {":path", spec.url.path}};
  for (const auto& [name, value] : all_headers(spec, std::move(given))) {
    wire_ += name + ": ";
    if (!spec.unique_header.empty() && name == spec.unique_header && unique_at_ == kNone) {
      unique_at_ = wire_.size();
      unique_field_ = fields_.size();
    }
    wire_ += value + "\r\n";
    fields_.emplace_back(name, value);
    std::string& lowered = fields_.back().first;
    std::transform(lowered.begin(), lowered.end(), lowered.begin(), lower);
  }
  if (!spec.keep_alive) wire_ += "Connection: close\r\n";
  wire_ += "\r\n" + spec.body;
}

}  // namespace todd::http
