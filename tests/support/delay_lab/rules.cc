#include "tests/support/delay_lab/rules.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "engine/manifest/units.h"

namespace todd::delay_lab {

namespace {

// The words of one line, taken from the left. The first error stays, and later takes give nothing of meaning.
class Words {
 public:
  explicit Words(const std::string& line) : in_(line) { advance(); }

  bool done() const { return word_.empty() || error_; }
  const std::string& peek() const { return word_; }
  std::string take() {
    std::string word = word_;
    if (word.empty()) refuse("more is expected at the end");
    advance();
    return word;
  }
  // Takes the word if it is this one.
  bool skip(std::string_view word) {
    if (done() || word_ != word) return false;
    advance();
    return true;
  }
  // The value of a parse, or {} and the error kept.
  template <class T>
  T need(Result<T> parsed) {
    if (parsed) return *parsed;
    refuse(parsed.error().detail);
    return {};
  }
  void refuse(std::string why) {
    if (!error_) error_ = std::move(why);
  }
  const std::optional<std::string>& error() const { return error_; }

  int64_t duration() {
    const auto ns = need(manifest::parse_duration(take()));
    if (ns < 0) refuse("a duration may not be negative");
    return ns;
  }
  int64_t integer(int64_t least, int64_t most) {
    const auto text = take();
    const auto value = need(manifest::parse_integer(text));
    if (value < least || value > most)
      refuse("'" + text + "' is not within " + std::to_string(least) + ".." + std::to_string(most));
    return value;
  }
  Address address() { return need(parse_address(take())); }

 private:
  void advance() {
    word_.clear();
    in_ >> word_;
    if (word_.rfind('#', 0) == 0) word_.clear();
  }

