#include "coordinator/model/suite_reader.h"

#include <set>

#include <fmt/format.h>

#include "coordinator/model/expand.h"
#include "engine/manifest/nearest.h"
#include "engine/manifest/params.h"
#include "engine/manifest/units.h"

namespace todd::model {

namespace {

// The only key of a map such as {hosts: [...]}.
struct Choice {
  std::string key;
  std::vector<std::string> values;
};

Choice read_choice(const Node& node, const std::string& what, const std::vector<std::string>& keys,
                   Problems& problems) {
  Choice choice;
  Fields fields(node, what, problems);
  for (const std::string& key : keys) {
    fields.take(key);
    if (!fields.has(key)) continue;
    if (!choice.key.empty()) {
      problems.add(fields.position_of(key),
                   fmt::format("{} takes one of {}, not two", what, fmt::join(keys, ", ")));
    }
    choice.key = key;
    choice.values = fields.texts(key);
  }
  fields.finish();
  if (choice.key.empty())
    problems.add(node.position, fmt::format("{} needs one of {}", what, fmt::join(keys, ", ")));
  return choice;
}

TestFrom read_from(Fields& fields, Problems& problems) {
  TestFrom from;
  const Node* node = fields.need("from");
  if (!node) return from;
  from.position = node->position;
  if (!node->is_map()) {
    from.values = fields.texts("from");
    return from;
  }
  Choice choice = read_choice(*node, "\"from\"", {"agent", "group"}, problems);
  if (choice.key == "agent") from.kind = TestFrom::Kind::agent;
  from.values = std::move(choice.values);
  return from;
}

TestTo read_to(Fields& fields, Problems& problems) {
  TestTo to;
  const Node* node = fields.need("to");
  if (!node) return to;
  to.position = node->position;
  if (!node->is_map()) {
    to.values = fields.texts("to");
    return to;
  }
  Choice choice = read_choice(*node, "\"to\"", {"agent", "group", "hosts", "urls"}, problems);
  if (choice.key == "agent") to.kind = TestTo::Kind::agent;
  if (choice.key == "hosts") to.kind = TestTo::Kind::hosts;
  if (choice.key == "urls") to.kind = TestTo::Kind::urls;
  to.values = std::move(choice.values);
  return to;
}

// One of a closed set of words, or the first of them.
template <class Enum>
Enum read_word(Fields& fields, const char* key, const std::vector<std::pair<std::string, Enum>>& words,
               Problems& problems) {
  auto text = fields.optional_text(key);
  if (!text) return words.front().second;
  std::vector<std::string> names;
  for (const auto& [name, value] : words) {
    if (name == *text) return value;
    names.push_back(name);
  }
  std::string hint = manifest::did_you_mean(*text, names);
  if (hint.empty()) hint = fmt::format(": it is one of {}", fmt::join(names, ", "));
  problems.add(fields.position_of(key), fmt::format("\"{}\" cannot be \"{}\"{}", key, *text, hint));
  return words.front().second;
}

void read_pairing(Fields& fields, Test& test, Problems& problems) {
  const Node* node = fields.take("pairing");
  if (node && node->is_map()) {
    Fields pick(*node, "\"pairing\"", problems);
    pick.need("pick");
    test.pairing = Pairing::pick;
    test.pick = static_cast<uint32_t>(pick.integer("pick", 1, 1, 1'000'000));
    pick.finish();
    return;
  }
  if (node && node->is_scalar() && node->text == "pick") {
    problems.add(node->position, "pairing pick needs a number of targets per source: {pick: 3}");
    return;
  }
  test.pairing = read_word<Pairing>(
      fields, "pairing", {{"all", Pairing::all}, {"zip", Pairing::zip}, {"ring", Pairing::ring}}, problems);
}

std::string one_text(const Node& node, const std::string& what, Problems& problems) {
  if (node.is_scalar()) {
    // An empty text in quotes is a value; nothing at all is a mistake.
    if (node.is_null()) problems.add(node.position, what + " has no value");
    return node.text;
  }
  problems.add(node.position,
               fmt::format("{} holds a {} where only text can stand", what, kind_name(node.kind)));
  return "";
}

// A list is one text inside. Whether the param takes several is known with its testlet.
std::string joined_texts(const Node& list, const std::string& what, Problems& problems) {
  std::vector<std::string> texts;
  for (const Node& item : list.items) {
    texts.push_back(one_text(item, what, problems));
    if (const auto good = manifest::join_texts({texts.back()}); !good)
      problems.add(item.position, fmt::format("{}: {}", what, good.error().detail));
  }
  return manifest::join_texts(texts).value_or("");
}

void read_param(const std::string& name, const Node& value, Test& test, Problems& problems) {
  const std::string what = fmt::format("param \"{}\"", name);
  if (value.is_map() && value.keys.size() == 1 && value.keys[0].text == "secret") {
    test.params[name] = std::string(manifest::kSecretPrefix) + one_text(value.items[0], what, problems);
    test.param_forms[name] = ParamForm::secret;
  } else if (value.is_list()) {
    test.params[name] = joined_texts(value, what, problems);
    test.param_forms[name] = ParamForm::list;
  } else {
    test.params[name] = one_text(value, what, problems);
  }
}

void read_params(Fields& fields, Test& test, Problems& problems) {
  const Node* params = fields.map("params");
  if (!params) return;
  for (size_t i = 0; i < params->keys.size(); ++i) {
    const std::string& name = params->keys[i].text;
    read_param(name, params->items[i], test, problems);
    test.param_positions[name] = params->keys[i].position;
  }
}

void read_expect(Fields& fields, Test& test, Problems& problems) {
  const Node* list = fields.list("expect");
  if (!list) return;
  test.expect.emplace();
  for (const Node& item : list->items) {
    ExpectationText expectation;
    expectation.position = item.position;
    if (item.is_map() && item.keys.size() == 1 &&
        (item.keys[0].text == "total" || item.keys[0].text.ends_with("edges"))) {
      // YAML takes the colon for a map's.
      problems.add(item.position,
                   fmt::format("put quotes around it: \"{}: {}\"", item.keys[0].text, item.items[0].text));
    } else if (item.is_map()) {
      Fields long_form(item, "an expectation", problems);
      expectation.text = long_form.required_text("that");
      expectation.warn_only =
          read_word<bool>(long_form, "severity", {{"fail", false}, {"warn", true}}, problems);
      long_form.finish();
    } else {
      expectation.text = scalar_text(item, "an expectation", problems);
    }
    test.expect->push_back(std::move(expectation));
  }
}

void check_name(const std::string& name, const Fields& fields, Problems& problems) {
  if (name.empty() || is_valid_name(name)) return;
  problems.add(fields.position_of("name"),
               fmt::format("\"{}\" is no name: use a-z, 0-9, '.', '_' and '-', at most 63, "
                           "beginning with a letter or digit",
                           name));
}

int64_t read_time(Fields& fields, const char* key, int64_t fallback, Problems& problems) {
  const auto text = fields.optional_text(key);
  if (!text) return fallback;
  const auto time = manifest::parse_duration(*text);
  if (time && *time >= 0 && *time <= kMostAround) return *time;
  problems.add(
      fields.position_of(key),
      fmt::format("\"{}\" of a test alongside: {}", key,
                  time ? fmt::format("{} is out of range, allowed 0 to 1h", *text) : time.error().detail));
  return fallback;
}

// What a test alongside another cannot say, and why.
void refuse_keys(const Fields& fields, Problems& problems) {
  for (const char* key : {"from", "to", "pairing", "both_ways", "family", "address", "at_once", "parallel"}) {
    if (fields.has(key))
      problems.add(fields.position_of(key),
                   fmt::format("a test alongside another has the edges of that one: leave \"{}\" out", key));
  }
  if (fields.has("alongside"))
    problems.add(fields.position_of("alongside"),
                 "a test alongside another has none alongside itself: list them all with the first");
}

Test read_one_alongside(const Node& node, const Test& with, Problems& problems) {
  Fields fields(node, "a test alongside", problems);
  if (node.is_map()) refuse_keys(fields, problems);
  Test test;
  test.position = node.position;
  test.testlet = fields.required_text("testlet");
  test.name = fields.text("name", test.testlet);
  check_name(test.name, fields, problems);
  test.before_ns = read_time(fields, "before", test.before_ns, problems);
  test.after_ns = read_time(fields, "after", test.after_ns, problems);
  read_params(fields, test, problems);
  read_expect(fields, test, problems);
  fields.finish();
  test.from = with.from;
  test.to = with.to;
  return test;
}

// One, or a list of them.
void read_alongside(Fields& fields, Test& test, Problems& problems) {
  const Node* node = fields.take("alongside");
  if (!node) return;
  if (node->is_map()) {
    test.alongside.push_back(read_one_alongside(*node, test, problems));
  } else if (node->is_list()) {
    for (const Node& item : node->items) test.alongside.push_back(read_one_alongside(item, test, problems));
  } else {
    problems.add(node->position, "\"alongside\" is a test, {testlet: ping}, or a list of them");
  }
}

Test read_test(const Node& node, Problems& problems) {
  Test test;
  test.position = node.position;
  Fields fields(node, "a test", problems);
  test.testlet = fields.required_text("testlet");
  test.name = fields.text("name", test.testlet);
  read_pairing(fields, test, problems);
  test.from = read_from(fields, problems);
  // A ring is within one group, which need not be said twice.
  if (test.pairing == Pairing::ring && !fields.has("to")) {
    fields.take("to");
    test.to.kind = test.from.kind == TestFrom::Kind::agent ? TestTo::Kind::agent : TestTo::Kind::group;
    test.to.values = test.from.values;
    test.to.position = test.from.position;
  } else {
    test.to = read_to(fields, problems);
  }
  test.both_ways = fields.boolean("both_ways", false);
  test.family = read_word<Family>(
      fields, "family",
      {{"any", Family::any}, {"v4", Family::v4}, {"v6", Family::v6}, {"both", Family::both}}, problems);
  test.address = fields.text("address");
  if (!test.address.empty() && !in_network(test.address.substr(0, test.address.find('/')), test.address)) {
    problems.add(fields.position_of("address"),
                 fmt::format("\"address\" must be a network such as 192.0.2.0/24, not \"{}\"", test.address));
  }
  read_params(fields, test, problems);
  test.at_once = static_cast<uint32_t>(fields.integer("at_once", 0, 1, 1'000'000));
  test.parallel = fields.boolean("parallel", false);
  read_expect(fields, test, problems);
  read_alongside(fields, test, problems);
  fields.finish();
  check_name(test.name, fields, problems);
  return test;
}

}  // namespace

void read_tests(const Node& tests, Suite& suite, Problems& problems) {
  if (!tests.is_list()) {
    problems.add(tests.position, "\"tests\" must be a list");
    return;
  }
  if (tests.items.empty()) problems.add(tests.position, "\"tests\" is an empty list");
  std::set<std::string> names;
  for (const Node& node : tests.items) {
    Test test = read_test(node, problems);
    if (!names.insert(test.name).second) {
      problems.add(test.position,
                   fmt::format("two tests are named \"{}\": give each a name of its own", test.name));
    }
    suite.tests.push_back(std::move(test));
  }
}

}  // namespace todd::model
