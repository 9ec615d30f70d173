#pragma once
// What the nouns (agents, groups, ...) share.

#include <functional>
#include <memory>
#include <string>

#include "coordinator/cli/client.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/json_values.h"

namespace todd::cli {

// One noun's words on the command line; lives in the actions.
struct NounWords {
  std::string output = "table";
  std::string name;  // of the one to show or delete
  bool yes = false;
};
using NounWordsPtr = std::shared_ptr<NounWords>;

// How one answer of the API looks as a table.
using Render = std::function<std::string(JsonValue answer)>;

// A noun: its app, `list` (the default) and `show NAME`, each a GET whose JSON is rendered or passed through.
struct Noun {
  CLI::App* app;
  NounWordsPtr words;
};
struct NounTraits {
  std::string name;  // "agents"
  std::string one;   // "agent"
  std::string about;
  std::string if_empty;  // said on stderr where the list is empty
  Render list, show;
};
Noun add_noun(CLI::App& app, const Globals& globals, Chosen& chosen, const NounTraits& traits);
// Deleting cannot be undone: asked at a terminal, to be said beforehand (yes) elsewhere. Errors: invalid,
// cancelled.
Status confirm_delete(const std::string& what, bool yes);
// `delete NAME [--yes]`
void add_delete(const Noun& noun, const Globals& globals, Chosen& chosen, const NounTraits& traits);
// -o table|json on a verb or noun.
void add_list_output(CLI::App& app, std::string& output);

// Runs the function with a client of the chosen coordinator; its Error, or the client's, becomes the exit
// code.
int with_client(const Globals& globals, const std::function<Result<int>(Client&)>& run);
// To stdout, as JSON or rendered; 0, or Errc::corrupt.
Result<int> print_answer(const std::string& answer, const std::string& output, const Render& render);
void print_text(const std::string& text);

}  // namespace todd::cli