  std::istringstream in_;
  std::string word_;
  std::optional<std::string> error_;
};

void parse_delay(Words& words, Rule& rule) {
  const auto text = words.take();
  const auto dots = text.find("..");
  rule.delay_min_ns = words.need(manifest::parse_duration(text.substr(0, dots)));
  rule.delay_max_ns = dots == std::string::npos ? rule.delay_min_ns
                                                : words.need(manifest::parse_duration(text.substr(dots + 2)));
  if (rule.delay_min_ns < 0 || rule.delay_max_ns < rule.delay_min_ns)
    words.refuse("'" + text + "' is no delay; 1ms or 1ms..5ms would be");
}

void parse_freeze(Words& words, Rule& rule) {
  Freeze freeze;
  freeze.length_ns = words.duration();
  if (!words.skip("every")) words.refuse("after 'freeze DURATION' comes 'every DURATION'");
  freeze.period_ns = words.duration();
  freeze.drops = words.skip("dropping");
  if (freeze.length_ns <= 0 || freeze.length_ns >= freeze.period_ns)
    words.refuse("a freeze is longer than 0 and shorter than its period");
  if (rule.freeze) words.refuse("a rule has one freeze");
  rule.freeze = freeze;
}

void parse_icmp_type(Words& words, Effect& effect) {
  const auto text = words.take();
  const auto slash = text.find('/');
  if (slash == std::string::npos) return words.refuse("'" + text + "' is no TYPE/CODE; 3/1 would be");
  const auto type = words.need(manifest::parse_integer(text.substr(0, slash)));
  const auto code = words.need(manifest::parse_integer(text.substr(slash + 1)));
  if (type < 0 || type > 255 || code < 0 || code > 255)
    words.refuse("'" + text + "' is not within 0/0..255/255");
  effect.type = static_cast<uint8_t>(type);
  effect.code = static_cast<uint8_t>(code);
}

// What stands after the effect's name and before its options.
void parse_operands(Words& words, Effect& effect) {
  if (effect.kind == Kind::from) effect.address = words.address();
  if (effect.kind == Kind::icmp) parse_icmp_type(words, effect);
  if (effect.kind == Kind::truncate) effect.position = words.integer(0, 65535);
}

// One of `every N`, `first N`, `P%`, `back` and what belongs to this kind alone; false if the next word is
// none of them.
bool parse_option(Words& words, Effect& effect) {
  if (words.skip("every"))
    effect.which.every = static_cast<uint64_t>(words.integer(1, 1'000'000'000));
  else if (words.skip("first"))
    effect.which.first = static_cast<uint64_t>(words.integer(1, 1'000'000'000));
  else if (words.skip("back"))
    effect.which.back = true;
  else if (!words.done() && words.peek().back() == '%')
    effect.which.ratio = words.need(manifest::parse_ratio(words.take()));
  else if (effect.kind == Kind::duplicate && words.skip("after"))
    effect.ns = words.duration();
  else if (effect.kind == Kind::hold && words.skip("for"))
    effect.ns = words.duration();
  else if (effect.kind == Kind::corrupt && words.skip("at"))
    effect.position = words.integer(0, 65535);
  else if (effect.kind == Kind::icmp && words.skip("by"))
    effect.address = words.address();
  else if (effect.kind == Kind::icmp && words.skip("mtu"))
    effect.mtu = static_cast<uint32_t>(words.integer(0, 65535));
  else
    return false;
  return true;
}

const std::pair<const char*, Kind> kEffects[] = {
    {"drop", Kind::drop},       {"duplicate", Kind::duplicate}, {"hold", Kind::hold},
    {"corrupt", Kind::corrupt}, {"truncate", Kind::truncate},   {"from", Kind::from},
    {"icmp", Kind::icmp},
};

void parse_clause(Words& words, Rule& rule) {
  const auto word = words.take();
  if (word == "delay") return parse_delay(words, rule);
  if (word == "freeze") return parse_freeze(words, rule);
  if (word == "seed") {
    rule.seed = static_cast<uint64_t>(words.integer(0, INT64_MAX));
    return;
  }
  for (const auto& [name, kind] : kEffects) {
    if (word != name) continue;
    Effect effect;
    effect.kind = kind;
    parse_operands(words, effect);
    while (parse_option(words, effect)) {
    }
    if (kind == Kind::hold && effect.ns == 0) words.refuse("hold needs 'for DURATION'");
    if (effect.address && effect.address->is_v4() != rule.prefix.address.is_v4())
      words.refuse(effect.address->text() + " is of the other family");
    rule.effects.push_back(effect);
    return;
  }
  words.refuse("'" + word +
               "' is none of delay, freeze, seed, drop, duplicate, hold, corrupt, truncate, from, icmp");
}

}  // namespace

Result<std::vector<Rule>> parse_rules(std::string_view text) {
  std::vector<Rule> rules;
  std::istringstream in{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    Words words(line);
    if (words.done()) continue;
    Rule rule;
    rule.prefix = words.need(parse_prefix(words.take()));
    while (!words.done()) parse_clause(words, rule);
    for (const auto& other : rules)
      if (other.prefix.bits == rule.prefix.bits && other.prefix.address == rule.prefix.address)
        words.refuse("this prefix has a rule already");
    if (words.error()) return fail(Errc::invalid, "rule " + std::to_string(number) + ": " + *words.error());
    rules.push_back(std::move(rule));
  }
  if (rules.empty()) return fail(Errc::invalid, "no rule; '10.64.0.0/16 delay 1ms' would be one");
  std::stable_sort(rules.begin(), rules.end(),
                   [](const Rule& a, const Rule& b) { return a.prefix.bits > b.prefix.bits; });
  return rules;
}

Status check_rules(const std::vector<Rule>& rules, bool relays) {
  for (const auto& rule : rules) {
    for (const auto& effect : rule.effects) {
      const bool kept =
          effect.kind == Kind::drop || effect.kind == Kind::duplicate || effect.kind == Kind::hold;
      const std::string at = "rule of " + rule.prefix.address.text() + ": ";
      if (relays && !kept)
        return fail(Errc::invalid, at + "a relay can drop, duplicate and hold, nothing else");
      if (!relays && effect.which.back) return fail(Errc::invalid, at + "'back' is for a relay (--relay)");
    }
  }
  return {};
}

}  // namespace todd::delay_lab
