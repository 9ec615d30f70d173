#include "plugins/http/proxy.h"

#include "plugins/http/field.h"
#include "plugins/http/headers.h"
#include "todd/testlet.hpp"

namespace todd::http {
namespace {

Url url_of(const std::string& text) {
  if (text.find('@') != std::string::npos)  // not quoted: it may have a password
    refuse("proxy", "has credentials; give proxy_user and proxy_password");
  Url url;
  try {
    url = parse_url(text);
  } catch (const error& e) {
    throw error(TODD_E_PARAM, std::string("proxy: ") + e.what());
  }
  if (url.https || url.port == 0 || url.path != "/")
    refuse("proxy: " + text, "must be http://HOST:PORT, such as http://proxy.example:3128");
  return url;
}

}  // namespace

Proxy::Proxy(const ProxySpec& spec) : url_(url_of(spec.url)) {
  if (spec.user.empty() && !spec.password.empty()) refuse("proxy_password", "needs a proxy_user");
  if (!spec.user.empty()) authorization_ = basic_credentials("proxy_user", spec.user, spec.password);
  bool names_itself = spec.user_agent.empty();
  for (const std::string& line : spec.headers) {
    const auto [name, value] = parse_field("proxy_header", line);
    if (among(name, {"host", "content-length", "content-type"}))
      refuse("proxy_header '" + name + "'", "is not for a request without content");
    names_itself |= same_word(name, "user-agent");
    if (!same_word(name, "proxy-authorization")) {
      headers_ += name + ": " + value + "\r\n";
      continue;
    }
    if (!authorization_.empty())
      refuse("proxy_header '" + name + "'", "is given twice, or with a proxy_user");
    authorization_ = value;
  }
  if (!names_itself) headers_ += "User-Agent: " + spec.user_agent + "\r\n";
  if (!authorization_.empty()) headers_ += "Proxy-Authorization: " + authorization_ + "\r\n";
}

std::string Proxy::way_to(const Url& url) const {
  const std::string where = authority_of(url.host, url.effective_port(), 0);
  return "CONNECT " + where + " HTTP/1.1\r\nHost: " + where + "\r\n" + headers_ + "\r\n";
}

}  // namespace todd::http
