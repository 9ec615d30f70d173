#include "engine/io/join_token.h"

#include <charconv>
#include <optional>

#include "engine/io/pki.h"

namespace todd::io {
namespace {
constexpr std::string_view kPrefix = "todd-join-v1.";
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// RFC 4648 section 5, without padding.
std::string to_base64url(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  unsigned have = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (have += 8; have >= 6; have -= 6) out.push_back(kAlphabet[bits >> (have - 6) & 63]);
  }
  if (have > 0) out.push_back(kAlphabet[bits << (6 - have) & 63]);
  return out;
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  unsigned have = 0;
  for (const char c : text) {
    const size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<char>(bits >> have & 0xff));
    }
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  return lines;
}

bool is_hex(const std::string& text, size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}
}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  const std::string shown(text);
  std::string_view host, port;
  if (!text.empty() && text.front() == '[') {
    const size_t end = text.find("]:");
    if (end == std::string_view::npos) return fail(Errc::invalid, "\"" + shown + "\": write [ADDRESS]:PORT");
    host = text.substr(1, end - 1);
    port = text.substr(end + 2);
  } else {
    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
      return fail(Errc::invalid, "\"" + shown + "\" has no port: write HOST:PORT");
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.find(':') != std::string_view::npos) {
      return fail(Errc::invalid, "\"" + shown + "\": write an IPv6 address as [ADDRESS]:PORT");
    }
  }
  HostPort at{std::string(host), 0};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), at.port);
  const bool named = !host.empty() && host.find_first_of("[]") == std::string_view::npos;
  if (!named || error != std::errc() || end != port.data() + port.size() || at.port == 0) {
    return fail(Errc::invalid, "\"" + shown + "\": write HOST:PORT with a port of 1..65535");
  }
  return at;
}

std::string format_host_port(const HostPort& at) {
  const bool v6 = at.host.find(':') != std::string::npos;
  return (v6 ? "[" + at.host + "]" : at.host) + ":" + std::to_string(at.port);
}

std::string write_join_token(const JoinToken& token) {
  std::string text = token.ca_sha256_hex + "\n" + token.id + "\n" + token.secret + "\n";
  for (const HostPort& at : token.coordinators) text += format_host_port(at) + "\n";
  return std::string(kPrefix) + to_base64url(text);
}

Result<JoinToken> parse_join_token(std::string_view text) {
  constexpr size_t kLongest = 4096;
  constexpr size_t kFixedLines = 3;
  text = trimmed(text);
  if (!text.starts_with(kPrefix) || text.size() > kLongest) {
    return fail(
        Errc::invalid,
        "this is no join token; it begins with \"todd-join-v1.\" and is made by `todd agents invite`");
  }
  const std::string damaged = "the join token is damaged; paste all of it, in one piece";
  const auto plain = from_base64url(text.substr(kPrefix.size()));
  if (!plain) return fail(Errc::invalid, damaged);
  const auto lines = lines_of(*plain);
  if (lines.size() <= kFixedLines || !is_hex(lines[0], 64) || lines[1].empty() || lines[2].empty()) {
    return fail(Errc::invalid, damaged);
  }
  JoinToken token{{}, lines[0], lines[1], lines[2]};
  for (size_t i = kFixedLines; i < lines.size(); ++i) {
    const auto at = parse_host_port(lines[i]);
    if (!at) return fail(Errc::invalid, damaged);
    token.coordinators.push_back(*at);
  }
  return token;
}

std::string enrol_proof(const std::string& secret, const std::string& tls_exporter,
                        const std::string& csr_pem) {
  return hmac_sha256_hex(secret, tls_exporter + csr_pem);
}

}  // namespace todd::io
