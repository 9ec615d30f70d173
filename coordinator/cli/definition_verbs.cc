// `todd groups`, `todd suites` and `todd apply`
#include <cctype>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "coordinator/cli/columns.h"
#include "coordinator/cli/document.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/nouns.h"

namespace todd::cli {
namespace {

std::string list_groups(JsonValue answer) {
  std::vector<Row> rows;
  for (const auto group : list_at(answer, "groups")) {
    const std::string error = text_at(group, "error");
    rows.push_back({text_at(group, "name"), text_at(group, "kind"),
                    error.empty() ? std::to_string(count_at(group, "member_count")) : "error: " + error});
  }
  return columns({"NAME", "OF", "MEMBERS"}, rows);
}

std::string show_group(JsonValue group) {
  std::string out = fmt::format("{} (of {}): {} members\n", text_at(group, "name"), text_at(group, "kind"),
                                count_at(group, "member_count"));
  if (const auto error = text_at(group, "error"); !error.empty()) out += "error: " + error + "\n";
  for (const auto member : list_at(group, "members")) {
    const std::string address = text_at(member, "address");
    out += "  " + text_at(member, "name") + (address.empty() ? "" : "  " + address) + "\n";
  }
  return out + "\n" + printable_lines(raw_text_at(group, "definition"));
}

std::string list_suites(JsonValue answer) {
  std::vector<Row> rows;
  for (const auto suite : list_at(answer, "suites")) {
    std::vector<std::string> tests;
    for (const auto test : list_at(suite, "tests")) {
      tests.push_back(fmt::format("{} ({})", text_at(test, "name"), text_at(test, "testlet")));
    }
    rows.push_back({text_at(suite, "name"), joined(tests)});
  }
  return columns({"NAME", "TESTS"}, rows);
}

std::string show_suite(JsonValue suite) { return printable_lines(raw_text_at(suite, "definition")); }

void add_explain(const Noun& noun, const Globals& globals, Chosen& chosen) {
  CLI::App* const verb = noun.app->add_subcommand("explain", "Why an agent is in a group, or is not");
  const auto agent = std::make_shared<std::string>();
  const auto words = noun.words;
  verb->add_option("group", words->name, "Which group")->required();
  verb->add_option("agent", *agent, "Which agent")->required();
  add_list_output(*verb, words->output);
  verb->callback([&globals, &chosen, words, agent] {
    chosen.action = [&globals, words, agent] {
      return with_client(globals, [&](Client& client) -> Result<int> {
        const auto answer = client.get("groups/" + path_part(words->name) + "/explain/" + path_part(*agent));
        if (!answer) return tl::unexpected(answer.error());
        return print_answer(*answer, words->output,
                            [](JsonValue json) { return printable_lines(raw_text_at(json, "explanation")); });
      });
    };
  });
}

std::string show_applied(JsonValue answer) {
  std::string out;
  for (const auto item : list_at(answer, "applied")) {
    std::string kind = text_at(item, "kind");
    for (char& c : kind) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    out += fmt::format("{} {} {}\n", kind, text_at(item, "name"), text_at(item, "change"));
  }
  return out;
}

}  // namespace

void add_groups(CLI::App& app, const Globals& globals, Chosen& chosen) {
  const NounTraits traits{"groups",
                          "group",
                          "Stored groups and who is in them",
                          "no groups yet; `todd apply -f FILE` stores some",
                          list_groups,
                          show_group};
  const Noun noun = add_noun(app, globals, chosen, traits);
  add_delete(noun, globals, chosen, traits);
  add_explain(noun, globals, chosen);
}

void add_suites(CLI::App& app, const Globals& globals, Chosen& chosen) {
  const NounTraits traits{"suites",        "suite",
                          "Stored suites", "no suites yet; `todd apply -f FILE` stores some",
                          list_suites,     show_suite};
  const Noun noun = add_noun(app, globals, chosen, traits);
  add_delete(noun, globals, chosen, traits);
}

void add_apply(CLI::App& app, const Globals& globals, Chosen& chosen) {
  CLI::App* const verb = app.add_subcommand("apply", "Store the groups and suites of a file");
  const auto words = std::make_shared<NounWords>();
  verb->add_option("-f,--file", words->name, "The file, - for standard input")->required();
  add_list_output(*verb, words->output);
  verb->callback([&globals, &chosen, words] {
    chosen.action = [&globals, words] {
      return with_client(globals, [&](Client& client) -> Result<int> {
        const auto document = read_document(words->name);
        if (!document) return tl::unexpected(document.error());
        const std::string path = "apply?origin=" + path_part(document->origin);
        const auto answer = client.post(path, document->text, "application/yaml");
        if (!answer) return tl::unexpected(answer.error());
        return print_answer(*answer, words->output, show_applied);
      });
    };
  });
}

}  // namespace todd::cli
