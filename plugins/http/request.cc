#include "plugins/http/request.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "plugins/http/headers.h"
#include "todd/testlet.hpp"

namespace todd::http {

namespace {

[[noreturn]] void refuse(const std::string& what, const char* why) {
  throw error(TODD_E_PARAM, what.substr(0, 100) + ": " + why);
}

bool among(std::string_view name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* one) { return same_word(name, one); });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && std::strchr("!#$%&'*+-.^_`|~", c) != nullptr);
  });
}

bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f) || c == '\t';
  });
}

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

Request::Field parsed(const std::string& line) {
  const size_t colon = line.find(':');
  if (colon == std::string::npos) refuse("header '" + line + "'", "must be 'Name: value'");
  Request::Field field{line.substr(0, colon), trimmed(std::string_view(line).substr(colon + 1))};
  const std::string what = "header '" + field.first + "'";
  if (!is_token(field.first)) refuse(what, "the name must be letters, digits and -");
  if (!is_value(field.second)) refuse(what, "the value must be on one line, without control characters");
  if (among(field.first, {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te",
                          "trailer", "upgrade", "http2-settings", "expect"})) {
    refuse(what, "belongs to the connection and cannot be given");
  }
  return field;
}

std::string base64(std::string_view in) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < in.size(); i += 3) {
    const size_t n = std::min<size_t>(3, in.size() - i);
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < n ? static_cast<unsigned char>(in[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string authorization(const RequestSpec& spec) {
  if (spec.user.empty() && !spec.password.empty()) refuse("password", "needs a user");
  if (!spec.user.empty() && !spec.token.empty()) refuse("token", "cannot be given with a user");
  if (!spec.token.empty()) {
    if (!is_clean(spec.token, false)) refuse("token", "must be printable ASCII without spaces");
    return "Bearer " + spec.token;
  }
  if (spec.user.empty()) return "";
  if (spec.user.find(':') != std::string::npos) refuse("user", "cannot have a colon");  // RFC 7617 section 2
  if (!is_value(spec.user) || !is_value(spec.password)) refuse("user", "control characters are not allowed");
  return "Basic " + base64(spec.user + ":" + spec.password);
}

// The headers that are not the version's own: ours, each unless the user gave one of that name, then the
// user's.
std::vector<Request::Field> all_headers(const RequestSpec& spec, std::vector<Request::Field> given) {
  const auto has = [&given](std::string_view name) {
    return std::any_of(given.begin(), given.end(), [&](const auto& f) { return same_word(f.first, name); });
  };
  std::vector<Request::Field> all;
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
  if (!spec.unique_header.empty()) {
    parsed(spec.unique_header + ": x");
    if (has(spec.unique_header) ||
        among(spec.unique_header, {"host", "content-length", "content-type", "accept", "accept-encoding",
                                   "authorization", "user-agent"}))
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
    Field field = parsed(line);
    if (same_word(field.first, "Host")) {
      if (host_given) refuse("header 'Host'", "is given twice");
      host_given = true;
      host = field.second;
    } else {
      const bool twice = std::any_of(given.begin(), given.end(),
                                     [&](const Field& f) { return same_word(f.first, field.first); });
      if (twice && among(field.first, {"content-length", "content-type", "authorization", "user-agent"}))
        refuse("header '" + field.first + "'", "is given twice");
      given.push_back(std::move(field));
    }
  }
  if (host.empty() || !is_clean(host, false)) refuse("header 'Host'", "must be plain text without spaces");
  if (spec.url.path.empty() || spec.url.path[0] != '/' || !is_clean(spec.url.path, false))
    refuse(spec.url.path, "is no path of a request");

  wire_ = spec.method + " " + spec.url.path + " HTTP/1.1\r\nHost: " + host + "\r\n";
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
