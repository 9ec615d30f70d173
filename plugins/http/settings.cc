#include "plugins/http/settings.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "plugins/http/field.h"
#include "plugins/http/probe.h"

namespace todd::http {
namespace {

constexpr size_t kMaxPem = 256 * 1024;

std::vector<std::string> lines_of(std::string_view repeated) {
  std::vector<std::string> lines;
  each_line(repeated, [&](std::string_view line) { lines.emplace_back(line); });
  return lines;
}

// Of headers. A secret in one would be sent as it stands, by its name.
std::vector<std::string> headers_of(const char* param, std::string_view repeated, const char* instead) {
  std::vector<std::string> lines = lines_of(repeated);
  for (const std::string& line : lines) {
    for (size_t at = line.find("secret:"); at != line.npos; at = line.find("secret:", at + 1)) {
      const size_t name = at + 7;
      if (at == 0 || (line[at - 1] != ' ' && line[at - 1] != ':') || name == line.size() || line[name] == ' ')
        continue;
      refuse(param + (" '" + line.substr(0, line.find(':')) + "'"), instead);
    }
  }
  return lines;
}

std::string text_of(const todd_run& run, const param<std::string_view>& p) {
  return std::string(Http::get(run, p));
}

}  // namespace

Settings::Settings(const todd_run& run)
    : checks(lines_of(Http::get(run, Http::check_))),
      version(static_cast<Version>(Http::get(run, Http::version))),
      connections(static_cast<uint32_t>(Http::get(run, Http::connections))),
      streams(static_cast<uint32_t>(Http::get(run, Http::streams))),
      follow(static_cast<uint32_t>(Http::get(run, Http::follow))),
      think_ns(Http::get(run, Http::think_time)),
      keep_alive(Http::get(run, Http::keep_alive)),
      compressed(Http::get(run, Http::compressed)),
      max_body(static_cast<uint64_t>(Http::get(run, Http::max_body))),
      checked_body(static_cast<uint64_t>(Http::get(run, Http::checked_body))),
      server_name(Http::get(run, Http::server_name)),
      tos(static_cast<uint8_t>(Http::get(run, Http::dscp) << 2)) {
  const std::string path = text_of(run, Http::path);
  if (path.empty() || path[0] != '/' || !is_clean(path, false))
    throw error(TODD_E_PARAM, "path: must begin with / and have no spaces or control characters");
  request.method = text_of(run, Http::method);
  request.url.https = Http::get(run, Http::scheme) == 1;
  request.url.path = path;
  request.host = text_of(run, Http::host_header);
  request.user_agent = text_of(run, Http::user_agent);
  for (std::string& line : headers_of("header", Http::get(run, Http::header),
                                      "secrets are read in no header; give its name as secret_header and "
                                      "secret:NAME as secret_value, or token or password")) {
    const size_t colon = line.find(':');
    if (!same_word(std::string_view(line).substr(0, colon), "host") || colon == line.npos) {
      request.headers.push_back(std::move(line));
      continue;
    }
    if (!request.host.empty())
      throw error(TODD_E_PARAM, "header: Host is given by host_header; give one of them");
    request.host = line.substr(std::min(line.find_first_not_of(' ', colon + 1), line.size()));
  }
  request.body = text_of(run, Http::body);
  request.user = text_of(run, Http::user);
  request.password = text_of(run, Http::password);
  request.token = text_of(run, Http::token);
  request.secret_header = text_of(run, Http::secret_header);
  request.secret_value = text_of(run, Http::secret_value);
  if (request.password.find_first_of("\r\n") != std::string::npos)
    throw error(TODD_E_PARAM, "password: it is more than one line");
  read_proxy(run);
  read_oauth(run);
  secrets.add(request.token);
  secrets.add(request.secret_value);
  secrets.add(request.secret_value.substr(request.secret_value.find(' ') + 1));  // of "Token abc" the second
  hide_credentials("user", request.user, request.password);
  request.unique_header = text_of(run, Http::unique_header);
  request.compressed = compressed;
  request.keep_alive = keep_alive;
  idempotent = request.method != "POST" && request.method != "PATCH";
  if (streams > 1 && version == Version::k11)
    throw error(TODD_E_PARAM,
                "streams: HTTP/1.1 has one request at a time on a connection; leave it out, or http: 2");
  if (think_ns > 0 && run.role == TODD_SOURCE && !std::isinf(run.rate))
    throw error(TODD_E_PARAM, "think_time: workers that pause are the closed model; give rate: max too");
  if (!keep_alive && version == Version::k2)
    throw error(TODD_E_PARAM, "keep_alive: a connection of HTTP/2 is kept; leave it out, or http: 1.1");
  if (!is_clean(server_name, false)) throw error(TODD_E_PARAM, "server_name: must be a host name");
  RequestSpec whole = request;  // refuses what no request can be made of
  whole.url.https = true;       // of which a proxy sees nothing
  if (token_request) whole.token = "x";
  whole.url.authority = whole.url.host = "host.invalid";
  (void)Request(whole);
}

void Settings::read_proxy(const todd_run& run) {
  const ProxySpec spec{.url = text_of(run, Http::proxy),
                       .user = text_of(run, Http::proxy_user),
                       .password = text_of(run, Http::proxy_password),
                       .user_agent = request.user_agent,
                       .headers = headers_of("proxy_header", Http::get(run, Http::proxy_header),
                                             "secrets are read in no header; give proxy_user and secret:NAME "
                                             "as proxy_password")};
  if (spec.url.empty()) {
    const char* const idle = !spec.user.empty()       ? "proxy_user"
                             : !spec.password.empty() ? "proxy_password"
                             : !spec.headers.empty()  ? "proxy_header"
                                                      : nullptr;
    if (idle != nullptr) throw error(TODD_E_PARAM, std::string(idle) + ": is of no use without proxy");
    return;
  }
  proxy.emplace(spec);
  hide_credentials("proxy_user", spec.user, spec.password);
  request.by_proxy = true;
  request.proxy_authorization = proxy->authorization();
}

void Settings::read_oauth(const todd_run& run) {
  const TokenSpec spec{.url = text_of(run, Http::oauth_url),
                       .client = text_of(run, Http::oauth_client),
                       .secret = text_of(run, Http::oauth_secret),
                       .scope = text_of(run, Http::oauth_scope),
                       .user_agent = request.user_agent};
  if (spec.url.empty()) {
    const char* const idle = !spec.client.empty()   ? "oauth_client"
                             : !spec.secret.empty() ? "oauth_secret"
                             : !spec.scope.empty()  ? "oauth_scope"
                                                    : nullptr;
    if (idle != nullptr) throw error(TODD_E_PARAM, std::string(idle) + ": is of no use without oauth_url");
    return;
  }
  if (!request.user.empty() || !request.token.empty())
    throw error(TODD_E_PARAM,
                "oauth_url: requests have credentials already, by user or token; give one of them");
  token_request = http::token_request(spec);
  token_request->by_proxy = request.by_proxy;
  token_request->proxy_authorization = request.proxy_authorization;
  secrets.add(spec.secret);
  hide_credentials("oauth_client", token_request->user, token_request->password);
}

// The password by itself, and with its user as it is sent.
void Settings::hide_credentials(const char* user_param, const std::string& user,
                                const std::string& password) {
  if (password.empty()) return;
  secrets.add(password);
  secrets.add(basic_credentials(user_param, user, password).substr(std::string_view("Basic ").size()));
}

std::string pem_of(const char* param, std::string_view value) {
  const std::string what = std::string(param) + ": ";
  if (value.empty() || value.find("-----BEGIN ") != value.npos) return std::string(value);
  if (value[0] != '/')
    throw error(TODD_E_PARAM,
                what + "neither PEM (-----BEGIN ...) nor a file, which needs its whole path (/...)");
  const std::string name(value);
  // Not one that blocks: a pipe.
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat facts {};
  std::string text(kMaxPem + 1, '\0');
  const bool readable = fd >= 0 && ::fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
  const ssize_t n = readable ? ::read(fd, text.data(), text.size()) : -1;
  if (fd >= 0) ::close(fd);
  if (n < 0) throw error(TODD_E_PARAM, what + "this host cannot read " + name);
  text.resize(static_cast<size_t>(n));
  if (text.size() > kMaxPem || text.find("-----BEGIN ") == text.npos)
    throw error(TODD_E_PARAM, what + name + " is no PEM of at most 256 KiB");
  return text;
}

}  // namespace todd::http
