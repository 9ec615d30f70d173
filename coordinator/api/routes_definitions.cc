#include <map>

#include <fmt/format.h>

#include "coordinator/api/api.h"
#include "coordinator/fleet/link_server.h"
#include "coordinator/model/expand.h"
#include "coordinator/model/json.h"
#include "coordinator/model/match.h"
#include "coordinator/store/definitions.h"
#include "engine/manifest/nearest.h"

namespace todd::api {
namespace {

// Hosts files lie where the command runs, not here; and a path in a request must never make this process read
// a file.
Status refuse_hosts_files(const std::string& text, const std::string& origin) {
  const auto documents = model::parse_documents(text, origin);
  if (!documents) return tl::unexpected(documents.error());
  for (const auto& group : documents->groups) {
    if (group.hosts_file.empty()) continue;
    return fail(
        Errc::unsupported,
        model::at(
            origin, group.position,
            fmt::format("group {}: hosts_file works in files given to `todd run`; a stored group lists its "
                        "hosts itself: hosts: [{{name: ..., address: ...}}]",
                        group.name)));
  }
  return {};
}

std::string origin_of(const Call& call, const std::string& fallback) {
  const std::string origin = call.query("origin");
  return origin.empty() ? fallback : origin;
}

void write_group(model::JsonWriter& json, const model::Group& group, const std::vector<model::Facts>& agents,
                 bool with_members) {
  json.field("name", group.name).field("kind", group.is_plain() ? "hosts" : "agents");
  const auto names = group.is_plain() ? Result<std::vector<std::string>>(std::vector<std::string>())
                                      : model::members(group, agents);
  if (!names) json.field("error", names.error().detail);
  const size_t count = group.is_plain() ? group.hosts.size() : names ? names->size() : 0;
  json.field("member_count", static_cast<int64_t>(count));
  if (!with_members) return;
  json.key("members").begin_array();
  if (group.is_plain()) {
    for (const auto& host : group.hosts) {
      json.begin_object().field("name", host.name).field("address", host.address).end_object();
    }
  } else if (names) {
    for (const auto& name : *names) json.begin_object().field("name", name).end_object();
  }
  json.end_array();
}

Result<model::Group> find_group(store::Definitions& definitions, const std::string& name) {
  std::vector<std::string> names;
  for (auto& group : definitions.groups()) {
    if (group.name == name) return std::move(group);
    names.push_back(group.name);
  }
  return fail(Errc::not_found,
              fmt::format("there is no group {}{}", name, manifest::did_you_mean(name, names)));
}

void list_groups(const Services& services, const Call& call) {
  const auto agents = services.fleet.agents();
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().key("groups").begin_array();
  for (const auto& group : services.definitions.groups()) {
    json.begin_object();
    write_group(json, group, agents, false);
    json.end_object();
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

void show_group(const Services& services, const Call& call) {
  const auto group = find_group(services.definitions, call.args[0]);
  if (!group) return call.error(group.error());
  const auto definition = services.definitions.get("Group", call.args[0]);
  if (!definition) return call.error(definition.error());
  std::string out;
  model::JsonWriter json(out);
  json.begin_object();
  write_group(json, *group, services.fleet.agents(), true);
  json.field("definition", definition->text).end_object();
  call.ok(std::move(out));
}

void explain_group(const Services& services, const Call& call) {
  const auto group = find_group(services.definitions, call.args[0]);
  if (!group) return call.error(group.error());
  const auto agent = services.fleet.details(call.args[1]);
  if (!agent) return call.error(agent.error());
  const auto text = model::explain(*group, agent->facts);
  if (!text) return call.error(text.error());
  const bool member = group->match && model::matches(*group->match, agent->facts).value_or(false);
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().field("group", group->name).field("agent", call.args[1]).field("member", member);
  json.field("explanation", *text).end_object();
  call.ok(std::move(out));
}

void list_suites(const Services& services, const Call& call) {
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().key("suites").begin_array();
  for (const auto& suite : services.definitions.suites()) {
    json.begin_object().field("name", suite.name).key("tests").begin_array();
    for (const auto& test : suite.tests) {
      json.begin_object().field("name", test.name).field("testlet", test.testlet).end_object();
    }
    json.end_array().end_object();
  }
  json.end_array().end_object();
  call.ok(std::move(out));
}

void show_suite(const Services& services, const Call& call) {
  const auto definition = services.definitions.get("Suite", call.args[0]);
  if (!definition) return call.error(definition.error());
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().field("name", definition->name).field("definition", definition->text).end_object();
  call.ok(std::move(out));
}

using Texts = std::map<std::pair<std::string, std::string>, std::string>;  // by kind and name

const char* change_of(const Texts& before, const model::Definition& definition) {
  const auto found = before.find({definition.kind, definition.name});
  if (found == before.end()) return "created";
  return found->second == definition.text ? "unchanged" : "changed";
}

void apply(const Services& services, const Call& call) {
  const std::string origin = origin_of(call, "request");
  if (const auto status = refuse_hosts_files(call.request.body, origin); !status)
    return call.error(status.error());
  const auto definitions = model::split_definitions(call.request.body, origin);
  if (!definitions) return call.error(definitions.error());
  if (definitions->empty()) return call.error({Errc::invalid, 0, origin + ": holds no group and no suite"});
  Texts before;
  for (auto& there : services.definitions.list()) before[{there.kind, there.name}] = std::move(there.text);
  std::string out;
  model::JsonWriter json(out);
  json.begin_object().key("applied").begin_array();
  for (const auto& definition : *definitions) {
    json.begin_object().field("kind", definition.kind).field("name", definition.name);
    json.field("change", change_of(before, definition)).end_object();
  }
  json.end_array().end_object();
  if (const auto status = services.definitions.put_all(*definitions); !status)
    return call.error(status.error());
  call.ok(std::move(out));
}

void put(const Services& services, const Call& call, const std::string& kind) {
  const std::string origin = origin_of(call, call.args[0]);
  if (const auto status = refuse_hosts_files(call.request.body, origin); !status)
    return call.error(status.error());
  const auto definitions = model::split_definitions(call.request.body, origin);
  if (!definitions) return call.error(definitions.error());
  if (definitions->size() != 1 || definitions->front().kind != kind ||
      definitions->front().name != call.args[0]) {
    return call.error(
        {Errc::invalid, 0,
         fmt::format("{}: expected one document, the {} {}; to store several use POST /api/v1/apply", origin,
                     kind, call.args[0])});
  }
  const bool created = !services.definitions.get(kind, call.args[0]);
  if (const auto status = services.definitions.put(definitions->front()); !status)
    return call.error(status.error());
  std::string out;
  model::JsonWriter(out).begin_object().field("kind", kind).field("name", call.args[0]).end_object();
  call.ok(std::move(out), created ? 201 : 200);
}

void remove(const Services& services, const Call& call, const std::string& kind) {
  const auto status = services.definitions.remove(kind, call.args[0]);
  if (!status) return call.error(status.error());
  call.no_content();
}

}  // namespace

void add_definition_routes(Router& router, Services& services) {
  using Body = Router::Body;
  const auto add = [&](const char* method, const char* pattern, Body body, auto function) {
    router.add(method, pattern, body, [&services, function](const Call& call) { function(services, call); });
  };
  add("GET", "groups", Body::none, list_groups);
  add("GET", "groups/{}", Body::none, show_group);
  add("GET", "groups/{}/explain/{}", Body::none, explain_group);
  add("GET", "suites", Body::none, list_suites);
  add("GET", "suites/{}", Body::none, show_suite);
  add("POST", "apply", Body::yaml, apply);
  for (const auto& [noun, kind] :
       {std::pair<std::string, std::string>("groups", "Group"), {"suites", "Suite"}}) {
    router.add("PUT", noun + "/{}", Body::yaml,
               [&services, k = kind](const Call& call) { put(services, call, k); });
    router.add("DELETE", noun + "/{}", Body::none,
               [&services, k = kind](const Call& call) { remove(services, call, k); });
  }
}

}  // namespace todd::api
