#include "coordinator/api/run_order.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <simdjson.h>

#include "engine/io/pki.h"
#include "engine/manifest/nearest.h"

namespace todd::api {
namespace {
namespace dom = simdjson::dom;

const std::vector<std::string> kKeys{"suite",  "document", "origin",  "hosts_files", "set",      "only",
                                     "labels", "trigger",  "dry_run", "check",       "max_edges"};

tl::unexpected<Error> wrong(std::string_view key, const char* wanted) {
  return fail(Errc::invalid, fmt::format("{}: expected {}", key, wanted));
}

Status take_text(std::string_view key, dom::element value, std::string& out) {
  std::string_view text;
  if (value.get(text)) return wrong(key, "text");
  out = std::string(text);
  return {};
}

Status take_flag(std::string_view key, dom::element value, bool& out) {
  if (value.get(out)) return wrong(key, "true or false");
  return {};
}

Status take_amount(std::string_view key, dom::element value, uint64_t& out) {
  if (value.get(out) || out == 0) return wrong(key, "a whole number from 1");
  return {};
}

Status take_map(std::string_view key, dom::element value, std::map<std::string, std::string>& out) {
  dom::object object;
  if (value.get(object)) return wrong(key, "an object of texts");
  for (const auto field : object) {
    std::string_view text;
    if (field.value.get(text)) return wrong(fmt::format("{}.{}", key, field.key), "text");
    if (!out.emplace(field.key, text).second)
      return wrong(fmt::format("{}.{}", key, field.key), "the key once");
  }
  return {};
}

Status take_list(std::string_view key, dom::element value, std::vector<std::string>& out) {
  dom::array array;
  if (value.get(array)) return wrong(key, "a list of texts");
  for (const auto item : array) {
    std::string_view text;
    if (item.get(text)) return wrong(key, "a list of texts");
    out.emplace_back(text);
  }
  return {};
}

Status take_trigger(dom::element value, model::Trigger& out) {
  std::string name;
  if (auto status = take_text("trigger", value, name); !status) return status;
  const auto trigger = model::parse_enum<model::Trigger>(name);
  if (!trigger) return wrong("trigger", "manual, schedule or api");
  out = *trigger;
  return {};
}

Status take_field(std::string_view key, dom::element value, RunOrder& order) {
  if (key == "suite") return take_text(key, value, order.suite);
  if (key == "document") return take_text(key, value, order.document);
  if (key == "origin") return take_text(key, value, order.origin);
  if (key == "hosts_files") return take_map(key, value, order.hosts_files);
  if (key == "set") return take_map(key, value, order.sets);
  if (key == "only") return take_list(key, value, order.only);
  if (key == "labels") return take_map(key, value, order.labels);
  if (key == "trigger") return take_trigger(value, order.trigger);
  if (key == "dry_run") return take_flag(key, value, order.dry_run);
  if (key == "check") return take_flag(key, value, order.check);
  if (key == "max_edges") return take_amount(key, value, order.max_edges);
  const std::string name(key);
  return fail(Errc::invalid, fmt::format("unknown key {}{}", name, manifest::did_you_mean(name, kKeys)));
}

// Equal texts have equal digests; the key only says what the digest is of.
std::string digest(const std::string& text) { return io::hmac_sha256_hex("todd.suite/1", text); }

// The place of a document's group in the list of all, by name.
void put_group(std::vector<model::Group>& groups, model::Group group) {
  const auto same =
      std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.name == group.name; });
  if (same == groups.end()) {
    groups.push_back(std::move(group));
  } else {
    *same = std::move(group);
  }
}

}  // namespace

Result<RunOrder> parse_run_order(std::string_view json) {
  dom::parser parser;
  dom::object object;
  const simdjson::padded_string padded(json);
  if (const auto error = parser.parse(padded).get(object)) {
    return fail(Errc::invalid, fmt::format("the body is no JSON object: {}", simdjson::error_message(error)));
  }
  RunOrder order;
  std::set<std::string_view> seen;
  for (const auto field : object) {
    if (!seen.insert(field.key).second) return wrong(field.key, "the key once");
    if (auto status = take_field(field.key, field.value, order); !status)
      return tl::unexpected(status.error());
  }
  if (order.suite.empty() == order.document.empty()) {
    return fail(Errc::invalid, "expected either suite (the name of a stored one) or document (its text)");
  }
  if (order.dry_run && order.check) return fail(Errc::invalid, "dry_run and check exclude each other");
  return order;
}

Result<ChosenSuite> read_document(const RunOrder& order, std::vector<model::Group> stored) {
  auto documents = model::parse_documents(order.document, order.origin);
  if (!documents) return tl::unexpected(documents.error());
  if (documents->suites.size() != 1) {
    return fail(Errc::invalid,
                fmt::format("{}: expected one suite, found {}; `todd apply` stores several, then run one "
                            "by its name",
                            order.origin, documents->suites.size()));
  }
  ChosenSuite chosen{std::move(documents->suites[0]), std::move(stored), order.document};
  for (auto& group : documents->groups) {
    if (!group.hosts_file.empty()) {
      const auto file = order.hosts_files.find(group.hosts_file);
      if (file == order.hosts_files.end()) {
        return fail(Errc::invalid, model::at(order.origin, group.position,
                                             fmt::format("group {}: its hosts_file {} was not sent along",
                                                         group.name, group.hosts_file)));
      }
      if (auto status = model::add_hosts(group, file->second, file->first); !status) {
        return tl::unexpected(status.error());
      }
    }
    put_group(chosen.groups, std::move(group));
  }
  return chosen;
}

Result<run::Request> make_request(const RunOrder& order, const ChosenSuite& chosen,
                                  std::vector<model::TestPlan> plans, const std::vector<model::Facts>& agents,
                                  const std::map<std::string, std::string>& manifest_hashes) {
  std::set<std::string> named;
  for (const auto& plan : plans) {
    for (const auto& edge : plan.edges) {
      named.insert(edge.source.agent);
      if (!edge.target_agent.agent.empty()) named.insert(edge.target_agent.agent);
    }
  }
  if (named.empty()) {
    return fail(Errc::not_found,
                fmt::format("suite {}: nothing to test: no agent matches the groups it is from, or "
                            "there is no target; `todd groups` shows members",
                            chosen.suite.name));
  }
  const uint64_t edges = model::report_edges(plans);
  if (order.max_edges > 0 && edges > order.max_edges) {
    return fail(Errc::invalid,
                fmt::format("suite {}: these are {} edges, more than {}; add --yes if you mean it",
                            chosen.suite.name, edges, order.max_edges));
  }
  run::Request request;
  request.suite = chosen.suite.name;
  request.spec_digest = digest(chosen.text);
  request.trigger = order.trigger;
  request.labels = chosen.suite.labels;
  for (const auto& [key, value] : order.labels) request.labels[key] = value;
  if (!order.document.empty()) request.labels.emplace("adhoc", "true");
  request.plans = std::move(plans);
  request.manifest_hashes = manifest_hashes;
  for (const auto& facts : agents) {
    if (named.count(facts.agent) > 0) request.agents.push_back(facts);
  }
  request.check_only = order.check;
  return request;
}

}  // namespace todd::api
