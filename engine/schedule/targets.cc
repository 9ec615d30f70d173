#include "engine/schedule/targets.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "engine/base/check.h"

namespace todd::schedule {
namespace {

using Uint128 = unsigned __int128;

constexpr const char* kExpected =
    "expected an address, a name, HOST:PORT, [IPV6]:PORT, a network such as 192.0.2.0/24, a range A-B of "
    "addresses, "
    "or a http:// or https:// URL";

// An address as a number, so that networks and ranges are arithmetic.
struct Address {
  int family = AF_INET;
  Uint128 value = 0;
};

std::optional<Address> parse_address(const std::string& text) {
  if (text.find('\0') != std::string::npos) return std::nullopt;
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return Address{AF_INET, ntohl(v4.s_addr)};
  in6_addr v6{};
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return std::nullopt;
  Address address{AF_INET6, 0};
  for (const uint8_t byte : v6.s6_addr) address.value = address.value << 8 | byte;
  return address;
}

std::string format_address(const Address& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.family == AF_INET) {
    const in_addr v4{htonl(static_cast<uint32_t>(address.value))};
    inet_ntop(AF_INET, &v4, text, sizeof text);
  } else {
    in6_addr v6{};
    for (int i = 0; i < 16; ++i) v6.s6_addr[i] = static_cast<uint8_t>(address.value >> (120 - 8 * i));
    inet_ntop(AF_INET6, &v6, text, sizeof text);
  }
  return text;
}

// A decimal number without sign that fits.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

tl::unexpected<Error> invalid(const std::string& text, std::string_view why) {
  return fail(Errc::invalid, fmt::format("target \"{}\": {}", text, why));
}

// A host as addresses: first to last, inclusive. A name has none.
struct Span {
  std::optional<Address> first;
  Uint128 size = 1;
};

Result<Span> parse_network(const std::string& host, size_t slash) {
  const auto address = parse_address(host.substr(0, slash));
  const auto length = parse_number<uint8_t>(std::string_view(host).substr(slash + 1));
  if (!address)
    return invalid(host, "what stands before the / is no address; write a network as 192.0.2.0/24");
  const unsigned bits = address->family == AF_INET ? 32 : 128;
  if (!length && host.find(':', slash) != std::string::npos)
    return invalid(host, "a network takes no port; name its addresses one by one, as 192.0.2.1:80");
  if (!length || *length > bits) return invalid(host, fmt::format("the prefix length must be 0 to {}", bits));
  const unsigned free = bits - *length;
  Span span;
  span.first = address;
  if (free == 128) {  // the size does not fit; one less is as much too many
    span.first->value = 0;
    span.size = ~Uint128{0};
    return span;
  }
  span.size = Uint128{1} << free;
  span.first->value &= ~(span.size - 1);
  if (address->family == AF_INET && free > 1) {
    span.first->value += 1;
    span.size -= 2;
  }
  return span;
}

Result<Span> parse_range(const std::string& host, const Address& first, size_t dash) {
  const std::string right = host.substr(dash + 1);
  const auto last = parse_address(right);
  if (!last)
    return invalid(host, "what stands after the - is no address; write a range as 192.0.2.10-192.0.2.20");
  if (last->family != first.family)
    return invalid(host, "both ends of a range must be of one address family");
  if (last->value < first.value) return invalid(host, "the range ends before it begins");
  Span span{first, last->value - first.value};
  if (span.size != ~Uint128{0}) span.size += 1;
  return span;
}

bool is_name(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.empty() || host.size() > 253) return false;
  bool numeric = false;  // the last label: then it is a misspelt address
  while (!host.empty()) {
    const std::string_view label = host.substr(0, host.find('.'));
    const auto in_name = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
             c == '_';
    };
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    if (!std::all_of(label.begin(), label.end(), in_name)) return false;
    numeric = std::all_of(label.begin(), label.end(), [](char c) { return c >= '0' && c <= '9'; });
    host.remove_prefix(label.size());
    if (host.starts_with('.')) {
      host.remove_prefix(1);
      if (host.empty()) return false;
    }
  }
  return !numeric;
}

Result<Span> expand(const std::string& host) {
  if (const auto address = parse_address(host)) return Span{address, 1};
  if (is_literal(host)) return Span{parse_address(host.substr(0, host.find('%'))), 1};
  if (const size_t slash = host.find('/'); slash != std::string::npos) return parse_network(host, slash);
  if (const size_t dash = host.find('-'); dash != std::string::npos) {
    if (const auto first = parse_address(host.substr(0, dash))) return parse_range(host, *first, dash);
  }
  if (!is_name(host)) return invalid(host, kExpected);
  return Span{};
}

// Refuses addresses that no single host has: probes to them would reach this host, or many at once.
Status check_hosts(const std::string& text, const Span& span) {
  struct Bad {
    int family;
    Uint128 first, last;
    const char* why;
  };
  constexpr Bad kBad[] = {
      {AF_INET, 0, 0, "0.0.0.0 is no host; this host is 127.0.0.1"},
      {AF_INET, 0xe0000000, 0xefffffff, "224.0.0.0/4 is multicast; name each host by its own address"},
      {AF_INET, 0xffffffff, 0xffffffff, "255.255.255.255 is broadcast; name the hosts, or their network"},
      {AF_INET6, 0, 0, ":: is no host; this host is ::1"},
      {AF_INET6, Uint128{0xff} << 120, ~Uint128{0},
       "ff00::/8 is multicast; name each host by its own address"},
  };
  if (!span.first) return {};
  const Uint128 first = span.first->value, last = first + (span.size - 1);
  for (const Bad& bad : kBad) {
    if (span.first->family == AF_INET && bad.family == AF_INET6) continue;
    // An IPv4 address that IPv6 maps is what it maps.
    const Uint128 at = span.first->family == bad.family ? 0 : Uint128{0xffff} << 32;
    if (first <= at + bad.last && last >= at + bad.first) return invalid(text, bad.why);
  }
  return {};
}

