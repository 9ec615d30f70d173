#include "plugins/http/secrets.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace todd::http {
namespace {

// %E4 for the byte, or what a form has for a space.
size_t escape_of(std::string_view text, char byte) {
  if (text[0] == '+' && byte == ' ') return 1;
  unsigned value = 0;
  if (text.size() < 3 || text[0] != '%') return 0;
  const auto [end, ec] = std::from_chars(text.data() + 1, text.data() + 3, value, 16);
  return ec == std::errc() && end == text.data() + 3 && value == static_cast<unsigned char>(byte) ? 3 : 0;
}

// How many bytes of the text are the secret it begins with. 0: it begins with something else.
size_t begins_with(std::string_view text, std::string_view secret) {
  if (text.substr(0, secret.size()) == secret) return secret.size();  // one with a % in it, too
  size_t at = 0;
  for (const char byte : secret) {
    if (at == text.size()) return 0;
    const size_t n = escape_of(text.substr(at), byte);
    if (n == 0 && text[at] != byte) return 0;
    at += std::max<size_t>(n, 1);
  }
  return at;
}

}  // namespace

void Secrets::add(const std::string& secret) {
  if (secret.empty()) return;
  const auto longer = [](const std::string& a, const std::string& b) { return a.size() > b.size(); };
  all_.insert(std::upper_bound(all_.begin(), all_.end(), secret, longer), secret);
}

std::string Secrets::hide(std::string text) const {
  for (const std::string& secret : all_) {
    for (size_t at = 0; at < text.size(); ++at) {
      const size_t n = begins_with(std::string_view(text).substr(at), secret);
      if (n == 0) continue;
      text.replace(at, n, "***");
      at += 2;
    }
  }
  return text;
}

}  // namespace todd::http
