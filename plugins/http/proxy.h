#pragma once
// The proxy that requests go through: what it is told, which is for it alone.

#include <cstdint>
#include <string>
#include <vector>

#include "plugins/http/url.h"

namespace todd::http {

// As the params say.
struct ProxySpec {
  std::string url;             // http://HOST:PORT
  std::string user, password;  // Basic authentication, if there is a user
  std::string user_agent;      // empty: none
  std::vector<std::string> headers;
};

// A value type.
class Proxy {
 public:
  // Throws todd::error (TODD_E_PARAM) that names the param: proxy for what is no http://HOST:PORT,
  // proxy_user, proxy_password, or proxy_header.
  explicit Proxy(const ProxySpec& spec);

  const std::string& host() const { return url_.host; }
  uint16_t port() const { return url_.port; }
  std::string name() const { return "the proxy " + url_.authority; }  // for people
  // The request for a way to where the URL leads (RFC 9110 section 9.3.6).
  std::string way_to(const Url& url) const;
  // The value of the Proxy-Authorization of requests that it reads itself; empty: none.
  const std::string& authorization() const { return authorization_; }

 private:
  Url url_;
  std::string authorization_, headers_;  // headers_: lines of CONNECT
};

}  // namespace todd::http
