#include "plugins/http/checks.h"

#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "plugins/http/json.h"
#include "todd/testlet.hpp"

namespace todd::http {
namespace {

using Kind = JsonValue::Kind;
using Failure = std::optional<std::string>;  // what there was instead

// A note has room for 160 characters, with the URL.
constexpr size_t kShownCheck = 40, kShownValue = 80;
constexpr size_t kMaxExpression = 1 << 20;  // bytes of memory

// Printable, and not too long.
std::string shown(std::string_view text, size_t limit) {
  std::string out;
  for (const char c : text) {
    if (out.size() >= limit) return out + "...";
    if (c >= 0x20 && c < 0x7f) {
      out += c;
    } else {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02X", static_cast<unsigned char>(c));
      out += hex;
    }
  }
  return out;
}

std::string quoted(std::string_view text) { return '"' + shown(text, kShownValue) + '"'; }

// ---- the words of a check

struct Refusal {
  std::string what;
};

std::string_view trimmed(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  return text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
}

// Takes the next word; the rest begins with the one after it.
std::string_view take_word(std::string_view& rest) {
  rest = trimmed(rest);
  const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
  rest = trimmed(rest.substr(word.size()));
  return word;
}

enum class Op { kEqual, kUnequal, kLess, kAtMost, kGreater, kAtLeast, kMatches, kMatchesNot };

constexpr std::pair<std::string_view, Op> kOps[] = {
    {"=", Op::kEqual},   {"!=", Op::kUnequal}, {"<", Op::kLess},    {"<=", Op::kAtMost},
    {">", Op::kGreater}, {">=", Op::kAtLeast}, {"~", Op::kMatches}, {"!~", Op::kMatchesNot}};

std::optional<Op> op_of(std::string_view word) {
  const auto found =
      std::find_if(std::begin(kOps), std::end(kOps), [&](auto& op) { return op.first == word; });
  return found == std::end(kOps) ? std::nullopt : std::optional<Op>(found->second);
}

Op take_op(std::string_view& rest, std::initializer_list<Op> allowed) {
  const std::string_view word = take_word(rest);
  const auto op = op_of(word);
  if (!op || std::find(allowed.begin(), allowed.end(), *op) == allowed.end())
    throw Refusal{word.empty() ? "it ends too early" : quoted(word) + " is no comparison here"};
  if (rest.empty()) throw Refusal{"nothing follows " + std::string(word)};
  return *op;
}

template <class T>
bool holds(Op op, const T& a, const T& b) {
  switch (op) {
    case Op::kEqual: return a == b;
    case Op::kUnequal: return a != b;
    case Op::kLess: return a < b;
    case Op::kAtMost: return a <= b;
    case Op::kGreater: return a > b;
    case Op::kAtLeast: return a >= b;
    case Op::kMatches:
    case Op::kMatchesNot: break;
  }
  return false;
}

std::unique_ptr<RE2> compiled(std::string_view text) {
  RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(kMaxExpression);
  auto expression = std::make_unique<RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (!expression->ok()) throw Refusal{quoted(text) + " is no regular expression: " + expression->error()};
  return expression;
}

bool matches(const RE2& expression, std::string_view text) {
  const re2::StringPiece all(text.data(), text.size());
  return expression.Match(all, 0, all.size(), RE2::UNANCHORED, nullptr, 0);
}

// What of a text that matches it does.
std::string_view matching(const RE2& expression, std::string_view text) {
  re2::StringPiece found;
  const re2::StringPiece all(text.data(), text.size());
  expression.Match(all, 0, all.size(), RE2::UNANCHORED, &found, 1);
  return {found.data(), found.size()};
}

// A decimal number with a unit, exactly, in units of factor 1.
struct Unit {
  std::string_view name;
  int64_t factor;
};
constexpr Unit kTimes[] = {{"ns", 1},
                           {"us", 1'000},
                           {"ms", 1'000'000},
                           {"s", 1'000'000'000},
                           {"m", 60'000'000'000},
                           {"h", 3'600'000'000'000}};
constexpr Unit kSizes[] = {{"", 1},          {"k", 1'000},         {"K", 1'000},
                           {"M", 1'000'000}, {"G", 1'000'000'000}, {"Ki", 1 << 10},
                           {"Mi", 1 << 20},  {"Gi", 1 << 30}};
constexpr Unit kDays[] = {{"", 86'400}};  // in seconds

bool all_digits(std::string_view text) {
  return text.find_first_not_of("0123456789") == std::string_view::npos;
}

template <size_t N>
int64_t amount_of(std::string_view text, const Unit (&units)[N]) {
  const std::string_view number = text.substr(0, text.find_first_not_of("0123456789."));
  const std::string_view name = text.substr(number.size());
  const auto unit = std::find_if(std::begin(units), std::end(units), [&](auto& u) { return u.name == name; });
  const size_t point = std::min(number.find('.'), number.size());
  const std::string_view whole = number.substr(0, point);
  const std::string_view fraction = number.substr(std::min(point + 1, number.size()));
  if (whole.empty() || !all_digits(fraction) || (point < number.size() && fraction.empty()) ||
      unit == std::end(units))
    throw Refusal{quoted(text) + " is no amount"};
  if (whole.size() + fraction.size() > 18) throw Refusal{quoted(text) + " has too many digits"};
  __int128 digits = 0, divisor = 1;  // 18 digits times an hour in ns: below 2^127
  for (const char c : std::string(whole) + std::string(fraction)) digits = digits * 10 + (c - '0');
  for (size_t i = 0; i < fraction.size(); ++i) divisor *= 10;
  digits *= unit->factor;
  if (digits % divisor != 0) throw Refusal{quoted(text) + " is too fine; round it"};
  digits /= divisor;
  if (digits > INT64_MAX) throw Refusal{quoted(text) + " is too large"};
  return static_cast<int64_t>(digits);
}

// ---- the checks

// The body as JSON, read once for all checks of an answer.
class Body {
 public:
  Body(const Facts& facts, JsonReader& reader) : facts_(facts), reader_(reader) {}

  // Why it cannot be looked at.
  Failure cut() const {
    if (facts_.body_whole) return std::nullopt;
    return "the body has " + std::to_string(facts_.size) + " bytes, of which only " +
           std::to_string(facts_.body.size()) + " are kept; raise checked_body";
  }
  std::string_view text() const { return facts_.body; }
  const JsonReader& json() const { return reader_; }
  Failure read() {
    if (!read_) failure_ = reader_.read(facts_.body);
    read_ = true;
    return failure_;
  }

 private:
  const Facts& facts_;
  JsonReader& reader_;
  bool read_ = false;
  Failure failure_;
};

class Check {
 public:
  virtual ~Check() = default;
  virtual Failure failed(const Facts& facts, Body& body) const = 0;

  std::string written;
  bool wants_headers = false, wants_body = false, wants_hash = false, wants_tls = false, is_status = false;
};

// Calls with each part of "a,b, c".
template <class F>
void for_each_part(std::string_view list, const F& f) {
  for (;;) {
    const size_t comma = std::min(list.find(','), list.size());
    f(trimmed(list.substr(0, comma)));
    if (comma == list.size()) return;
    list.remove_prefix(comma + 1);
  }
}

class StatusCheck : public Check {
 public:
  explicit StatusCheck(std::string_view rest) {
    is_status = true;
    for_each_part(rest, [this](std::string_view part) {
      const size_t dash = std::min(part.find('-'), part.size());
      const int least = code_of(part.substr(0, dash));
      const int most = dash == part.size() ? least : code_of(part.substr(dash + 1));
      if (least > most) throw Refusal{quoted(part) + " begins after its end"};
      ranges_.emplace_back(least, most);
    });
  }
  Failure failed(const Facts& facts, Body&) const override {
    for (const auto& [least, most] : ranges_) {
      if (facts.status >= least && facts.status <= most) return std::nullopt;
    }
    return "is " + std::to_string(facts.status);
  }

 private:
  static int code_of(std::string_view text) {
    text = trimmed(text);
    if (text.size() != 3 || !all_digits(text) || text[0] == '0')
      throw Refusal{quoted(text) + " is no status"};
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  }
  std::vector<std::pair<int, int>> ranges_;
};

class VersionCheck : public Check {
 public:
  explicit VersionCheck(std::string_view rest) {
    for_each_part(rest, [this](std::string_view part) {
      if (part != "1.0" && part != "1.1" && part != "2")
        throw Refusal{quoted(part) + " is no version; there are 1.0, 1.1 and 2"};
      allowed_.push_back(part == "1.0" ? 10 : part == "1.1" ? 11 : 20);
    });
  }
  Failure failed(const Facts& facts, Body&) const override {
    if (std::find(allowed_.begin(), allowed_.end(), facts.version) != allowed_.end()) return std::nullopt;
    return facts.version == 20 ? "is 2" : facts.version == 11 ? "is 1.1" : "is 1.0";
  }

 private:
  std::vector<int> allowed_;
};

class HeaderCheck : public Check {
 public:
  explicit HeaderCheck(std::string_view rest) {
    wants_headers = true;
    constexpr std::string_view kToken = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    for (const char c : take_word(rest)) name_ += lower(c);
    if (name_.empty() || name_.find_first_not_of(kToken) != std::string::npos)
      throw Refusal{quoted(name_) + " is no name of a header"};
    if (rest == "absent") return;
    op_ = take_op(rest, {Op::kMatches, Op::kMatchesNot, Op::kEqual});
    value_ = rest;
    if (op_ != Op::kEqual) expression_ = compiled(rest);
  }

  // Of several headers of the name one must be as asked for, and none as is forbidden.
  Failure failed(const Facts& facts, Body&) const override {
    std::string seen;
    bool found = false;
    for (size_t i = 0; i < facts.headers->size(); ++i) {
      const auto [name, value] = (*facts.headers)[i];
      if (name != name_) continue;
      if (!op_) return "is " + quoted(value);
      const bool fits = *op_ == Op::kEqual ? value == value_ : matches(*expression_, value);
      if (fits && *op_ == Op::kMatchesNot) return "is " + quoted(value);
      found |= fits;
      if (seen.size() < kShownValue) seen.append(seen.empty() ? "is " : ", ").append(quoted(value));
    }
    if (found || !op_ || *op_ == Op::kMatchesNot) return std::nullopt;
    return seen.empty() ? "there is no such header" : seen;
  }

 private:
  std::string name_, value_;
  std::optional<Op> op_;  // none: absent
  std::unique_ptr<RE2> expression_;
};

class BodyCheck : public Check {
 public:
  explicit BodyCheck(std::string_view rest) {
    wants_body = true;
    wanted_ = take_op(rest, {Op::kMatches, Op::kMatchesNot}) == Op::kMatches;
    expression_ = compiled(rest);
  }
  Failure failed(const Facts&, Body& body) const override {
    if (const auto cut = body.cut()) return cut;
    if (matches(*expression_, body.text()) == wanted_) return std::nullopt;
    return wanted_ ? "is " + quoted(body.text()) : "has " + quoted(matching(*expression_, body.text()));
  }

 private:
  bool wanted_ = true;
  std::unique_ptr<RE2> expression_;
};

class JsonCheck : public Check {
 public:
  // The pointer ends before the first word that is a comparison: names may have spaces.
  explicit JsonCheck(std::string_view rest) {
    wants_body = true;
    size_t end = 0;
    for (std::string_view ahead = rest; !op_of(take_word(ahead)); end = rest.size() - ahead.size()) {
      if (ahead.empty()) throw Refusal{"there is no comparison in it"};
    }
    const std::string_view pointer = trimmed(rest.substr(0, end));
    rest.remove_prefix(end);
    const auto parsed = parse_pointer(pointer);
    if (!parsed) throw Refusal{quoted(pointer) + " is no JSON pointer (/a/0/b; ~1 for /, ~0 for ~)"};
    pointer_ = *parsed;
    op_ = take_op(
        rest, {Op::kEqual, Op::kUnequal, Op::kLess, Op::kAtMost, Op::kGreater, Op::kAtLeast, Op::kMatches});
    if (op_ == Op::kMatches) {
      expression_ = compiled(rest);
    } else {
      read_wanted(rest);
    }
  }

  Failure failed(const Facts&, Body& body) const override {
    if (const auto cut = body.cut()) return cut;
    if (const auto broken = body.read()) return broken;
    const JsonValue there = body.json().at(pointer_);
    if (there.kind == Kind::kMissing) return shown(there.text, kShownValue);
    if (there.kind == Kind::kArray || there.kind == Kind::kObject) return "is " + there.text;
    return fits(there) ? std::nullopt
                       : Failure(there.kind == Kind::kText ? "is the text " + quoted(there.text)
                                                           : "is " + there.text);
  }

 private:
  void read_wanted(std::string_view text) {
    JsonReader reader;
    wanted_ = {Kind::kText, 0, std::string(text)};
    if (text[0] != '"' && text[0] != '-' && !all_digits(text.substr(0, 1))) return;
    const auto broken = reader.read(text);
    const JsonValue value = broken ? JsonValue() : reader.at({});
    if (text[0] == '"' && value.kind != Kind::kText) throw Refusal{"the text in quotes is no JSON text"};
    if (!broken) {
      wanted_ = value;
      return;
    }
    char* end = nullptr;
    const std::string number(text);
    if (std::abs(std::strtod(number.c_str(), &end)) > 1e18 && *end == '\0')
      throw Refusal{quoted(text) + " is a number of more than 64 bits; in quotes it is a text"};
  }

  bool fits(const JsonValue& there) const {
    if (op_ == Op::kMatches) return matches(*expression_, there.text);
    if (there.kind == Kind::kNumber && wanted_.kind == Kind::kNumber)
      return holds(op_, there.number, wanted_.number);
    // Otherwise "10" would be less than 9.
    const bool ordered = op_ != Op::kEqual && op_ != Op::kUnequal;
    if (ordered && there.kind != wanted_.kind) return false;
    return holds(op_, there.text, wanted_.text);
  }

  std::vector<std::string> pointer_;
  Op op_ = Op::kEqual;
  JsonValue wanted_;
  std::unique_ptr<RE2> expression_;
};

class HashCheck : public Check {
 public:
  explicit HashCheck(std::string_view rest) {
    wants_hash = true;
    const std::string_view kind = take_word(rest);
    if (kind != "sha256") throw Refusal{quoted(kind) + " is no hash we know"};
    take_op(rest, {Op::kEqual});
    for (const char c : rest) wanted_ += lower(c);
    if (wanted_.size() != 2 * TODD_DIGEST_BYTES ||
        wanted_.find_first_not_of("0123456789abcdef") != std::string::npos)
      throw Refusal{quoted(rest) + " is not 64 hexadecimal digits"};
  }
  Failure failed(const Facts& facts, Body&) const override {
    if (facts.sha256 == wanted_) return std::nullopt;
    return "is " + std::string(facts.sha256);
  }

 private:
  std::string wanted_;
};

std::string decimal(double v, int places) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", places, v);
  std::string out = text;
  if (out.find('.') == std::string::npos) return out;
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out;
}

std::string show_time(int64_t ns) { return "is " + decimal(static_cast<double>(ns) / 1e6, 6) + " ms"; }
std::string show_size(int64_t bytes) { return "is " + std::to_string(bytes) + " bytes"; }
// To the second where days alone would hide what was missing.
std::string show_days(int64_t seconds) {
  const double days = static_cast<double>(std::abs(seconds)) / 86'400;
  return seconds < 0 ? "it ended " + decimal(days, 5) + " days ago" : decimal(days, 5) + " days are left";
}
std::string show_version(int64_t version) {
  return version == 0x0303 ? "is 1.2" : version == 0x0304 ? "is 1.3" : "is " + std::to_string(version);
}

int64_t tls_version_of(std::string_view text) {
  if (text == "1.2") return 0x0303;
  if (text == "1.3") return 0x0304;
  throw Refusal{quoted(text) + " is no version of TLS that is spoken; there are 1.2 and 1.3"};
}

// A number of the answer against a limit.
class AmountCheck : public Check {
 public:
  struct Of {
    int64_t (*parse)(std::string_view text);
    int64_t (*value)(const Facts& facts);
    std::string (*show)(int64_t value);
    bool tls;
  };
  AmountCheck(const Of& of, std::string_view rest) : of_(of) {
    wants_tls = of.tls;
    op_ = take_op(rest, {Op::kLess, Op::kAtMost, Op::kGreater, Op::kAtLeast, Op::kEqual});
    limit_ = of_.parse(rest);
  }
  Failure failed(const Facts& facts, Body&) const override {
    if (of_.tls && !facts.tls) return "the connection has no TLS";
    const int64_t value = of_.value(facts);
    return holds(op_, value, limit_) ? std::nullopt : Failure(of_.show(value));
  }

 private:
  Of of_;
  Op op_ = Op::kEqual;
  int64_t limit_ = 0;
};

class TlsCheck : public Check {
 public:
  explicit TlsCheck(std::string_view rest) : wanted_(rest == "yes") {
    if (rest != "yes" && rest != "no") throw Refusal{quoted(rest) + " is neither yes nor no"};
  }
  Failure failed(const Facts& facts, Body&) const override {
    if (facts.tls == wanted_) return std::nullopt;
    return facts.tls ? "the connection has TLS" : "the connection has no TLS";
  }

 private:
  bool wanted_;
};

// ---- the forms

template <class T>
std::unique_ptr<Check> make(std::string_view rest) {
  return std::make_unique<T>(rest);
}

int64_t parse_time(std::string_view text) { return amount_of(text, kTimes); }
int64_t parse_size(std::string_view text) { return amount_of(text, kSizes); }
int64_t parse_days(std::string_view text) { return amount_of(text, kDays); }

constexpr AmountCheck::Of kSize = {
    parse_size, [](const Facts& f) { return static_cast<int64_t>(std::min<uint64_t>(f.size, INT64_MAX)); },
    show_size, false};
constexpr AmountCheck::Of kTlsVersion = {
    tls_version_of, [](const Facts& f) { return int64_t{f.tls_version}; }, show_version, true};
constexpr AmountCheck::Of kCertificate = {parse_days, [](const Facts& f) { return f.certificate_seconds; },
                                          show_days, true};
constexpr AmountCheck::Of kResponseTime = {parse_time, [](const Facts& f) { return f.response_time_ns; },
                                           show_time, false};
constexpr AmountCheck::Of kFirstByte = {parse_time, [](const Facts& f) { return f.first_byte_ns; }, show_time,
                                        false};

template <const AmountCheck::Of& of>
std::unique_ptr<Check> make_amount(std::string_view rest) {
  return std::make_unique<AmountCheck>(of, rest);
}

struct Form {
  std::string_view word;
  const char* allowed;
  std::unique_ptr<Check> (*make)(std::string_view rest);
};

constexpr Form kForms[] = {
    {"status", "status 200-299,304", make<StatusCheck>},
    {"version", "version 1.1,2", make<VersionCheck>},
    {"header", "header NAME ~ REGEX, header NAME !~ REGEX, header NAME = TEXT or header NAME absent",
     make<HeaderCheck>},
    {"body", "body ~ REGEX or body !~ REGEX", make<BodyCheck>},
    {"json", "json /POINTER OP VALUE with OP one of = != < <= > >= ~", make<JsonCheck>},
    {"size", "size OP 10k with OP one of < <= > >= = and no unit, k, M, G, Ki, Mi or Gi", make_amount<kSize>},
    {"hash", "hash sha256 = HEX, 64 digits", make<HashCheck>},
    {"tls", "tls yes or tls no", make<TlsCheck>},
    {"tls_version", "tls_version OP 1.3 with OP one of < <= > >= =", make_amount<kTlsVersion>},
    {"certificate_days", "certificate_days OP 14 with OP one of < <= > >= =", make_amount<kCertificate>},
    {"response_time", "response_time OP 200ms with OP one of < <= > >= = and ns, us, ms, s, m or h",
     make_amount<kResponseTime>},
    {"first_byte", "first_byte OP 100ms with OP one of < <= > >= = and ns, us, ms, s, m or h",
     make_amount<kFirstByte>},
};

std::unique_ptr<Check> parse(std::string_view text) {
  std::string_view rest = text;
  const std::string_view word = take_word(rest);
  for (const Form& form : kForms) {
    if (form.word != word) continue;
    try {
      if (rest.empty()) throw Refusal{"it ends too early"};
      auto check = form.make(rest);
      check->written = trimmed(text);
      return check;
    } catch (const Refusal& refusal) {
      throw error(TODD_E_PARAM, "check: " + quoted(text) + ": " + refusal.what + "; write " + form.allowed);
    }
  }
  std::string known;
  for (const Form& form : kForms) known.append(known.empty() ? "" : ", ").append(form.word);
  throw error(TODD_E_PARAM,
              "check: " + quoted(text) + ": there is no " + quoted(word) + "; there are " + known);
}

}  // namespace

struct Checks::Parts {
  std::vector<std::unique_ptr<Check>> checks;
  JsonReader reader;

  template <class P>
  bool any(P predicate) const {
    return std::any_of(checks.begin(), checks.end(), [&](auto& check) { return predicate(*check); });
  }
};

Checks::Checks(const std::vector<std::string>& texts) : parts_(std::make_unique<Parts>()) {
  if (texts.size() > kMaxChecks)
    throw error(TODD_E_PARAM, "check: at most " + std::to_string(kMaxChecks) + " are allowed; there are " +
                                  std::to_string(texts.size()));
  for (const std::string& text : texts) parts_->checks.push_back(parse(text));
}
Checks::~Checks() = default;
Checks::Checks(Checks&&) noexcept = default;
Checks& Checks::operator=(Checks&&) noexcept = default;

bool Checks::wants_headers() const {
  return parts_->any([](const Check& c) { return c.wants_headers; });
}
bool Checks::wants_body() const {
  return parts_->any([](const Check& c) { return c.wants_body; });
}
bool Checks::wants_hash() const {
  return parts_->any([](const Check& c) { return c.wants_hash; });
}
bool Checks::wants_tls() const {
  return parts_->any([](const Check& c) { return c.wants_tls; });
}
bool Checks::has_status() const {
  return parts_->any([](const Check& c) { return c.is_status; });
}

std::optional<std::string> Checks::failed(const Facts& facts) const {
  Body body(facts, parts_->reader);
  for (const auto& check : parts_->checks) {
    if (const auto failure = check->failed(facts, body))
      return shown(check->written, kShownCheck) + ": " + *failure;
  }
  return std::nullopt;
}

}  // namespace todd::http