std::string decimal(Uint128 n) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(n % 10)));
    n /= 10;
  } while (n > 0);
  return digits;
}

// "host", "host:port", "[v6]:port" or "[v6]", as it stands in a URL and on the command line.
Status split_port(const std::string& text, std::string_view authority, TargetSpec& spec) {
  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return invalid(text, "the [ is not closed; write [2001:db8::1]:80");
    spec.host = authority.substr(1, close - 1);
    if (spec.host.find(':') == std::string::npos || !is_literal(spec.host)) {
      return invalid(text, "what stands in the brackets is no IPv6 address; write [2001:db8::1]:80");
    }
    const std::string_view rest = authority.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return invalid(text, "after ] only :PORT may follow");
    has_port = !rest.empty();
    port = rest.substr(has_port ? 1 : 0);
  } else {
    const size_t colon = authority.find(':');
    has_port = colon != std::string_view::npos;
    spec.host = authority.substr(0, colon);
    if (has_port) port = authority.substr(colon + 1);
  }
  if (!has_port) return {};
  const auto number = parse_number<uint16_t>(port);
  if (!number || *number == 0) {
    return invalid(text, fmt::format("\"{}\" is no port; expected 1 to 65535", port));
  }
  spec.port = *number;
  return {};
}

Result<TargetSpec> parse_url(const std::string& text, size_t scheme_end) {
  const std::string_view scheme = std::string_view(text).substr(0, scheme_end);
  if (scheme != "http" && scheme != "https") {
    return invalid(text, fmt::format("scheme \"{}\" is not known; expected http:// or https://", scheme));
  }
  const bool printable = std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) return invalid(text, "a URL has no blanks and only ASCII; percent-encode the rest");
  const std::string_view rest = std::string_view(text).substr(scheme_end + 3);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) {
    return fail(Errc::invalid,
                "target URL: credentials do not belong in a target; leave out what stands before the @");
  }
  TargetSpec spec;
  spec.name = text;
  spec.url = text;
  spec.port = scheme == "https" ? 443 : 80;
  if (auto split = split_port(text, authority, spec); !split) return tl::unexpected(split.error());
  if (!is_literal(spec.host) && !is_name(spec.host)) {
    return invalid(text, fmt::format("\"{}\" is neither an address nor a name", spec.host));
  }
  if (auto n = count(spec); !n) return tl::unexpected(n.error());
  return spec;
}

}  // namespace

bool is_literal(const std::string& host) {
  const size_t scope = host.find('%');
  if (scope == std::string::npos) return parse_address(host).has_value();
  const auto address = parse_address(host.substr(0, scope));
  const auto in_scope = [](char c) {
    return c > ' ' && c < 0x7f && c != '%' && c != '/' && c != '[' && c != ']';
  };
  return address && address->family == AF_INET6 && scope + 1 < host.size() &&
         std::all_of(host.begin() + static_cast<std::ptrdiff_t>(scope) + 1, host.end(), in_scope);
}

Result<uint64_t> count(const TargetSpec& spec) {
  if (!spec.url.empty() && !is_literal(spec.host)) return 1;
  const auto span = expand(spec.host);
  if (!span) return tl::unexpected(span.error());
  if (span->size > kMaxTargetsPerSpec) {
    return fail(Errc::exhausted,
                fmt::format("target \"{}\" means {} addresses, at most {} may be probed as one target; "
                            "name a smaller network",
                            spec.host, decimal(span->size), kMaxTargetsPerSpec));
  }
  if (auto good = check_hosts(spec.url.empty() ? spec.host : spec.url, *span); !good)
    return tl::unexpected(good.error());
  return static_cast<uint64_t>(span->size);
}

std::string host_at(const TargetSpec& spec, uint64_t i) {
  if (!spec.url.empty()) return spec.host;
  const auto span = expand(spec.host);
  TODD_CHECK(span && i < span->size);
  if (!span->first || is_literal(spec.host)) return spec.host;
  return format_address({span->first->family, span->first->value + i});
}

Result<TargetSpec> parse_target(const std::string& text) {
  if (const size_t scheme = text.find("://"); scheme != std::string::npos) return parse_url(text, scheme);
  TargetSpec spec;
  spec.name = text;
  spec.host = text;
  const bool bracket = text.starts_with('[');
  const bool one_colon = std::count(text.begin(), text.end(), ':') == 1;
  if (bracket || (one_colon && text.find('/') == std::string::npos)) {
    if (auto split = split_port(text, text, spec); !split) return tl::unexpected(split.error());
    if (!is_literal(spec.host) && !is_name(spec.host)) return invalid(text, kExpected);
  }
  if (auto n = count(spec); !n) return tl::unexpected(n.error());
  return spec;
}

}  // namespace todd::schedule
