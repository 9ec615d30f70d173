#include "plugins/http/json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace todd::http {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;
using Kind = JsonValue::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// simdjson says that a text is wrong, not where: this walks it once more.
class FaultFinder {
 public:
  explicit FaultFinder(std::string_view text) : text_(text) {}

  std::optional<JsonFault> find() {
    for (;;) {
      skip_blanks();
      if (at_ == text_.size()) {
        if (next_ != Next::kNothing) complain("it ends too early");
        return fault_;
      }
      if (!step(text_[at_])) return fault_;
    }
  }

 private:
  enum class Next { kValue, kValueOrEnd, kName, kNameOrEnd, kCommaOrEnd, kNothing };

  bool complain(const char* what) { return complain(at_, what); }
  bool complain(size_t at, const char* what) {
    fault_ = {at, what};
    return false;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_blanks() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  void after_value() { next_ = open_.empty() ? Next::kNothing : Next::kCommaOrEnd; }

  bool step(char c) {
    const bool ends = !open_.empty() && c == (open_.back() == '[' ? ']' : '}');
    switch (next_) {
      case Next::kNothing: return complain("something follows the value");
      case Next::kCommaOrEnd:
        if (ends) return close();
        if (c != ',') return complain("a comma or the end of the array or object is missing");
        ++at_;
        next_ = open_.back() == '[' ? Next::kValue : Next::kName;
        return true;
      case Next::kValueOrEnd:
      case Next::kNameOrEnd:
        if (ends) return close();
        if (open_.size() > kMaxJsonDepth) return complain("arrays and objects are too deep in each other");
        return next_ == Next::kNameOrEnd ? name() : value(c);
      case Next::kName: return name();
      case Next::kValue: break;
    }
    return value(c);
  }

  bool close() {
    open_.pop_back();
    ++at_;
    after_value();
    return true;
  }

  bool name() {
    if (peek() != '"') return complain("a name in quotes is missing");
    if (!string()) return false;
    skip_blanks();
    if (peek() != ':') return complain(at_ == text_.size() ? "it ends too early" : "a colon is missing");
    ++at_;
    next_ = Next::kValue;
    return true;
  }

  bool value(char c) {
    if (c == '[' || c == '{') {
      open_ += c;
      ++at_;
      next_ = c == '[' ? Next::kValueOrEnd : Next::kNameOrEnd;
      return true;
    }
    after_value();
    if (c == '"') return string();
    if (c == '-' || is_digit(c)) return number();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return true;
    }
    return complain("a value is missing");
  }

  bool string() {
    const size_t begin = at_++;
    for (;; ++at_) {
      if (at_ >= text_.size()) return complain(begin, "a text is not closed");
      const char c = text_[at_];
      if (c == '"') break;
      if (static_cast<unsigned char>(c) < 0x20) return complain("a control character in a text");
      if (c == '\\' && !escape()) return false;
    }
    ++at_;
    if (!simdjson::validate_utf8(text_.substr(begin, at_ - begin)))
      return complain(begin, "a text that is not UTF-8");
    return true;
  }

  // From the backslash on; stops at the last character.
  bool escape() {
    const size_t begin = at_;
    const std::string_view rest = text_.substr(at_);
    if (rest.size() >= 2 && std::string_view("\"\\/bfnrt").find(rest[1]) != std::string_view::npos) {
      ++at_;
      return true;
    }
    const auto unit = unit_of(rest);
    if (!unit) return complain(begin, "an escape that is none");
    at_ += 5;
    if (*unit < 0xd800 || *unit > 0xdfff) return true;
    const auto second = unit_of(rest.substr(6));  // of a surrogate pair
    if (*unit > 0xdbff || !second || *second < 0xdc00 || *second > 0xdfff)
      return complain(begin, "half of a surrogate pair");
    at_ += 6;
    return true;
  }

  static std::optional<unsigned> unit_of(std::string_view text) {
    if (text.size() < 6 || text.substr(0, 2) != "\\u") return std::nullopt;
    unsigned unit = 0;
    const auto read = std::from_chars(text.data() + 2, text.data() + 6, unit, 16);
    if (read.ec != std::errc() || read.ptr != text.data() + 6) return std::nullopt;
    return unit;
  }

  void digits() {
    while (is_digit(peek())) ++at_;
  }

  bool number() {
    const size_t begin = at_;
    if (peek() == '-') ++at_;
    bool whole = true;
    if (!is_digit(peek())) return complain(begin, "a number that is none");
    if (peek() == '0') {
      ++at_;
    } else {
      digits();
    }
    if (peek() == '.') {
      ++at_;
      whole = false;
      if (!is_digit(peek())) return complain(begin, "a number that is none");
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      whole = false;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!is_digit(peek())) return complain(begin, "a number that is none");
      digits();
    }
    return fits(text_.substr(begin, at_ - begin), whole) || complain(begin, "a number of more than 64 bits");
  }

  static bool fits(std::string_view number, bool whole) {
    if (!whole) return std::isfinite(std::strtod(std::string(number).c_str(), nullptr));
    const char *begin = number.data(), *end = begin + number.size();
    int64_t least = 0;
    uint64_t most = 0;
    return (number[0] == '-' ? std::from_chars(begin, end, least) : std::from_chars(begin, end, most)).ec ==
           std::errc();
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string open_;  // [ and {
  Next next_ = Next::kValue;
  std::optional<JsonFault> fault_;
};

