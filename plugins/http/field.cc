#include "plugins/http/field.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "plugins/http/headers.h"
#include "todd/testlet.hpp"

namespace todd::http {
namespace {

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
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

}  // namespace

void refuse(const std::string& what, const char* why) {
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

Field parse_field(const char* param, const std::string& line) {
  const size_t colon = line.find(':');
  if (colon == std::string::npos) refuse(param + (" '" + line + "'"), "must be 'Name: value'");
  Field field{line.substr(0, colon), trimmed(std::string_view(line).substr(colon + 1))};
  const std::string what = param + (" '" + field.first + "'");
  if (!is_token(field.first)) refuse(what, "the name must be letters, digits and -");
  if (!is_value(field.second)) refuse(what, "the value must be on one line, without control characters");
  if (among(field.first, {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te",
                          "trailer", "upgrade", "http2-settings", "expect"})) {
    refuse(what, "belongs to the connection and cannot be given");
  }
  return field;
}

std::string basic_credentials(const char* user_param, const std::string& user, const std::string& password) {
  if (user.find(':') != std::string::npos) refuse(user_param, "cannot have a colon");  // RFC 7617 section 2
  if (!is_value(user) || !is_value(password)) refuse(user_param, "control characters are not allowed");
  return "Basic " + base64(user + ":" + password);
}

}  // namespace todd::http
