#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "coordinator/api/http.h"
#include "engine/base/result.h"

namespace todd::api {

// What guards a loopback TCP listener, which any web page in a local browser can reach: the Host must be a
// loopback name with our port (else 421: DNS rebinding), and an Origin, which browsers send, must be that
// same host (else 403).
std::optional<Response> check_host(const Request& head, uint16_t port);

// "127.0.0.1:7480", "[::1]:7480" or "localhost:7480" taken apart; Errc::invalid for anything but loopback.
struct ListenAddress {
  std::string address;
  uint16_t port = 0;
};
Result<ListenAddress> parse_listen(const std::string& text);

}  // namespace todd::api
