#pragma once
// What of a target's URL goes into a request.

#include <string>
#include <string_view>

namespace todd::http {

struct Url {
  bool https = false;
  std::string authority;  // "example.net:8080": the Host header
  std::string path;       // with the query, without the fragment; at least "/"
};

// Reads "http://host[:port][/path][?query][#fragment]". Throws todd::error (TODD_E_PARAM) naming the URL and
// what is wrong with it: another scheme, no host, credentials, a space or control character.
Url parse_url(std::string_view text);

// "host", "host:8080", "[2001:db8::1]:8080"; the port is left out where it is 80 or 0.
std::string authority_of(std::string_view host, unsigned port);

// True if the text can stand in a request line or header: printable ASCII; spaces only if allowed.
bool is_clean(std::string_view text, bool spaces);

}  // namespace todd::http
