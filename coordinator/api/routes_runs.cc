#include <charconv>

#include <fmt/format.h>

#include "coordinator/api/api.h"
#include "coordinator/api/run_events.h"
#include "coordinator/api/run_order.h"
#include "coordinator/fleet/link_server.h"
#include "coordinator/model/json.h"
#include "coordinator/run/runs.h"
#include "coordinator/store/definitions.h"

namespace todd::api {
namespace {

constexpr size_t kListLimit = 1000;
constexpr size_t kPieceBytes = 256 * 1024;
constexpr const char* kLines = "application/x-ndjson";

Result<size_t> parse_limit(const std::string& text) {
  if (text.empty()) return 100;
  size_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error != std::errc() || end != text.data() + text.size() || limit == 0 || limit > kListLimit) {
    return fail(Errc::invalid, fmt::format("limit: expected a number from 1 to {}", kListLimit));
  }
  return limit;
}

void list_runs(const Services& services, const Call& call) {
  const auto limit = parse_limit(call.query("limit"));
  if (!limit) return call.error(limit.error());
  const std::string suite = call.query("suite");
  std::string out;
  model::JsonWriter json(out);
  size_t written = 0;
  json.begin_object().key("runs").begin_array();
  for (const auto& run : services.runs.list()) {
    if (!suite.empty() && run.suite != suite) continue;
    if (written++ == *limit) break;
    json.begin_object().field("id", run.id).field("suite", run.suite).field("state", name_of(run.state));
    json.field("verdict", model::verdict_name(run.verdict)).key("started_at").time(run.started_at_ns);
    json.key("finished_at").time(run.finished_at_ns).field("waiting", run.waiting).end_object();
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

// What --dry-run shows.
std::string plan_json(const ChosenSuite& chosen, const std::vector<model::TestPlan>& plans) {
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().field("suite", chosen.suite.name).field("text", model::plan_text(chosen.suite, plans));
  json.key("tests").begin_array();
  for (const auto& plan : plans) {
    json.begin_object().field("name", plan.label).field("testlet", plan.testlet.id);
    if (!plan.alongside.empty()) {
      json.field("alongside", plan.alongside);
      json.field("before_s", static_cast<double>(plan.test.before_ns) * 1e-9);
      json.field("after_s", static_cast<double>(plan.test.after_ns) * 1e-9);
    }
    model::write_params(json, model::params_of(plan));
    json.field("edges", static_cast<uint64_t>(plan.edges.size()));
    json.field("duration_s", static_cast<double>(plan.duration_ns) * 1e-9).field("warnings", plan.warnings);
    json.key("loads").begin_array();
    for (const auto& load : plan.loads) {
      json.begin_object().field("agent", load.agent).field("role", load.responder ? "responder" : "source");
      json.field("edges", load.edges).field("targets", load.targets);
      json.field("packets_per_s", load.packets_per_s).field("bits_per_s", load.bits_per_s).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
  return out;
}

Result<ChosenSuite> choose(const Services& services, const RunOrder& order) {
  if (!order.document.empty()) return read_document(order, services.definitions.groups());
  auto suite = services.definitions.suite(order.suite);
  if (!suite) return tl::unexpected(suite.error());
  const auto definition = services.definitions.get("Suite", order.suite);
  if (!definition) return tl::unexpected(definition.error());
  return ChosenSuite{std::move(*suite), services.definitions.groups(), definition->text};
}

void post_run(const Services& services, const Call& call) {
  const auto order = parse_run_order(call.request.body);
  if (!order) return call.error(order.error());
  const auto chosen = choose(services, *order);
  if (!chosen) return call.error(chosen.error());
  const auto agents = services.fleet.agents();
  auto plans = model::plan_suite(chosen->suite, chosen->groups, agents, services.fleet.testlets(),
                                 order->sets, order->only);
  if (!plans) return call.error(plans.error());
  if (order->dry_run) return call.ok(plan_json(*chosen, *plans));
  auto request = make_request(*order, *chosen, std::move(*plans), agents, services.fleet.testlet_hashes());
  if (!request) return call.error(request.error());
  const auto id = services.runs.create(std::move(*request));
  if (!id) return call.error(id.error());
  std::string out;
  model::JsonWriter(out).begin_object().field("id", *id).field("suite", chosen->suite.name).end_object();
  call.ok(std::move(out), 201);
}

bool wants_lines(const Request& request) {
  return request.header("accept").find(kLines) != std::string::npos;
}

// Every edge, however many.
void send_lines(const Call& call, std::shared_ptr<const model::Report> report,
                const model::ReportOptions& options) {
  Response head;
  head.content_type = kLines;
  call.reply->send_pieces(std::move(head),
                          [report, lines = model::ReportLines(*report, options)](std::string& out) mutable {
                            while (out.size() < kPieceBytes && lines.next(out)) continue;
                            return !out.empty();
                          });
}

void show_run(const Services& services, const Call& call) {
  const auto id = services.runs.resolve(call.args[0]);
  if (!id) return call.error(id.error());
  const bool periods = call.query("periods") == "1";
  const bool samples = call.query("samples") == "1";
  const auto report = services.runs.report(*id, periods);
  if (!report) return call.error(report.error());
  const model::ReportOptions options{.periods = periods, .samples = samples};
  if (wants_lines(call.request)) return send_lines(call, *report, options);
  std::string out;
  model::JsonWriter json(out);
  model::write_report(json, **report, options);
  call.ok(std::move(out));
}

void cancel_run(const Services& services, const Call& call) {
  const auto id = services.runs.resolve(call.args[0]);
  if (!id) return call.error(id.error());
  const std::string because = call.query("because");
  if (!because.empty() && because != "deadline")
    return call.error({Errc::invalid, 0, "because: expected deadline, or nothing"});
  const auto why = because.empty() ? run::Runs::Because::asked : run::Runs::Because::deadline;
  if (const auto status = services.runs.cancel(*id, why); !status) return call.error(status.error());
  std::string out;
  model::JsonWriter(out).begin_object().field("id", *id).end_object();
  call.ok(std::move(out), 202);
}

void delete_run(const Services& services, const Call& call) {
  const auto id = services.runs.resolve(call.args[0]);
  if (!id) return call.error(id.error());
  if (const auto status = services.runs.remove(*id); !status) return call.error(status.error());
  std::string out;
  model::JsonWriter(out).begin_object().field("id", *id).end_object();
  call.ok(std::move(out));
}

void run_events(const Services& services, const Call& call) {
  const auto id = services.runs.resolve(call.args[0]);
  if (!id) return call.error(id.error());
  const auto status = send_run_events(services.loop, services.runs, *id, *call.reply);
  if (!status) call.error(status.error());
}

}  // namespace

void add_run_routes(Router& router, Services& services) {
  using Body = Router::Body;
  const auto add = [&](const char* method, const char* pattern, Body body, auto function) {
    router.add(method, pattern, body, [&services, function](const Call& call) { function(services, call); });
  };
  add("GET", "runs", Body::none, list_runs);
  add("POST", "runs", Body::json, post_run);
  add("POST", "runs/{}:cancel", Body::none, cancel_run);
  add("GET", "runs/{}/events", Body::none, run_events);
  add("GET", "runs/{}", Body::none, show_run);
  add("DELETE", "runs/{}", Body::none, delete_run);
}

}  // namespace todd::api
