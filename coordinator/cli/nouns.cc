#include "coordinator/cli/nouns.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "coordinator/cli/exit_code.h"

namespace todd::cli {

Status confirm_delete(const std::string& what, bool yes) {
  if (yes) return {};
  if (::isatty(STDIN_FILENO) == 0) {
    return fail(Errc::invalid, fmt::format("delete {}: give --yes to do so unasked", what));
  }
  std::fprintf(stderr, "Delete %s? [y/N] ", what.c_str());
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "y" || answer == "Y" || answer == "yes") return {};
  return fail(Errc::cancelled, "nothing was deleted");
}

namespace {

Result<int> print_list(Client& client, const NounTraits& traits, const std::string& output) {
  const auto answer = client.get(traits.name);
  if (!answer) return tl::unexpected(answer.error());
  JsonText json;
  if (output == "table" && json.parse(*answer) && list_at(json.root(), traits.name.c_str()).empty()) {
    std::fprintf(stderr, "%s\n", traits.if_empty.c_str());
    return kOk;
  }
  return print_answer(*answer, output, traits.list);
}

}  // namespace

void add_list_output(CLI::App& app, std::string& output) {
  app.add_option("-o,--output", output, "table or json")->check(CLI::IsMember({"table", "json"}));
}

Noun add_noun(CLI::App& app, const Globals& globals, Chosen& chosen, const NounTraits& traits) {
  const auto words = std::make_shared<NounWords>();
  CLI::App* const noun = app.add_subcommand(traits.name, traits.about);
  add_list_output(*noun, words->output);
  const auto list = [&globals, &chosen, words, traits] {
    chosen.action = [&globals, words, traits] {
      return with_client(globals, [&](Client& client) { return print_list(client, traits, words->output); });
    };
  };
  noun->final_callback([noun, list] {
    if (noun->get_subcommands().empty()) list();
  });
  CLI::App* const list_verb = noun->add_subcommand("list", "List all " + traits.name + " (the default)");
  add_list_output(*list_verb, words->output);
  list_verb->callback(list);

  CLI::App* const show = noun->add_subcommand("show", "Show one " + traits.one);
  show->add_option("name", words->name, "Which " + traits.one)->required();
  add_list_output(*show, words->output);
  show->callback([&globals, &chosen, words, traits] {
    chosen.action = [&globals, words, traits] {
      return with_client(globals, [&](Client& client) -> Result<int> {
        const auto answer = client.get(traits.name + "/" + path_part(words->name));
        if (!answer) return tl::unexpected(answer.error());
        return print_answer(*answer, words->output, traits.show);
      });
    };
  });
  return {noun, words};
}

void add_delete(const Noun& noun, const Globals& globals, Chosen& chosen, const NounTraits& traits) {
  const auto words = noun.words;
  CLI::App* const verb = noun.app->add_subcommand("delete", "Delete one " + traits.one);
  verb->add_option("name", words->name, "Which " + traits.one)->required();
  verb->add_flag("-y,--yes", words->yes, "Do not ask");
  verb->callback([&globals, &chosen, words, traits] {
    chosen.action = [&globals, words, traits] {
      return with_client(globals, [&](Client& client) -> Result<int> {
        if (auto sure = confirm_delete(traits.one + " " + words->name, words->yes); !sure)
          return tl::unexpected(sure.error());
        const auto answer = client.remove(traits.name + "/" + path_part(words->name));
        if (!answer) return tl::unexpected(answer.error());
        std::fprintf(stderr, "%s %s deleted\n", traits.one.c_str(), words->name.c_str());
        return kOk;
      });
    };
  });
}

int with_client(const Globals& globals, const std::function<Result<int>(Client&)>& run) {
  auto client = Client::make(globals.coordinator);
  if (!client) return complain(client.error());
  const auto code = run(*client);
  return code ? *code : complain(code.error());
}

Result<int> print_answer(const std::string& answer, const std::string& output, const Render& render) {
  if (output == "json") {
    print_text(answer.substr(0, answer.find_last_not_of('\n') + 1) + "\n");
    return kOk;
  }
  JsonText json;
  if (auto status = json.parse(answer); !status) return tl::unexpected(status.error());
  print_text(render(json.root()));
  return kOk;
}

void print_text(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

}  // namespace todd::cli
