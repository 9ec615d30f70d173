#include "coordinator/api/host_check.h"

#include <charconv>

#include <fmt/format.h>

#include "coordinator/api/problem.h"

namespace todd::api {
namespace {

bool is_loopback_name(std::string_view name) {
  return name == "localhost" || name == "127.0.0.1" || name == "[::1]";
}

// Splits "host:port"; the port is 0 where there is none, -1 where it cannot be read.
std::pair<std::string_view, int> split_host(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || text.find(']', colon) != std::string_view::npos) return {text, 0};
  const std::string_view digits = text.substr(colon + 1);
  unsigned port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool good = error == std::errc() && end == digits.data() + digits.size() && port <= 65535;
  return {text.substr(0, colon), good ? static_cast<int>(port) : -1};
}

}  // namespace

std::optional<Response> check_host(const Request& head, uint16_t port) {
  const auto [name, named_port] = split_host(head.host);
  const bool port_fits = named_port == port || (named_port == 0 && port == 80);
  if (!is_loopback_name(name) || !port_fits) {
    return problem(421, "denied",
                   fmt::format("this server is localhost:{}, and answers to no other name", port));
  }
  const std::string& origin = head.header("origin");
  if (!origin.empty() && origin != "http://" + head.host) {
    return problem(403, "denied", "requests from pages of another origin are refused");
  }
  return std::nullopt;
}

Result<ListenAddress> parse_listen(const std::string& text) {
  const auto [name, port] = split_host(text);
  if (port < 0 || text.rfind(':') == std::string::npos || name == text) {
    return fail(Errc::invalid, fmt::format("--listen {}: expected ADDRESS:PORT, as in 127.0.0.1:7480", text));
  }
  if (!is_loopback_name(name)) {
    return fail(
        Errc::invalid,
        fmt::format("--listen {}: only 127.0.0.1, [::1] and localhost are served without authentication; API "
                    "tokens for other addresses come in a later version. Until then use the unix socket, or "
                    "forward it: ssh -L 7480:DATA_DIR/api.sock HOST",
                    text));
  }
  const std::string address = name == "[::1]" ? "::1" : "127.0.0.1";
  return ListenAddress{address, static_cast<uint16_t>(port)};
}

}  // namespace todd::api
