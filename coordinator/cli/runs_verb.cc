// `todd runs`
#include <cstdio>

#include <CLI/CLI.hpp>

#include "coordinator/cli/columns.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/cli/runs_client.h"

namespace todd::cli {
namespace {

constexpr char kWhich[] = "Its id, the beginning of one, `last`, or SUITE~1 (the suite's latest)";

struct RunsWords {
  std::string output = "table", id, suite;
  int limit = 100;
  bool periods = false, samples = false, yes = false;
};
using RunsWordsPtr = std::shared_ptr<RunsWords>;

std::string list_runs(JsonValue answer) {
  std::vector<Row> rows;
  for (const auto run : list_at(answer, "runs")) {
    const std::string waiting = text_at(run, "waiting");
    rows.push_back({text_at(run, "id"), text_at(run, "suite"), text_at(run, "state"), text_at(run, "verdict"),
                    text_at(run, "started_at"), text_at(run, "finished_at"), waiting});
  }
  return columns({"ID", "SUITE", "STATE", "VERDICT", "STARTED", "FINISHED", "NOTE"}, rows);
}

// The list has no run of the suite: whether there is such a suite decides how that ends. One that was run
// from a file is not stored.
Result<int> no_runs_of(Client& client, const std::string& suite) {
  const auto stored = client.get("suites/" + path_part(suite));
  if (!stored && stored.error().code != Errc::not_found) return tl::unexpected(stored.error());
  if (!stored) return fail(Errc::not_found, "no runs of " + suite + "; " + stored.error().detail);
  std::fprintf(stderr, "no runs of %s yet\n", suite.c_str());
  return kOk;
}

Result<int> list(Client& client, const RunsWords& words) {
  std::string path = "runs?limit=" + std::to_string(words.limit);
  if (!words.suite.empty()) path += "&suite=" + path_part(words.suite);
  const auto answer = client.get(path);
  if (!answer) return tl::unexpected(answer.error());
  JsonText json;
  if (words.output == "table" && json.parse(*answer) && list_at(json.root(), "runs").empty()) {
    if (!words.suite.empty()) return no_runs_of(client, words.suite);
    std::fputs("no runs yet; `todd run SUITE` makes one\n", stderr);
    return kOk;
  }
  return print_answer(*answer, words.output, list_runs);
}

Result<int> show(Client& client, const Globals& globals, const RunsWords& words) {
  const auto output = parse_output(words.output);
  if (!output) return tl::unexpected(output.error());
  const auto report = show_run(client, words.id, {*output, !globals.no_color, words.periods, words.samples});
  if (!report) return tl::unexpected(report.error());
  return kOk;
}

// Here Ctrl-C only ends the watching.
Result<int> watch(Client& client, const Globals& globals, const RunsWords& words) {
  const auto output = parse_output(words.output);
  if (!output) return tl::unexpected(output.error());
  Interrupts interrupts;
  Progress progress(progress_style(true));
  const auto followed = follow_run(client, words.id, progress, interrupts);
  if (!followed && followed.error().code == Errc::cancelled) return interrupts.exit_code();
  if (!followed) return tl::unexpected(followed.error());
  const auto report = show_run(client, *followed, {*output, !globals.no_color, words.periods, words.samples});
  if (!report) return tl::unexpected(report.error());
  return exit_for(*report, false);
}

Result<int> cancel(Client& client, const RunsWords& words) {
  if (auto status = cancel_run(client, words.id); !status) return tl::unexpected(status.error());
  std::fprintf(stderr, "run %s ends\n", words.id.c_str());
  return kOk;
}

Result<int> remove(Client& client, const RunsWords& words) {
  if (auto sure = confirm_delete("run " + words.id, words.yes); !sure) return tl::unexpected(sure.error());
  const auto answer = client.remove("runs/" + path_part(words.id));
  if (!answer) return tl::unexpected(answer.error());
  JsonText json;
  if (auto status = json.parse(*answer); !status) return tl::unexpected(status.error());
  std::fprintf(stderr, "run %s deleted\n", text_at(json.root(), "id").c_str());
  return kOk;
}

using Act = std::function<Result<int>(Client&, const Globals&, const RunsWords&)>;

void on_call(CLI::App& verb, const Globals& globals, Chosen& chosen, const RunsWordsPtr& words,
             const Act& act) {
  verb.callback([&globals, &chosen, words, act] {
    chosen.action = [&globals, words, act] {
      return with_client(globals, [&](Client& client) { return act(client, globals, *words); });
    };
  });
}

void add_list_options(CLI::App& verb, RunsWords& words) {
  add_list_output(verb, words.output);
  verb.add_option("--suite", words.suite, "Only runs of this suite");
  verb.add_option("--limit", words.limit, "At most so many, the newest first")->check(CLI::Range(1, 1000));
}

void add_report_options(CLI::App& verb, RunsWords& words) {
  verb.add_option("id", words.id, kWhich)->required();
  verb.add_option("-o,--output", words.output, "table, json or jsonl");
  verb.add_flag("--periods", words.periods, "With every period of every edge (json)");
  verb.add_flag("--samples", words.samples, "With the samples that were kept (json)");
}

}  // namespace

void add_runs(CLI::App& app, const Globals& globals, Chosen& chosen) {
  const auto words = std::make_shared<RunsWords>();
  CLI::App* const noun = app.add_subcommand("runs", "Runs under way and finished ones");
  add_list_options(*noun, *words);
  const Act act_list = [](Client& client, const Globals&, const RunsWords& w) { return list(client, w); };
  noun->final_callback([noun, &globals, &chosen, words, act_list] {
    if (!noun->get_subcommands().empty()) return;
    chosen.action = [&globals, words, act_list] {
      return with_client(globals, [&](Client& client) { return act_list(client, globals, *words); });
    };
  });
  CLI::App* const list_verb = noun->add_subcommand("list", "List runs, the newest first (the default)");
  add_list_options(*list_verb, *words);
  on_call(*list_verb, globals, chosen, words, act_list);

  CLI::App* const show_verb = noun->add_subcommand("show", "The report of a run");
  add_report_options(*show_verb, *words);
  on_call(*show_verb, globals, chosen, words, show);

  CLI::App* const watch_verb = noun->add_subcommand("watch", "Follow a run to its end, then report");
  add_report_options(*watch_verb, *words);
  on_call(*watch_verb, globals, chosen, words, watch);

  CLI::App* const cancel_verb = noun->add_subcommand("cancel", "End a run early; what it measured is kept");
  cancel_verb->add_option("id", words->id, kWhich)->required();
  on_call(*cancel_verb, globals, chosen, words,
          [](Client& client, const Globals&, const RunsWords& w) { return cancel(client, w); });

  CLI::App* const delete_verb = noun->add_subcommand("delete", "Forget a run that has ended");
  delete_verb->add_option("id", words->id, kWhich)->required();
  delete_verb->add_flag("-y,--yes", words->yes, "Do not ask");
  on_call(*delete_verb, globals, chosen, words,
          [](Client& client, const Globals&, const RunsWords& w) { return remove(client, w); });
}

}  // namespace todd::cli
