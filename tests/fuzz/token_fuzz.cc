// Any answer of a server of tokens: a token that can stand in a header and has a life that can be counted, or
// a reason, never both.

#include <string>

#include "engine/base/check.h"
#include "plugins/http/token.h"
#include "plugins/http/url.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::http;
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::string why;
  const auto token = read_token(data[0] % 2 == 0 ? 200 : 400 + data[0], body, why);
  TODD_CHECK(token.has_value() == why.empty());
  if (!token) return 0;
  TODD_CHECK(!token->text.empty() && token->text.size() <= kMaxToken && is_clean(token->text, false));
  TODD_CHECK(token->lifetime_ns >= 0);
  RequestSpec spec;
  spec.url = parse_url("http://a.example/");
  spec.token = token->text;
  (void)Request(spec);
  Tokens tokens;
  tokens.asked();
  tokens.got(*token, 1000, 2000);
  TODD_CHECK(tokens.usable(2000) == (token->lifetime_ns == 0 || token->lifetime_ns > 1000));
  return 0;
}
