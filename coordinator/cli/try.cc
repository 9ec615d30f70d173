// `todd try TESTLET TARGET...`: one test from this host, or with --from from a group of agents.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <optional>

#include "coordinator/cli/alongside_args.h"
#include "coordinator/cli/command.h"
#include "coordinator/cli/document.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/host_testlets.h"
#include "coordinator/cli/local_transport.h"
#include "coordinator/cli/output.h"
#include "coordinator/cli/param_flags.h"
#include "coordinator/cli/target_args.h"
#include "coordinator/model/json.h"
#include "coordinator/model/plan.h"
#include "coordinator/run/runs.h"
#include "engine/base/privileges.h"

namespace todd::cli {
namespace {

constexpr const char* kOrigin = "try";       // where messages say the suite is from
constexpr int64_t kStartLeadNs = 2'000'000;  // START goes to a process beside us
constexpr int64_t kInterruptWaitNs = 3'000'000'000;

struct TryOptions {
  std::string testlet, from, output = "table", engine = "auto", family, secrets = default_secrets();
  std::vector<std::string> targets, expect, alongside;
  uint32_t threads = 0;
  bool allow_incomplete = false, yes = false, unprivileged = false;
};

// Flags are made per testlet, so each testlet is a subcommand of `try`.
struct TryCommand {
  manifest::Testlet testlet;
  std::shared_ptr<const std::map<std::string, manifest::Testlet>> testlets;  // all of this host
  std::vector<model::Test> alongside;
  std::unique_ptr<ParamFlags> params;
  TryOptions options;
};

model::Suite suite_of(const TryCommand& command, const std::vector<std::string>& targets) {
  model::Test test;
  test.name = test.testlet = command.testlet.id;
  test.from = {model::TestFrom::Kind::agent, {kLocalAgent}, {}};
  const bool urls = targets.front().rfind("http://", 0) == 0 || targets.front().rfind("https://", 0) == 0;
  test.to = {urls ? model::TestTo::Kind::urls : model::TestTo::Kind::hosts, targets, {}};
  test.params = command.params->given();
  test.param_forms = command.params->forms();
  if (command.options.family == "v4") test.family = model::Family::v4;
  if (command.options.family == "v6") test.family = model::Family::v6;
  if (command.options.family == "both") test.family = model::Family::both;
  if (!command.options.expect.empty()) {
    test.expect.emplace();
    for (const auto& text : command.options.expect) test.expect->push_back({text, false, {}});
  }
  for (model::Test other : command.alongside) {
    other.from = test.from;
    other.to = test.to;
    test.alongside.push_back(std::move(other));
  }
  model::Suite suite;
  suite.name = suite.origin = kOrigin;
  suite.tests = {test};
  return suite;
}

// Who asks for periods or samples wants to see them.
ShowRun shown(const TryCommand& command, Output output, bool color) {
  const auto given = command.params->given();
  return {output, color, given.count("period") != 0, given.count("samples") != 0};
}

std::string document_of(const TryCommand& command, const std::vector<std::string>& targets) {
  const std::string list = quoted_list(targets);
  std::string params;
  const auto forms = command.params->forms();
  for (const auto& [name, value] : command.params->given()) {
    const auto form = forms.find(name);
    params += (params.empty() ? "" : ", ") + name + ": " +
              param_yaml(value, form == forms.end() ? model::ParamForm::text : form->second);
  }
  std::string to = fmt::format("{{hosts: {}}}", list);
  if (targets.size() == 1 && targets[0].rfind("group:", 0) == 0)
    to = quoted(targets[0].substr(6));
  else if (targets.size() == 1 && targets[0].rfind("agent:", 0) == 0)
    to = fmt::format("{{agent: {}}}", quoted(targets[0].substr(6)));
  else if (targets[0].rfind("http", 0) == 0 && targets[0].find("://") != std::string::npos)
    to = fmt::format("{{urls: {}}}", list);
  std::string text = fmt::format(
      "apiVersion: todd/v1\nkind: Suite\nmetadata: {{name: try}}\nspec:\n  tests:\n    - name: {}\n      "
      "testlet: {}\n      from: {}\n      to: {}\n",
      command.testlet.id, command.testlet.id, quoted(command.options.from), to);
  if (!params.empty()) text += fmt::format("      params: {{{}}}\n", params);
  if (!command.options.family.empty()) text += fmt::format("      family: {}\n", command.options.family);
  if (!command.options.expect.empty())
    text += fmt::format("      expect: {}\n", quoted_list(command.options.expect));
  std::string alongside;
  for (const auto& test : command.alongside)
    alongside += (alongside.empty() ? "" : ", ") + alongside_yaml(test);
  if (!alongside.empty()) text += fmt::format("      alongside: [{}]\n", alongside);
  return text;
}

// A one-off test of which no edge could even begin.
struct Nothing {
  std::string detail;  // of the first edge
  bool alike = true;   // all edges say the same
};

std::optional<Nothing> nothing_began(const model::Report& report) {
  std::optional<Nothing> nothing;
  for (const auto& test : report.tests) {
    for (size_t i = 0; i < test.edges.size(); ++i) {
      const model::EdgeReport edge = test.edges.at(i);
      if (edge.reason == model::reason::kMainNotRun) continue;  // as that one says
      if (edge.state != model::EdgeState::error) return std::nullopt;
      if (!edge.metrics.empty()) return std::nullopt;
      if (!nothing) nothing = Nothing{edge.detail};
      nothing->alike &= edge.detail == nothing->detail;
    }
  }
  return nothing;
}

// A table of edges that all say the same would only say it again.
void print_result(const model::Report& report, const ShowRun& show) {
  const auto nothing = nothing_began(report);
  if (!nothing || show.output != Output::table || !nothing->alike) print_report(report, show);
  if (!nothing) return;
  const bool in_table = show.output == Output::table && !nothing->alike;
  fmt::print(stderr, "todd: {}\n", in_table ? "no edge could begin, see above" : nothing->detail);
}

// Runs it on the local worker until it has ended, and prints what was measured; Ctrl-C cancels and keeps
// that. signal: the one that came, else 0.
Result<std::shared_ptr<const model::Report>> run_here(const TryCommand& command, run::Request request,
                                                      supervise::SupervisorOptions options,
                                                      const ShowRun& show, int& signal) {
  io::Loop loop;
  const Clock clock;
  LocalTransport transport(loop, std::move(options));
  run::RunsOptions run_options;
  run_options.start_lead_ns = kStartLeadNs;
  if (!show.periods) run_options.max_periods = 0;
  run::Runs runs(loop, transport, clock, run_options);
  if (auto started = transport.start(runs); !started) return tl::unexpected(started.error());
  std::string id;
  auto watching = runs.subscribe([&](const run::Event& event) {
    if (event.kind == run::Event::Kind::run_finished) loop.stop();
    if (event.kind == run::Event::Kind::run_progress && stderr_is_terminal() &&
        command.options.output == "table") {
      fmt::print(stderr, "\r\x1b[K");
      for (const auto& test : event.tests)
        fmt::print(stderr, "{}: {} sent, {} answered  ", test.name, test.sent, test.received);
    }
  });
  auto created = runs.create(std::move(request));
  if (!created) return tl::unexpected(created.error());
  id = *created;
  io::HandlePtr give_up;
  const auto on_signal = [&](int which) {
    return loop.on_signal(which, [&, which] {
      if (signal != 0) loop.stop();
      signal = which;
      if (!runs.cancel(id)) loop.stop();
      give_up = loop.after(kInterruptWaitNs, [&] { loop.stop(); });
    });
  };
  const auto interrupt = on_signal(SIGINT), terminate = on_signal(SIGTERM);
  loop.run();
  if (stderr_is_terminal() && command.options.output == "table") fmt::print(stderr, "\r\x1b[K");
  transport.end();  // beside the report
  auto report = runs.report(id, show.periods);
  if (report) print_result(**report, show);
  return report;
}

int try_testlet(TryCommand& command, const Globals& globals) {
  for (const std::string& text : command.options.alongside) {
    auto test = parse_alongside(text);
    if (!test) return complain(test.error());
    command.alongside.push_back(std::move(*test));
  }
  auto output = parse_output(command.options.output);
  if (!output) return complain(output.error());
  auto listed = expand_target_args(command.options.targets);
  if (!listed) return complain(listed.error());
  if (auto good = check_target_args(*listed, command.testlet, !command.options.from.empty()); !good)
    return complain(good.error());
  const std::vector<std::string>& targets = listed->texts;
  const ShowRun show = shown(command, *output, !globals.no_color);
  if (!command.options.from.empty()) {
    return run_document(globals, {.document = document_of(command, targets),
                                  .origin = kOrigin,
                                  .output = command.options.output,
                                  .allow_incomplete = command.options.allow_incomplete,
                                  .periods = show.periods,
                                  .samples = show.samples,
                                  .yes = command.options.yes,
                                  .testlet = &command.testlet});
  }
  auto n = count_targets(targets);
  if (!n) {
    complain(n.error());
    return kUsage;  // also for more than anybody can mean
  }
  if (*n > kManyTargets && !command.options.yes) {
    fmt::print(stderr, "todd: these targets are {} addresses; add --yes if you mean it\n", *n);
    return kUsage;
  }
  auto options = supervise::default_options();
  auto engine = io::parse_engine(command.options.engine);
  if (!engine) return complain(engine.error());
  options.engine = *engine;
  if (command.options.unprivileged) {
    if (auto given = give_up_net_raw(); !given) return complain(given.error());
  }
  options.lanes = command.options.threads;
  options.secrets.folder = command.options.secrets;
  const auto facts = local_facts();
  const auto suite = suite_of(command, targets);
  auto plans = model::plan_suite(suite, {}, {facts}, *command.testlets);
  if (!plans) {
    auto error = plans.error();
    error.detail = as_flags(without_place(error.detail, kOrigin), command.testlet);
    return complain(error);
  }
  run::Request request;
  request.suite = suite.name;
  request.plans = std::move(*plans);
  request.agents = {facts};
  int signal = 0;
  const auto kept = run_here(command, std::move(request), std::move(options), show, signal);
  if (!kept) return complain(kept.error());
  const model::Report& report = **kept;
  if (signal != 0) return 128 + signal;
  return exit_for(report, command.options.allow_incomplete);
}

}  // namespace

void add_try(CLI::App& app, const Globals& globals, Chosen& chosen) {
  auto* verb =
      app.add_subcommand("try", "test targets once from this host: todd try ping 192.0.2.1 --count 10");
  verb->require_subcommand(1);
  const auto testlets = std::make_shared<std::map<std::string, manifest::Testlet>>();
  for_each_host_testlet(*verb, [&](const manifest::Testlet& testlet) {
    if (!testlet.source) return;
    testlets->emplace(testlet.id, testlet);
    auto command = std::make_shared<TryCommand>();
    command->testlet = testlet;
    command->testlets = testlets;
    auto* sub = verb->add_subcommand(testlet.id, testlet.summary);
    auto& o = command->options;
    sub->add_option("targets", o.targets, "addresses, names, HOST:PORT, CIDR, A-B, URLs or @FILE")
        ->required();
    sub->add_option("--from", o.from, "run it from the agents of this group, through the coordinator");
    sub->add_option("--expect", o.expect, "an expectation, e.g. 'p99(rtt) < 20ms' (repeatable)")
        ->allow_extra_args(false);
    sub->add_option("--alongside", o.alongside,
                    "another test beside it on the same edges, e.g. ping or 'ping interval=10ms before=1s' "
                    "(repeatable)")
        ->type_name("'TESTLET [PARAM=VALUE]...'")
        ->allow_extra_args(false);
    sub->add_option("-o,--output", o.output, "table, json or jsonl");
    sub->add_option("--engine", o.engine, io::kEngineHelp);
    sub->add_flag("--unprivileged", o.unprivileged, "without CAP_NET_RAW, though this process may have it");
    add_secrets(*sub, o.secrets);
    sub->add_option("--threads", o.threads, "at most so many threads probe; 0: one for each core")
        ->check(CLI::Range(0, 256));
    const auto take = [command](const char* family) {
      std::string& wanted = command->options.family;
      wanted = wanted.empty() || wanted == family ? family : "both";
    };
    sub->add_flag_callback(
        "-4", [take] { take("v4"); }, "IPv4 addresses only; with -6 each target twice");
    sub->add_flag_callback(
        "-6", [take] { take("v6"); }, "IPv6 addresses only; with -4 each target twice");
    sub->add_flag("--allow-incomplete", o.allow_incomplete, "exit 0 where an expectation cannot be judged");
    sub->add_flag("--yes", o.yes, "more than 65,536 targets are meant");
    command->params = std::make_unique<ParamFlags>(*sub, testlet, true);
    sub->callback([command, &globals, &chosen] {
      chosen.action = [command, &globals] { return try_testlet(*command, globals); };
    });
  });
}

}  // namespace todd::cli
