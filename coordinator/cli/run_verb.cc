// `todd run`, and `todd try --from`, which is the same with a document of its own.
#include <cstdio>
#include <optional>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "coordinator/cli/columns.h"
#include "coordinator/cli/document.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/nouns.h"
#include "coordinator/cli/param_flags.h"
#include "coordinator/cli/runs_client.h"
#include "coordinator/cli/text_argument.h"
#include "coordinator/model/json.h"
#include "engine/base/clock.h"
#include "engine/manifest/units.h"

namespace todd::cli {
namespace {

constexpr int64_t kAnswerNs = 2'000'000'000;   // for the run's id, after Ctrl-C
constexpr int64_t kCancelNs = 15'000'000'000;  // for a cancelled run to end

struct RunWords {
  std::string suite;
  std::optional<Document> document;  // instead of a stored suite
  std::vector<std::string> sets, only, labels;
  std::string deadline;
  std::string output = "table";
  bool watch = false, dry_run = false, check = false, detach = false;
  bool allow_incomplete = false, periods = false, samples = false, yes = false;
};

using Reader = Result<std::string>(const std::string&);

Result<std::string> as_it_is(const std::string& text) { return text; }

// "a=1" taken apart at the first '='.
Status write_pairs(model::JsonWriter& json, const char* key, const std::vector<std::string>& words,
                   const char* form, Reader& read) {
  json.key(key).begin_object();
  for (const auto& word : words) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return fail(Errc::invalid, fmt::format("{}: expected {}", word, form));
    }
    const auto text = read(word.substr(equals + 1));
    if (!text)
      return fail(Errc::invalid,
                  fmt::format("--{} {}: {}", key, word.substr(0, equals), text.error().detail));
    json.field(word.substr(0, equals), *text);
  }
  json.end_object();
  return {};
}

Result<std::string> order_of(const RunWords& words) {
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().field("trigger", "manual");
  if (words.document) {
    json.field("document", words.document->text).field("origin", words.document->origin);
    json.key("hosts_files").begin_object();
    for (const auto& [name, lines] : words.document->hosts_files) json.field(name, lines);
    json.end_object();
  } else {
    json.field("suite", words.suite);
  }
  if (auto status = write_pairs(json, "set", words.sets, "--set TEST.PARAM=VALUE", text_argument); !status) {
    return tl::unexpected(status.error());
  }
  if (auto status = write_pairs(json, "labels", words.labels, "--label KEY=VALUE", as_it_is); !status) {
    return tl::unexpected(status.error());
  }
  if (!words.yes) json.field("max_edges", kManyTargets);
  json.field("only", words.only).field("dry_run", words.dry_run).field("check", words.check).end_object();
  return out;
}

// The run was told to end; what it measured until then is worth waiting for, but not long.
Status end_run(Client& client, const std::string& id, run::Runs::Because because, Interrupts& interrupts) {
  client.set_deadline(monotonic_ns() + kCancelNs);
  auto status = cancel_run(client, id, because);
  // It may have ended by itself in this moment.
  if (!status && status.error().code != Errc::invalid) return status;
  Progress quiet(Progress::Style::none);
  const auto followed = follow_run(client, id, quiet, interrupts);
  client.set_deadline(0);
  if (!followed) return tl::unexpected(followed.error());
  return {};
}

// Follows the run to its end, reports, and says how it went.
int finish(Client& client, const RunWords& words, const ShowRun& show, const std::string& id,
           int64_t deadline_ns, Interrupts& interrupts) {
  client.set_deadline(deadline_ns);
  Progress progress(progress_style(words.watch));
  const auto followed = follow_run(client, id, progress, interrupts);
  client.set_deadline(0);
  const bool interrupted = !followed && followed.error().code == Errc::cancelled;
  const bool late = !followed && followed.error().code == Errc::timed_out;
  if (!followed && !interrupted && !late) return complain(followed.error());
  if (interrupted || late) {
    const char* const why = interrupted ? "interrupted" : "the deadline passed";
    std::fprintf(stderr, "todd: %s; cancelling run %s\n", why, id.c_str());
    const auto because = late ? run::Runs::Because::deadline : run::Runs::Because::asked;
    if (const auto ended = end_run(client, id, because, interrupts); !ended) {
      const int code = complain(ended.error());
      return interrupted || ended.error().code == Errc::cancelled ? interrupts.exit_code() : code;
    }
  }
  const auto report = show_run(client, id, show);
  if (interrupted || (!report && interrupts.take())) return interrupts.exit_code();
  if (!report) return complain(report.error());
  if (late) {
    return complain(
        {Errc::timed_out, 0, fmt::format("the run did not end within --deadline {}", words.deadline)});
  }
  return exit_for(*report, words.allow_incomplete);
}

