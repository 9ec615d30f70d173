#include "plugins/http/url.h"

#include "todd/testlet.hpp"

namespace todd::http {

namespace {

[[noreturn]] void refuse(std::string_view url, const char* why) {
  throw error(TODD_E_PARAM, std::string(url.substr(0, 160)) + ": " + why);
}

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

bool is_clean(std::string_view text, bool spaces) {
  for (const char c : text) {
    if (c < 0x20 || c == 0x7f || static_cast<unsigned char>(c) >= 0x80 || (c == ' ' && !spaces)) return false;
  }
  return true;
}

Url parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (starts_with(rest, "http://")) {
    rest.remove_prefix(7);
  } else if (starts_with(rest, "https://")) {
    url.https = true;
    rest.remove_prefix(8);
  } else {
    refuse(text, "not a URL that begins with http://");
  }
  rest = rest.substr(0, rest.find('#'));
  const std::size_t end = rest.find_first_of("/?");
  url.authority = rest.substr(0, end);
  url.path = end == std::string_view::npos ? "" : std::string(rest.substr(end));
  if (url.path.empty() || url.path[0] != '/') url.path.insert(0, "/");
  if (url.authority.empty() || url.authority[0] == ':') refuse(text, "has no host");
  if (url.authority.find('@') != std::string::npos) refuse(text, "credentials in a URL are not supported");
  if (!is_clean(url.authority, false) || !is_clean(url.path, false)) {
    refuse(text, "has a character that must be percent-encoded");
  }
  return url;
}

std::string authority_of(std::string_view host, unsigned port) {
  const bool v6 = host.find(':') != std::string_view::npos;
  std::string text = v6 ? "[" + std::string(host.substr(0, host.find('%'))) + "]" : std::string(host);
  if (port != 0 && port != 80) text += ":" + std::to_string(port);
  return text;
}

}  // namespace todd::http
