#include "plugins/http/url.h"

#include <algorithm>
#include <charconv>

#include "plugins/http/headers.h"

namespace todd::http {

namespace {

[[noreturn]] void refuse(std::string_view url, const char* why) { throw BadUrl(url, why); }

bool starts_with(std::string_view text, std::string_view prefix) {
  return same_word(text.substr(0, prefix.size()), prefix);
}

// What follows the host: nothing, or a colon and perhaps a number.
uint16_t port_of(std::string_view url, std::string_view rest) {
  if (rest.empty() || rest == ":") return 0;
  unsigned port = 0;
  const char* end = rest.data() + rest.size();
  const auto [at, ec] = std::from_chars(rest.data() + 1, end, port);
  if (rest[0] != ':' || ec != std::errc() || at != end || port == 0 || port > 65535)
    refuse(url, "the port must be 1 to 65535");
  return static_cast<uint16_t>(port);
}

void split_authority(std::string_view url, Url& out) {
  const std::string_view text = out.authority;
  if (text.find('@') != std::string_view::npos)
    refuse(url, "credentials in a URL are not taken; user and password give them");
  size_t end = text.find(':');
  if (!text.empty() && text[0] == '[') {
    end = text.find(']');
    if (end == std::string_view::npos || text.find('[', 1) != std::string_view::npos)
      refuse(url, "an IPv6 address must be in brackets");
    out.host = text.substr(1, end - 1);
    out.port = port_of(url, text.substr(end + 1));
  } else {
    out.host = text.substr(0, end);
    out.port = end == std::string_view::npos ? 0 : port_of(url, text.substr(end));
  }
  if (out.host.empty()) refuse(url, "has no host");
  if (out.host.find_first_of("[]\"<>\\^`{|}") != std::string::npos) refuse(url, "has no valid host");
  std::transform(out.host.begin(), out.host.end(), out.host.begin(), lower);
}

}  // namespace

bool is_clean(std::string_view text, bool spaces) {
  for (const char c : text) {
    if (c < 0x20 || c == 0x7f || static_cast<unsigned char>(c) >= 0x80 || (c == ' ' && !spaces)) return false;
  }
  return true;
}

std::string Url::text() const { return (https ? "https://" : "http://") + authority + path; }

bool same_origin(const Url& a, const Url& b) {
  return a.https == b.https && a.host == b.host && a.effective_port() == b.effective_port();
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
    refuse(text, "not a URL that begins with http:// or https://");
  }
  rest = rest.substr(0, rest.find('#'));
  const std::size_t end = rest.find_first_of("/?");
  url.authority = rest.substr(0, end);
  url.path = end == std::string_view::npos ? "" : std::string(rest.substr(end));
  if (url.path.empty() || url.path[0] != '/') url.path.insert(0, "/");
  split_authority(text, url);
  if (!is_clean(url.authority, false) || !is_clean(url.path, false)) {
    refuse(text, "has a character that must be percent-encoded");
  }
  return url;
}

std::string authority_of(std::string_view host, unsigned port, unsigned own_port) {
  const bool v6 = host.find(':') != std::string_view::npos;
  std::string text = v6 ? "[" + std::string(host.substr(0, host.find('%'))) + "]" : std::string(host);
  if (port != 0 && port != own_port) text += ":" + std::to_string(port);
  return text;
}

}  // namespace todd::http