Result<int> start(Client& client, const Globals& globals, const RunWords& words) {
  const auto output = parse_output(words.output);
  if (!output) return tl::unexpected(output.error());
  int64_t deadline_ns = 0;
  if (!words.deadline.empty()) {
    const auto limit = manifest::parse_duration(words.deadline);
    if (!limit) return fail(Errc::invalid, "--deadline: " + limit.error().detail);
    deadline_ns = monotonic_ns() + *limit;
  }
  const auto order = order_of(words);
  if (!order) return tl::unexpected(order.error());

  Interrupts interrupts;
  // Without the answer nobody knows which run is to be cancelled.
  client.set_interrupt(interrupts.fd(), kAnswerNs);
  const auto answer = client.post("runs", *order);
  client.set_interrupt(interrupts.fd());
  if (!answer && interrupts.take()) {
    std::fputs("todd: interrupted before the coordinator answered; `todd runs` shows whether the run began\n",
               stderr);
    return interrupts.exit_code();
  }
  if (!answer) return tl::unexpected(answer.error());
  if (words.dry_run) {
    return print_answer(*answer, words.output == "table" ? "table" : "json",
                        [](JsonValue plan) { return printable_lines(raw_text_at(plan, "text")); });
  }
  JsonText json;
  if (auto status = json.parse(*answer); !status) return tl::unexpected(status.error());
  const std::string id = text_at(json.root(), "id");
  if (words.detach) {
    print_text(words.output == "table" ? id + "\n" : *answer);
    return kOk;
  }
  const ShowRun show{*output, !globals.no_color, words.periods, words.samples};
  return finish(client, words, show, id, deadline_ns, interrupts);
}

Result<int> run(Client& client, const Globals& globals, RunWords& words) {
  if (is_file_argument(words.suite)) {
    auto document = read_document(words.suite);
    if (!document) return tl::unexpected(document.error());
    if (auto status = read_hosts_files(*document, words.suite); !status)
      return tl::unexpected(status.error());
    words.document = std::move(*document);
  }
  return start(client, globals, words);
}

}  // namespace

void add_run(CLI::App& app, const Globals& globals, Chosen& chosen) {
  CLI::App* const verb = app.add_subcommand("run", "Run a suite by the coordinator's agents and report");
  const auto words = std::make_shared<RunWords>();
  verb->add_option("suite", words->suite,
                   "A stored suite's name, or a file (with / or .yaml), - for standard input")
      ->required();
  verb->add_flag("--watch", words->watch, "Show progress even where stderr is no terminal");
  auto* const dry_run = verb->add_flag("--dry-run", words->dry_run, "Show the plan, start nothing");
  verb->add_flag("--check", words->check, "Prepare both ends of every edge, send nothing")->excludes(dry_run);
  verb->add_option("--set", words->sets, "TEST.PARAM=VALUE: another value for one param")
      ->allow_extra_args(false);
  verb->add_option("--only", words->only, "Only this test (may be repeated)")->allow_extra_args(false);
  verb->add_option("--label", words->labels, "KEY=VALUE for the report (may be repeated)")
      ->allow_extra_args(false);
  verb->add_option("--deadline", words->deadline, "Cancel the run after this long: 30s, 5m");
  verb->add_flag("--allow-incomplete", words->allow_incomplete,
                 "Exit 0 where an expectation could not be judged");
  verb->add_flag("--detach", words->detach, "Print the run's id and do not wait")->excludes(dry_run);
  verb->add_flag("--yes", words->yes, "More than 65,536 edges are meant");
  verb->add_flag("--periods", words->periods, "With every period of every edge (json)");
  verb->add_flag("--samples", words->samples, "With the samples that were kept (json)");
  verb->add_option("-o,--output", words->output, "table, json or jsonl");
  verb->callback([&globals, &chosen, words] {
    chosen.action = [&globals, words] {
      return with_client(globals, [&](Client& client) { return run(client, globals, *words); });
    };
  });
}

int run_document(const Globals& globals, const RemoteRun& remote) {
  RunWords words;
  words.periods = remote.periods;
  words.samples = remote.samples;
  words.yes = remote.yes;
  words.document = Document{remote.document, remote.origin, {}};
  words.output = remote.output;
  words.allow_incomplete = remote.allow_incomplete;
  return with_client(globals, [&](Client& client) {
    auto code = start(client, globals, words);
    if (!code)
      code.error().detail = as_flags(without_place(code.error().detail, remote.origin), *remote.testlet);
    return code;
  });
}

}  // namespace todd::cli
