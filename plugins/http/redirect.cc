#include "plugins/http/redirect.h"

#include <algorithm>
#include <cstdio>

#include "plugins/http/headers.h"
#include "plugins/http/reference.h"
#include "todd/testlet.hpp"

namespace todd::http {

namespace {

// Servers put raw UTF-8 and spaces into Location; what everybody makes of them.
std::string encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == ' ' || byte >= 0x80) {
      out += {'%', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15]};
    } else {
      out += c;
    }
  }
  return out;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

std::string text_of(const std::vector<Hop>& hops) {
  // A text of information has 252 bytes: 4 times "302 " URL "... (1.23e+05 ms)", and between them at most 19.
  constexpr size_t kShown = 4, kUrl = 36;
  std::string out;
  for (size_t i = 0; i < hops.size(); ++i) {
    const size_t left_out = hops.size() > kShown ? hops.size() - kShown : 0;
    if (i == kShown - 1 && left_out > 0) {
      out.append(", ... ").append(std::to_string(left_out)).append(" more");
      i += left_out;
    }
    const Hop& hop = hops[i];
    char time[32];
    std::snprintf(time, sizeof time, " (%.3g ms)",
                  static_cast<double>(hop.ns - (i == 0 ? 0 : hops[i - 1].ns)) / 1e6);
    if (i != 0) out += ", ";
    out.append(std::to_string(hop.status)).append(" ").append(hop.url, 0, kUrl);
    if (hop.url.size() > kUrl) out.append("...");
    out.append(time);
  }
  return out;
}

void Redirects::drop_headers(const std::vector<std::string_view>& names) {
  auto& all = spec_.headers;
  all.erase(std::remove_if(all.begin(), all.end(),
                           [&](const std::string& line) {
                             const auto name = std::string_view(line).substr(0, line.find(':'));
                             return std::any_of(names.begin(), names.end(),
                                                [&](auto one) { return same_word(one, name); });
                           }),
            all.end());
}

Redirects::Next Redirects::answered(int status, std::optional<std::string_view> location, int64_t ns) {
  hops_.push_back({spec_.url.text(), status, ns});
  if (!is_redirect(status) || !location) return Next::kStay;
  if (hops_.size() > limit_) {
    why_ = "more than " + std::to_string(limit_) + " redirects";
    return Next::kRefused;
  }
  const Url from = spec_.url;
  const std::string where = resolve_reference(from.text(), encoded(*location));
  try {
    spec_.url = parse_url(where);
  } catch (const BadUrl& e) {
    why_ = std::string("redirected to ") + (BadUrl::may_tell(where) ? where : "a URL not shown here") + ": " +
           e.why();
    return Next::kRefused;
  }
  if (from.https && !spec_.url.https) {
    why_ = "redirected from https to " + spec_.url.text();
    return Next::kRefused;
  }
  const bool to_get = status == 303 ? spec_.method != "HEAD" : status <= 302 && spec_.method == "POST";
  if (to_get) {
    spec_.method = "GET";
    spec_.body.clear();
    drop_headers(
        {"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Location"});
  }
  if (!same_origin(from, spec_.url)) {
    spec_.user.clear();
    spec_.password.clear();
    spec_.token.clear();
    spec_.secret_header.clear();
    spec_.secret_value.clear();
    spec_.host.clear();
    drop_headers({"Authorization", "Proxy-Authorization", "Cookie", "Host"});
  }
  return Next::kFollow;
}

}  // namespace todd::http
