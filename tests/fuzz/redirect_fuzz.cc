// Any text as the Location of an answer: the chain stays, is refused with a reason, or has a next request
// that can be made, never from https to http, never with credentials for another origin.

#include <string>

#include "engine/base/check.h"
#include "plugins/http/redirect.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::http;
  if (size < 1) return 0;
  constexpr int kStatuses[] = {200, 301, 302, 303, 307, 308, 304, 404};
  RequestSpec first;
  first.url = parse_url((data[0] & 0x80) != 0 ? "https://a.example/b/c;d?e" : "http://a.example/b/c;d?e");
  first.method = (data[0] & 0x40) != 0 ? "POST" : "GET";
  first.user = "u";
  const Url from = first.url;
  Redirects chain(first, 2);
  const std::string_view location(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (int i = 0; i < 4; ++i) {
    const auto next = chain.answered(kStatuses[data[0] % 8], location, 0);
    if (next == Redirects::Next::kRefused) TODD_CHECK(!chain.why().empty());
    if (next != Redirects::Next::kFollow) return 0;
    TODD_CHECK(i < 2);
    TODD_CHECK(chain.spec().url.https || !from.https);
    TODD_CHECK(same_origin(from, chain.spec().url) || chain.spec().user.empty());
    TODD_CHECK(!Request(chain.spec()).wire().empty());
  }
  return 0;
}
