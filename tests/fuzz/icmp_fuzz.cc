// ICMP messages as a raw socket delivers them; the first byte picks the family. What is accepted must lie in
// the message.
#include <sys/socket.h>

#include <cstdlib>

#include "engine/lane/icmp.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::lane;
  if (size == 0) return 0;
  const int family = (data[0] & 1) != 0 ? AF_INET6 : AF_INET;
  const std::span message(data + 1, size - 1);
  (void)is_sound(message);
  const auto reply = parse_echo_reply(message, family);
  if (reply && reply->cookie.has_value() != (message.size() >= kEchoHeader + kCookieBytes)) abort();
  if (const auto error = parse_icmp_error(message, family)) {
    if (reply || error->to.sa.sa_family != family || icmp_errno(family, error->type, error->code) == 0)
      abort();
  }
  const auto request = parse_echo_request(message, family);
  const auto quoted = parse_quoted_echo(message, family);
  if (request && (reply || !quoted || quoted->id.sequence != request->id.sequence)) abort();
  return 0;
}
