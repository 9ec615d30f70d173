#include <CLI/CLI.hpp>

#include "coordinator/cli/columns.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/model/json.h"
#include "engine/base/version.h"

namespace todd::cli {
namespace {

int show_version(const Globals& globals, const std::string& output) {
  auto client = Client::make(globals.coordinator);
  if (!client) return complain(client.error());
  const auto answer = client->get("version");
  JsonText json;
  std::string theirs;
  if (answer && json.parse(*answer)) theirs = text_at(json.root(), "version");
  if (output == "table") {
    print_text(pairs({{"todd", kVersion}, {"coordinator", theirs}}));
  } else {
    std::string out;
    model::JsonWriter writer(out);
    writer.begin_object().field("version", kVersion).key("coordinator");
    if (theirs.empty()) {
      writer.null();
    } else {
      writer.begin_object().field("version", theirs).field("address", client->address()).end_object();
    }
    writer.end_object();
    print_text(out + "\n");
  }
  // Only who names a coordinator wants to know that it is away.
  return answer || globals.coordinator.empty() ? kOk : complain(answer.error());
}

}  // namespace

void add_version(CLI::App& app, const Globals& globals, Chosen& chosen) {
  CLI::App* const verb = app.add_subcommand("version", "The version of this command and of the coordinator");
  const auto output = std::make_shared<std::string>("table");
  add_list_output(*verb, *output);
  verb->callback([&globals, &chosen, output] {
    chosen.action = [&globals, output] { return show_version(globals, *output); };
  });
}

}  // namespace todd::cli
