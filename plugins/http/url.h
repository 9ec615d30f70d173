#pragma once
// What of a target's URL goes into a request.

#include <cstdint>
#include <string>
#include <string_view>

#include "todd/testlet.hpp"

namespace todd::http {

// A value type.
struct Url {
  bool https = false;
  std::string authority;  // as given, "example.net:8080": the Host header
  std::string path;       // with the query, without the fragment; at least "/"
  std::string host;       // without port and brackets, in lower case
  uint16_t port = 0;      // 0: not given

  uint16_t effective_port() const { return port != 0 ? port : https ? 443 : 80; }
  // Scheme, authority and path.
  std::string text() const;
};

// Same scheme, host and port.
bool same_origin(const Url& a, const Url& b);

// Why a text is no URL that requests can be made of. what() begins with the text, if that may be told.
class BadUrl : public error {
 public:
  // why: a literal.
  BadUrl(std::string_view url, const char* why)
      : error(TODD_E_PARAM, (may_tell(url) ? std::string(url.substr(0, 160)) + ": " : "") + why), why_(why) {}
  const char* why() const { return why_; }

  // It has no password in it.
  static bool may_tell(std::string_view url) { return url.find('@') == std::string_view::npos; }

 private:
  const char* why_;
};

// Reads "http[s]://host[:port][/path][?query][#fragment]"; the fragment is dropped. Throws BadUrl for
// another scheme, no host, a bad port, credentials (which are not quoted), a space or control character.
Url parse_url(std::string_view text);

// "host", "host:8080", "[2001:db8::1]:8080"; the port is left out where it is the scheme's own or 0.
std::string authority_of(std::string_view host, unsigned port, unsigned own_port = 80);

// True if the text can stand in a request line or header: printable ASCII; spaces only if allowed.
bool is_clean(std::string_view text, bool spaces);

}  // namespace todd::http
