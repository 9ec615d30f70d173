// Join tokens as people paste them, addresses with ports: what is accepted is written as it was read.
#include <string_view>

#include "engine/base/check.h"
#include "engine/io/join_token.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::io;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto at = parse_host_port(text)) {
    const auto again = parse_host_port(format_host_port(*at));
    TODD_CHECK(again && *again == *at);
  }
  // As pasted, and with what stands in a token written by us.
  auto token = parse_join_token(text);
  if (!token) {
    const size_t line = text.find('\n');
    JoinToken made{{{"192.0.2.1", 7481}}, std::string(64, 'a'), "id", std::string(text.substr(0, line))};
    if (line != std::string_view::npos) made.coordinators.push_back({std::string(text.substr(line + 1)), 1});
    token = parse_join_token(write_join_token(made));
    if (!token) return 0;
  }
  const auto again = parse_join_token(write_join_token(*token));
  TODD_CHECK(again && *again == *token && token->ca_sha256_hex.size() == 64 && !token->coordinators.empty());
  return 0;
}
