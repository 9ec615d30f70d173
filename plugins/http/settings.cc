#include "plugins/http/settings.h"

#include <cstdio>
#include <memory>

#include "plugins/http/probe.h"

namespace todd::http {
namespace {

constexpr size_t kMaxPem = 256 * 1024;

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    if (end != 0) lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
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
  request.headers = lines_of(Http::get(run, Http::header));
  request.body = text_of(run, Http::body);
  request.user = text_of(run, Http::user);
  request.password = text_of(run, Http::password);
  request.token = text_of(run, Http::token);
  request.unique_header = text_of(run, Http::unique_header);
  request.compressed = compressed;
  request.keep_alive = keep_alive;
  idempotent = request.method != "POST" && request.method != "PATCH";
  if (streams > 1 && version == Version::k11)
    throw error(TODD_E_PARAM,
                "streams: HTTP/1.1 has one request at a time on a connection; leave it out, or http: 2");
  if (!keep_alive && version == Version::k2)
    throw error(TODD_E_PARAM, "keep_alive: a connection of HTTP/2 is kept; leave it out, or http: 1.1");
  if (!is_clean(server_name, false)) throw error(TODD_E_PARAM, "server_name: must be a host name");
  RequestSpec whole = request;  // refuses what no request can be made of
  whole.url.authority = whole.url.host = "host.invalid";
  (void)Request(whole);
}

std::string pem_of(const char* param, std::string_view value) {
  if (value.empty() || value[0] != '/') return std::string(value);
  const std::string name(value);
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(name.c_str(), "re"), std::fclose);
  std::string text(kMaxPem + 1, '\0');
  if (file == nullptr) throw error(TODD_E_PARAM, std::string(param) + ": this host cannot read " + name);
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (text.size() > kMaxPem || text.find("-----BEGIN ") == std::string::npos)
    throw error(TODD_E_PARAM, std::string(param) + ": " + name + " is no PEM of at most 256 KiB");
  return text;
}

}  // namespace todd::http
