// `todd agents`
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "coordinator/cli/columns.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/model/table.h"

namespace todd::cli {
namespace {

std::string list_agents(JsonValue answer) {
  std::vector<Row> rows;
  for (const auto agent : list_at(answer, "agents")) {
    rows.push_back({text_at(agent, "name"), flag_at(agent, "connected") ? "yes" : "no",
                    joined(texts_at(agent, "test_addresses")), text_at(agent, "version"),
                    text_at(agent, "os"), pairs_at(agent, "labels")});
  }
  return columns({"NAME", "CONNECTED", "ADDRESSES", "VERSION", "OS", "LABELS"}, rows);
}

std::string show_agent(JsonValue agent) {
  const std::string engine = text_at(agent, "engine"), why = text_at(agent, "engine_why");
  const char* const unknown = flag_at(agent, "connected") ? "not known yet" : "";
  std::string out = pairs({
      {"name", text_at(agent, "name")},
      {"id", text_at(agent, "id")},
      {"connected", flag_at(agent, "connected") ? "yes, since " + text_at(agent, "connected_since") : "no"},
      {"enrolled", text_at(agent, "enrolled_at")},
      {"hostname", text_at(agent, "hostname")},
      {"os", text_at(agent, "os")},
      {"kernel", text_at(agent, "kernel")},
      {"version", text_at(agent, "version")},
      {"labels", pairs_at(agent, "labels")},
      {"peer address", text_at(agent, "peer_address")},
      {"addresses", joined(texts_at(agent, "addresses"))},
      {"test addresses", joined(texts_at(agent, "test_addresses"))},
      {"listen ports", text_at(agent, "listen_ports")},
      {"clock offset", fmt::format("{} ± {}", model::format_amount(number_at(agent, "clock_offset_s"), "s"),
                                   model::format_amount(number_at(agent, "clock_error_s"), "s"))},
      {"engine", engine.empty() ? unknown
                 : why.empty()  ? engine
                                : engine + " (" + why + ")"},
  });
  for (const auto refused : list_at(agent, "refused_testlets")) {
    out += "refused testlet " + text_at(refused, "path") + ": " + text_at(refused, "error") + "\n";
  }
  return out;
}

void add_invite(const Noun& noun, const Globals& globals, Chosen& chosen) {
  CLI::App* const verb = noun.app->add_subcommand(
      "invite", "Make a token with which one agent may join: todd-agent --join TOKEN");
  const auto ttl = std::make_shared<std::string>("10m");
  verb->add_option("--ttl", *ttl, "How long it is good for")->capture_default_str();
  verb->callback([&globals, &chosen, ttl] {
    chosen.action = [&globals, ttl] {
      return with_client(globals, [&](Client& client) -> Result<int> {
        const auto answer = client.post("agents:invite?ttl=" + path_part(*ttl));
        if (!answer) return tl::unexpected(answer.error());
        JsonText json;
        if (auto status = json.parse(*answer); !status) return tl::unexpected(status.error());
        print_text(text_at(json.root(), "token") + "\n");
        return kOk;
      });
    };
  });
}

}  // namespace

void add_agents(CLI::App& app, const Globals& globals, Chosen& chosen) {
  const NounTraits traits{"agents",
                          "agent",
                          "The agents of this coordinator",
                          "no agents yet; `todd agents invite` makes the token for todd-agent --join",
                          list_agents,
                          show_agent};
  const Noun noun = add_noun(app, globals, chosen, traits);
  add_delete(noun, globals, chosen, traits);
  add_invite(noun, globals, chosen);
}

}  // namespace todd::cli