std::string place_of(std::string_view text, const JsonFault& fault) {
  const std::string_view before = text.substr(0, fault.at);
  const size_t line = static_cast<size_t>(std::count(before.begin(), before.end(), '\n')) + 1;
  const size_t column = fault.at - (line == 1 ? 0 : before.rfind('\n') + 1) + 1;
  return "not JSON at line " + std::to_string(line) + ", column " + std::to_string(column) + ": " +
         fault.what;
}

template <class T>
std::string shortest(T v) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, v).ptr;
  return std::string(text, end);
}

std::string prefix_of(const std::vector<std::string>& pointer, size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) {
    text += '/';
    for (const char c : pointer[i]) text += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  }
  return text.empty() ? "the document" : text;
}

// RFC 6901 section 4: digits without leading zeros. "-" is past the end, and so there is nothing.
std::optional<size_t> index_of(const std::string& token) {
  size_t index = 0;
  if (token.size() > 1 && token[0] == '0') return std::nullopt;
  const auto read = std::from_chars(token.data(), token.data() + token.size(), index);
  if (token.empty() || read.ec != std::errc() || read.ptr != token.data() + token.size()) return std::nullopt;
  return index;
}

JsonValue describe(element e) {
  switch (e.type()) {
    case element_type::NULL_VALUE: return {Kind::kNull, 0, "null"};
    case element_type::BOOL: return {Kind::kBoolean, 0, e.get_bool().value_unsafe() ? "true" : "false"};
    case element_type::STRING: return {Kind::kText, 0, std::string(e.get_string().value_unsafe())};
    case element_type::ARRAY:
      return {Kind::kArray, 0, "an array of " + std::to_string(e.get_array().value_unsafe().size())};
    case element_type::OBJECT:
      return {Kind::kObject, 0, "an object of " + std::to_string(e.get_object().value_unsafe().size())};
    case element_type::INT64: {
      const int64_t v = e.get_int64().value_unsafe();
      return {Kind::kNumber, static_cast<long double>(v), shortest(v)};
    }
    case element_type::UINT64: {
      const uint64_t v = e.get_uint64().value_unsafe();
      return {Kind::kNumber, static_cast<long double>(v), shortest(v)};
    }
    case element_type::DOUBLE: break;
  }
  const double v = e.get_double().value_unsafe();
  return {Kind::kNumber, static_cast<long double>(v), shortest(v)};
}

}  // namespace

std::optional<JsonFault> find_fault(std::string_view text) { return FaultFinder(text).find(); }

std::optional<std::vector<std::string>> parse_pointer(std::string_view text) {
  std::vector<std::string> tokens;
  if (!text.empty() && text[0] != '/') return std::nullopt;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '/') {
      tokens.emplace_back();
    } else if (text[i] != '~') {
      tokens.back() += text[i];
    } else {
      if (++i == text.size() || (text[i] != '0' && text[i] != '1')) return std::nullopt;
      tokens.back() += text[i] == '0' ? '~' : '/';
    }
  }
  return tokens;
}

struct JsonReader::Parts {
  simdjson::dom::parser parser;
  std::string text;  // with the padding that the parser wants
  element root;
};

JsonReader::JsonReader() : parts_(std::make_unique<Parts>()) {}
JsonReader::~JsonReader() = default;

std::optional<std::string> JsonReader::read(std::string_view text) {
  Parts& p = *parts_;
  p.text.assign(text).append(simdjson::SIMDJSON_PADDING, '\0');
  // The parser grows with the texts, and keeps its depth: of a scalar in the innermost array one more.
  if (p.parser.max_depth() != kMaxJsonDepth + 1) {
    if (const auto error = p.parser.allocate(text.size(), kMaxJsonDepth + 1))
      return std::string("cannot be read as JSON: ") + simdjson::error_message(error);
  }
  const auto error = p.parser.parse(p.text.data(), text.size(), false).get(p.root);
  if (!error) return std::nullopt;
  if (const auto fault = find_fault(text)) return place_of(text, *fault);
  return std::string("cannot be read as JSON: ") + simdjson::error_message(error);
}

JsonValue JsonReader::at(const std::vector<std::string>& pointer) const {
  element here = parts_->root;
  const auto missing = [](std::string what) { return JsonValue{Kind::kMissing, 0, std::move(what)}; };
  for (size_t i = 0; i < pointer.size(); ++i) {
    const std::string& token = pointer[i];
    if (here.is_object()) {
      if (here.get_object().value_unsafe().at_key(token).get(here))
        return missing("no member \"" + token + "\" in " + prefix_of(pointer, i));
    } else if (here.is_array()) {
      const auto array = here.get_array().value_unsafe();
      const auto index = index_of(token);
      if (!index || array.at(*index).get(here))
        return missing("no element " + token + " in " + prefix_of(pointer, i) + ", an array of " +
                       std::to_string(array.size()));
    } else {
      return missing("no \"" + token + "\" in " + prefix_of(pointer, i) + ", which is " +
                     describe(here).text);
    }
  }
  return describe(here);
}

}  // namespace todd::http
