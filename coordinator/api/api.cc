#include "coordinator/api/api.h"

#include "coordinator/fleet/link_server.h"
#include "coordinator/model/json.h"
#include "coordinator/model/yaml.h"
#include "coordinator/run/runs.h"
#include "coordinator/sink/sink_set.h"
#include "coordinator/store/definitions.h"

namespace todd::api {
namespace {

void get_version(const Services& services, const Call& call) {
  std::string out;
  model::JsonWriter(out).begin_object().field("version", services.version).field("api", "v1").end_object();
  call.ok(std::move(out));
}

void get_health(const Services& services, const Call& call) {
  std::string out;
  model::JsonWriter json(out);
  const auto agents = services.fleet.agents();
  int64_t connected = 0;
  for (const auto& facts : agents) connected += facts.connected ? 1 : 0;
  int64_t open_runs = 0;
  for (const auto& run : services.runs.list()) open_runs += run.state == model::RunState::running ? 1 : 0;
  const auto broken = services.definitions.broken();
  json.begin_object().field("status", broken.empty() ? "ok" : "degraded");
  json.key("agents").begin_object().field("enrolled", static_cast<int64_t>(agents.size()));
  json.field("connected", connected).end_object();
  json.field("open_runs", open_runs);
  json.key("broken_definitions").begin_array();
  for (const auto& b : broken) json.begin_object().field("path", b.path).field("error", b.error).end_object();
  json.end_array().key("sinks").begin_array();
  if (services.sinks) {
    for (const auto& sink : services.sinks->health()) {
      json.begin_object()
          .field("name", sink.name)
          .field("state", sink.state)
          .field("last_error", sink.last_error);
      json.field("delivered", sink.delivered).field("pending", sink.pending).field("dead", sink.dead);
      json.field("dropped", sink.dropped).end_object();
    }
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

}  // namespace

void add_service_routes(Router& router, Services& services) {
  router.add("GET", "version", Router::Body::none, [&](const Call& call) { get_version(services, call); });
  router.add("GET", "health", Router::Body::none, [&](const Call& call) { get_health(services, call); });
}

Api::Api(Services services) : services_(std::move(services)) {
  add_fleet_routes(router_, services_);
  add_definition_routes(router_, services_);
  add_run_routes(router_, services_);
  add_service_routes(router_, services_);
}

size_t Api::body_limit(const Request& head) {
  if (head.path == "/api/v1/apply") return model::YamlLimits{}.max_bytes;
  if (head.path == "/api/v1/runs") return 2 * model::YamlLimits{}.max_bytes;
  return size_t{1} << 20;
}

}  // namespace todd::api
