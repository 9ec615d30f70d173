#include "engine/lane/errors.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace todd::lane {

todd_status set_error(todd_error* error, todd_status code, const std::string& text) {
  if (error != nullptr && error->size >= sizeof *error) {
    error->code = code;
    const size_t n = std::min(text.size(), sizeof error->text - 1);
    memcpy(error->text, text.data(), n);
    error->text[n] = '\0';
  }
  return code;
}

todd_status status_of(const Error& error) {
  if (error.code == Errc::invalid) return TODD_E_PARAM;
  return error.sys_errno != 0 ? -error.sys_errno : -EADDRINUSE;
}

const char* failed_reason(todd_status status) {
  switch (status) {
    case TODD_E_PARAM: return "bad_param";
    case TODD_E_UNSUPPORTED: return "unsupported";
    case TODD_E_DENIED:
    case -EPERM:
    case -EACCES: return "permission";
    default: return "local_resource";
  }
}

bool needs_family(const TaskSetup& setup, int family) {
  if (setup.targets.empty()) return true;
  return std::any_of(setup.targets.begin(), setup.targets.end(),
                     [family](const Target& t) { return t.address.sa.sa_family == family; });
}

Status permitted(const TaskSetup& setup, const io::Address& address, const std::string& shown) {
  const io::Network* const rule = setup.refused ? io::find_network(*setup.refused, address) : nullptr;
  if (rule == nullptr) return {};
  const std::string what = shown.empty() ? io::format_address(address) : shown;
  const std::string as_written = rule->text() == what ? "" : fmt::format(" by {}", rule->text());
  return fail(Errc::denied, fmt::format("{} is refused{}, in refuse-targets of the agent's configuration",
                                        what, as_written));
}

bool wanted_family(const TaskSetup& setup, const Target& target, int family) {
  const bool given = target.spec < setup.specs->size();  // else a param named it
  const uint32_t own = given ? (*setup.specs)[target.spec].family : 0;
  const uint32_t wanted = own != 0 ? own : setup.run.family;
  return wanted == 0 || (wanted == 4) == (family == AF_INET);
}

Result<UniqueFd> bind_listener(const TaskSetup& setup, io::SocketRequest request, uint16_t wanted) {
  request.listen = request.kind == io::SocketRequest::tcp;
  const std::string any = request.family == AF_INET6 ? "::" : "0.0.0.0";
  uint16_t first = wanted != 0 ? wanted : setup.listen_port, last = first;
  if (first == 0) first = setup.listen_first, last = setup.listen_last;
  Result<UniqueFd> fd = fail(Errc::exhausted, "no port to listen on");
  for (uint32_t port = first; port <= last; ++port) {
    request.bind_to = *io::parse_address(any, static_cast<uint16_t>(port));
    fd = io::open_socket(request);
    if (fd || fd.error().sys_errno != EADDRINUSE) return fd;
  }
  if (!fd && first != last)
    return fail(Errc::exhausted, "every port from " + std::to_string(first) + " to " + std::to_string(last) +
                                     " is in use: widen the agent's listen ports");
  return fd;
}

Status check_egress(const TaskSetup& setup) {
  if (setup.egress == Egress{}) return {};
  for (const int family : {AF_INET, AF_INET6}) {
    if (!needs_family(setup, family)) continue;
    auto fd = io::open_socket(
        {.kind = io::SocketRequest::tcp, .family = family, .buffer_bytes = 0, .egress = setup.egress});
    if (!fd) return tl::unexpected(fd.error());
  }
  return {};
}

void copy_host(const io::Address& address, uint8_t (&out)[16]) {
  if (address.sa.sa_family == AF_INET6)
    memcpy(out, &address.v6.sin6_addr, 16);
  else if (address.sa.sa_family == AF_INET)
    memcpy(out, &address.v4.sin_addr, 4);
}

}  // namespace todd::lane
