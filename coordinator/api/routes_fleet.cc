#include <fmt/format.h>

#include "coordinator/api/api.h"
#include "coordinator/fleet/link_server.h"
#include "coordinator/model/json.h"
#include "engine/manifest/nearest.h"
#include "engine/manifest/units.h"

namespace todd::api {
namespace {

void write_labels(model::JsonWriter& json, const std::map<std::string, std::string>& labels) {
  json.key("labels").begin_object();
  for (const auto& [key, value] : labels) json.field(key, value);
  json.end_object();
}

void write_facts(model::JsonWriter& json, const model::Facts& facts) {
  json.field("name", facts.agent).field("id", facts.id).field("connected", facts.connected);
  json.field("hostname", facts.hostname).field("os", facts.os).field("kernel", facts.kernel);
  json.field("version", facts.version).field("addresses", facts.addresses);
  json.field("test_addresses", facts.test_addresses);
  json.field("listen_ports", fmt::format("{}-{}", facts.listen_first, facts.listen_last));
  write_labels(json, facts.labels);
}

void list_agents(const fleet::LinkServer& fleet, const Call& call) {
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().key("agents").begin_array();
  for (const auto& facts : fleet.agents()) {
    json.begin_object();
    write_facts(json, facts);
    json.end_object();
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

void show_agent(const fleet::LinkServer& fleet, const Call& call) {
  const auto details = fleet.details(call.args[0]);
  if (!details) return call.error(details.error());
  std::string out;
  model::JsonWriter json(out);
  json.begin_object();
  write_facts(json, details->facts);
  json.key("enrolled_at").time(details->enrolled_wall_ns);
  json.key("connected_since").time(details->connected_wall_ns);
  json.field("peer_address", details->peer_address);
  json.field("clock_offset_s", static_cast<double>(details->clock.offset_ns) * 1e-9);
  json.field("clock_error_s", static_cast<double>(details->clock.error_ns) * 1e-9);
  json.field("engine", details->engine).field("engine_why", details->engine_why);
  json.key("refused_testlets").begin_array();
  for (const auto& refused : details->refused) {
    json.begin_object().field("path", refused.path).field("error", refused.error).end_object();
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

void invite(fleet::LinkServer& fleet, const Call& call) {
  fleet::LinkServer::InviteOptions options;
  if (const std::string ttl = call.query("ttl"); !ttl.empty()) {
    const auto parsed = manifest::parse_duration(ttl);
    if (!parsed) return call.error({Errc::invalid, 0, "ttl: " + parsed.error().detail});
    options.ttl_ns = *parsed;
  }
  const auto token = fleet.invite(options);
  if (!token) return call.error(token.error());
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().field("token", *token).field("ttl_s", static_cast<double>(options.ttl_ns) * 1e-9);
  json.field("command", "todd-agent --join " + *token).end_object();
  call.ok(std::move(out), 201);
}

void remove_agent(fleet::LinkServer& fleet, const Call& call) {
  const auto removed = fleet.remove(call.args[0]);
  if (!removed) return call.error(removed.error());
  call.no_content();
}

void write_testlet(model::JsonWriter& json, const fleet::LinkServer& fleet,
                   const manifest::Testlet& testlet) {
  const auto hash = fleet.testlet_hashes().find(testlet.id);
  const std::string text = hash == fleet.testlet_hashes().end() ? std::string() : hash->second;
  json.field("id", testlet.id).field("version", testlet.version).field("summary", testlet.summary);
  json.field("source", testlet.source).field("responder", testlet.responder).field("heavy", testlet.heavy);
  json.field("hash", text);
}

void list_testlets(const fleet::LinkServer& fleet, const Call& call) {
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().key("testlets").begin_array();
  for (const auto& [id, testlet] : fleet.testlets()) {
    json.begin_object();
    write_testlet(json, fleet, testlet);
    json.end_object();
  }
  json.end_array().key("refused").begin_array();
  for (const auto& facts : fleet.agents()) {
    const auto details = fleet.details(facts.agent);
    if (!details) continue;
    for (const auto& refused : details->refused) {
      json.begin_object()
          .field("agent", facts.agent)
          .field("path", refused.path)
          .field("error", refused.error)
          .end_object();
    }
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

void show_testlet(const fleet::LinkServer& fleet, const Call& call) {
  const auto& testlets = fleet.testlets();
  const auto it = testlets.find(call.args[0]);
  if (it == testlets.end()) {
    std::vector<std::string> names;
    for (const auto& [id, testlet] : testlets) names.push_back(id);
    return call.error({Errc::not_found, 0,
                       fmt::format("no agent has a testlet {}{}", call.args[0],
                                   manifest::did_you_mean(call.args[0], names))});
  }
  manifest::Manifest manifest;
  manifest.testlets.push_back(it->second);
  std::string out;
  model::JsonWriter json(out);
  json.begin_object();
  write_testlet(json, fleet, it->second);
  json.key("manifest").raw(manifest::write_manifest(manifest)).end_object();
  call.ok(std::move(out));
}

}  // namespace

void add_fleet_routes(Router& router, Services& services) {
  auto& fleet = services.fleet;
  router.add("GET", "agents", Router::Body::none, [&](const Call& call) { list_agents(fleet, call); });
  router.add("POST", "agents:invite", Router::Body::none, [&](const Call& call) { invite(fleet, call); });
  router.add("GET", "agents/{}", Router::Body::none, [&](const Call& call) { show_agent(fleet, call); });
  router.add("DELETE", "agents/{}", Router::Body::none, [&](const Call& call) { remove_agent(fleet, call); });
  router.add("GET", "testlets", Router::Body::none, [&](const Call& call) { list_testlets(fleet, call); });
  router.add("GET", "testlets/{}", Router::Body::none, [&](const Call& call) { show_testlet(fleet, call); });
}

}  // namespace todd::api
