// `todd testlets`: those of the coordinator's agents, or without a coordinator those on this host.
#include <cstdio>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "coordinator/cli/columns.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/model/json.h"
#include "coordinator/model/table.h"
#include "engine/manifest/nearest.h"
#include "engine/manifest/params.h"
#include "engine/manifest/scan.h"
#include "engine/supervise/supervisor.h"

namespace todd::cli {
namespace {

std::string roles(bool source, bool responder) {
  return std::string(source ? "source" : "") + (source && responder ? ", " : "") +
         (responder ? "responder" : "");
}

std::string list_testlets(JsonValue answer) {
  std::vector<Row> rows;
  for (const auto testlet : list_at(answer, "testlets")) {
    rows.push_back({text_at(testlet, "id"), text_at(testlet, "version"),
                    roles(flag_at(testlet, "source"), flag_at(testlet, "responder")),
                    text_at(testlet, "summary")});
  }
  std::string out = columns({"ID", "VERSION", "ROLES", "SUMMARY"}, rows);
  for (const auto refused : list_at(answer, "refused")) {
    const std::string agent = text_at(refused, "agent");
    out += "refused " + (agent.empty() ? "" : "by " + agent + " ") + text_at(refused, "path") + ": " +
           text_at(refused, "error") + "\n";
  }
  return out;
}

std::string range_of(const manifest::Param& param) {
  if (!param.choices.empty()) {
    std::string out;
    for (const auto& choice : param.choices) out += (out.empty() ? "" : "|") + choice;
    return out;
  }
  if (param.min.empty() && param.max.empty()) return "";
  return param.min + ".." + param.max;
}

std::string default_of(const manifest::Param& param) {
  if (!param.repeat) return param.dflt;
  std::string out;
  for (const auto& text : manifest::split_texts(param.dflt)) out += (out.empty() ? "" : ", ") + text;
  return out;
}

std::string param_table(const std::vector<manifest::Param>& params) {
  std::vector<Row> rows;
  for (const auto& param : params) {
    const std::string type =
        param.secret ? "secret"
                     : manifest::param_type_name(param.type) + std::string(param.repeat ? "..." : "");
    rows.push_back({param.name, type, model::printable(param.required ? "(required)" : default_of(param)),
                    model::printable(range_of(param)), model::printable(param.doc)});
  }
  return columns({"PARAM", "TYPE", "DEFAULT", "RANGE", "MEANING"}, rows);
}

// The host's params with the testlet's own defaults.
std::vector<manifest::Param> host_params_of(const manifest::Testlet& testlet) {
  auto params = manifest::host_params();
  const auto& own = testlet.schedule;
  const std::pair<const char*, const std::string*> defaults[] = {{"count", &own.count},
                                                                 {"interval", &own.interval},
                                                                 {"rate", &own.rate},
                                                                 {"duration", &own.duration},
                                                                 {"timeout", &own.timeout}};
  std::erase_if(params, [&](const auto& param) {
    return param.name == "requests" && !(own.tickets && testlet.target_kind == "url");
  });
  for (auto& param : params) {
    for (const auto& [name, value] : defaults) {
      if (param.name == name && !value->empty()) param.dflt = *value;
    }
  }
  return params;
}

std::string show_manifest(const manifest::Testlet& testlet) {
  std::string expect;
  for (const auto& line : testlet.default_expect) expect += (expect.empty() ? "" : ", ") + line;
  std::string out = pairs({{"testlet", testlet.id},
                           {"version", model::printable(testlet.version)},
                           {"summary", model::printable(testlet.summary)},
                           {"roles", roles(testlet.source, testlet.responder)},
                           {"target", testlet.target_kind},
                           {"heavy", testlet.heavy ? "yes, one edge at a time per agent" : ""},
                           {"expects", model::printable(expect)}});
  if (!testlet.doc.empty()) out += "\n" + printable_lines(testlet.doc);
  if (!testlet.params.empty()) out += "\n" + param_table(testlet.params);
  out += "\nOf every testlet:\n" + param_table(host_params_of(testlet));
  std::vector<Row> rows;
  for (const auto& metric : testlet.metrics) {
    rows.push_back({metric.name, stats::kind_name(metric.kind), model::printable(metric.unit),
                    model::printable(metric.doc)});
  }
  return out + "\n" + columns({"METRIC", "KIND", "UNIT", "MEANING"}, rows);
}

std::string show_testlet(JsonValue answer) {
  JsonValue json;
  if (answer["manifest"].get(json)) return "the coordinator sent no manifest\n";
  const auto manifest = manifest::parse_manifest(simdjson::minify(json));
  if (!manifest) return "manifest: " + model::printable(manifest.error().detail) + "\n";
  std::string out;
  for (const auto& testlet : manifest->testlets) out += show_manifest(testlet);
  return out;
}

std::vector<manifest::Found> scan_here() {
  return manifest::scan_folders(supervise::default_options().testlet_folders);
}

// In the API's own form.
std::string local_list() {
  std::string out;
  model::JsonWriter json(out);
  const auto found = scan_here();
  json.begin_object().key("testlets").begin_array();
  for (const auto& file : found) {
    if (!file.error.empty()) continue;
    for (const auto& testlet : file.manifest.testlets) {
      json.begin_object()
          .field("id", testlet.id)
          .field("version", testlet.version)
          .field("summary", testlet.summary);
      json.field("source", testlet.source)
          .field("responder", testlet.responder)
          .field("heavy", testlet.heavy);
      json.field("hash", file.manifest.hash).field("path", file.path).end_object();
    }
  }
  json.end_array().key("refused").begin_array();
  for (const auto& file : found) {
    if (!file.error.empty())
      json.begin_object().field("path", file.path).field("error", file.error).end_object();
  }
  json.end_array().end_object();
  return out;
}

Result<std::string> local_show(const std::string& id) {
  std::vector<std::string> names;
  for (const auto& file : scan_here()) {
    if (!file.error.empty()) continue;
    for (const auto& testlet : file.manifest.testlets) {
      names.push_back(testlet.id);
      if (testlet.id != id) continue;
      manifest::Manifest one = file.manifest;
      one.testlets = {testlet};
      std::string out;
      model::JsonWriter json(out);
      json.begin_object().field("id", id).field("path", file.path).field("hash", file.manifest.hash);
      json.key("manifest").raw(manifest::write_manifest(one)).end_object();
      return out;
    }
  }
  return fail(Errc::not_found,
              fmt::format("this host has no testlet {}{}", id, manifest::did_you_mean(id, names)));
}

// Asks the coordinator, and this host where none answers.
Result<int> answer_or_local(Client& client, const std::string& path, const std::string& output,
                            const Render& render, const std::function<Result<std::string>()>& local) {
  auto answer = client.get(path);
  if (!answer && answer.error().code == Errc::unavailable) {
    std::fprintf(stderr, "no coordinator at %s; these are the testlets of this host:\n",
                 client.address().c_str());
    answer = local();
  }
  if (!answer) return tl::unexpected(answer.error());
  return print_answer(*answer, output, render);
}

}  // namespace

void add_testlets(CLI::App& app, const Globals& globals, Chosen& chosen) {
  const auto words = std::make_shared<NounWords>();
  CLI::App* const noun = app.add_subcommand("testlets", "Testlets of the agents, or of this host");
  add_list_output(*noun, words->output);
  const auto list = [&globals, &chosen, words] {
    chosen.action = [&globals, words] {
      return with_client(globals, [&](Client& client) {
        return answer_or_local(client, "testlets", words->output, list_testlets, local_list);
      });
    };
  };
  noun->final_callback([noun, list] {
    if (noun->get_subcommands().empty()) list();
  });
  CLI::App* const list_verb = noun->add_subcommand("list", "List all testlets (the default)");
  add_list_output(*list_verb, words->output);
  list_verb->callback(list);

  CLI::App* const show = noun->add_subcommand("show", "A testlet's params and metrics");
  show->add_option("id", words->name, "Which testlet")->required();
  add_list_output(*show, words->output);
  show->callback([&globals, &chosen, words] {
    chosen.action = [&globals, words] {
      return with_client(globals, [&](Client& client) {
        return answer_or_local(client, "testlets/" + path_part(words->name), words->output, show_testlet,
                               [&] { return local_show(words->name); });
      });
    };
  });
}

}  // namespace todd::cli
