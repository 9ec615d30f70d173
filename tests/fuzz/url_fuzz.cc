// Any text as a target's URL: refused with the URL in the message, or taken apart into what can stand in a
// request.

#include <algorithm>
#include <string>

#include "engine/base/check.h"
#include "plugins/http/url.h"
#include "todd/testlet.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace todd::http;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Url url = parse_url(text);
    TODD_CHECK(!url.authority.empty() && is_clean(url.authority, false));
    TODD_CHECK(!url.path.empty() && url.path[0] == '/' && is_clean(url.path, false));
    TODD_CHECK(url.path.find('#') == std::string::npos &&
               url.authority.find_first_of("/?#@") == std::string::npos);
    const std::string again = (url.https ? "https://" : "http://") + url.authority + url.path;
    TODD_CHECK(parse_url(again).path == url.path && parse_url(again).authority == url.authority);
  } catch (const todd::error& e) {
    const std::string_view begin =
        text.substr(0, std::min<size_t>(text.find('\0'), 100));  // a message ends at a NUL
    TODD_CHECK(e.code() == TODD_E_PARAM && std::string_view(e.what()).substr(0, begin.size()) == begin);
  }
  return 0;
}
