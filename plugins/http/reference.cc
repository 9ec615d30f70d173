#include "plugins/http/reference.h"

#include <optional>

namespace todd::http {

namespace {

struct Parts {
  std::optional<std::string_view> scheme, authority, query, fragment;
  std::string_view path;
};

bool is_scheme(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (text.empty() || !letter(text[0])) return false;
  for (const char c : text) {
    if (!letter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return false;
  }
  return true;
}

// The expression of appendix B, from the back.
Parts split(std::string_view text) {
  Parts parts;
  if (const size_t at = text.find('#'); at != std::string_view::npos) {
    parts.fragment = text.substr(at + 1);
    text = text.substr(0, at);
  }
  if (const size_t at = text.find('?'); at != std::string_view::npos) {
    parts.query = text.substr(at + 1);
    text = text.substr(0, at);
  }
  if (const size_t at = text.find_first_of(":/");
      at != std::string_view::npos && text[at] == ':' && is_scheme(text.substr(0, at))) {
    parts.scheme = text.substr(0, at);
    text.remove_prefix(at + 1);
  }
  if (text.substr(0, 2) == "//") {
    text.remove_prefix(2);
    const size_t at = text.find('/');
    parts.authority = text.substr(0, at);
    text = at == std::string_view::npos ? std::string_view() : text.substr(at);
  }
  parts.path = text;
  return parts;
}

void drop_segment(std::string& path) {
  const size_t at = path.rfind('/');
  path.resize(at == std::string::npos ? 0 : at);
}

// Section 5.2.4, letter by letter.
std::string without_dots(std::string_view in) {
  std::string out;
  const auto starts = [&in](std::string_view text) { return in.substr(0, text.size()) == text; };
  while (!in.empty()) {
    if (starts("../")) {
      in.remove_prefix(3);
    } else if (starts("./")) {
      in.remove_prefix(2);
    } else if (starts("/./")) {
      in.remove_prefix(2);
    } else if (in == "/.") {
      in = "/";
    } else if (starts("/../")) {
      in.remove_prefix(3);
      drop_segment(out);
    } else if (in == "/..") {
      in = "/";
      drop_segment(out);
    } else if (in == "." || in == "..") {
      in = {};
    } else {
      const size_t end = in.find('/', 1);
      out += in.substr(0, end);
      in = end == std::string_view::npos ? std::string_view() : in.substr(end);
    }
  }
  return out;
}

// Section 5.2.3.
std::string merged(const Parts& base, std::string_view path) {
  if (base.authority && base.path.empty()) return "/" + std::string(path);
  return std::string(base.path.substr(0, base.path.rfind('/') + 1)) + std::string(path);
}

}  // namespace

std::string resolve_reference(std::string_view base_text, std::string_view reference) {
  const Parts base = split(base_text), r = split(reference);
  Parts t = r;
  std::string path;
  if (r.scheme || r.authority) {
    if (!r.scheme) t.scheme = base.scheme;
    path = without_dots(r.path);
  } else {
    t.scheme = base.scheme;
    t.authority = base.authority;
    if (r.path.empty()) {
      path = base.path;
      if (!r.query) t.query = base.query;
    } else {
      path = without_dots(r.path[0] == '/' ? std::string(r.path) : merged(base, r.path));
    }
  }
  std::string out;
  if (t.scheme) out.append(*t.scheme).append(":");
  if (t.authority) out.append("//").append(*t.authority);
  out += path;
  if (t.query) out.append("?").append(*t.query);
  if (t.fragment) out.append("#").append(*t.fragment);
  return out;
}

}  // namespace todd::http
