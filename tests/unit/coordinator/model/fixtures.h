#pragma once
// A small fleet and two testlets, for the tests of this folder.

#include <map>
#include <string>
#include <vector>

#include "coordinator/model/facts.h"
#include "coordinator/model/objects.h"
#include "engine/manifest/manifest.h"

namespace todd::model {

inline manifest::Param param(std::string name, manifest::ParamType type, std::string dflt = "") {
  manifest::Param result;
  result.name = std::move(name);
  result.type = type;
  result.dflt = std::move(dflt);
  return result;
}

inline manifest::Metric metric(std::string name, std::string unit, stats::Kind kind) {
  manifest::Metric result;
  result.name = std::move(name);
  result.unit = std::move(unit);
  result.kind = kind;
  return result;
}

// Driven by tickets, with the standard probe metrics and one metric of each further kind.
inline manifest::Testlet ping_testlet() {
  manifest::Testlet ping;
  ping.id = "ping";
  ping.version = "1.0";
  ping.source = ping.responder = ping.probes = true;
  ping.schedule.tickets = true;
  ping.schedule.count = "10";
  ping.schedule.interval = "1s";
  ping.schedule.timeout = "1s";
  ping.default_expect = {"loss < 100%"};
  ping.params = {
      param("size", manifest::ParamType::size, "56"), param("mode", manifest::ParamType::text, "icmp"),
      param("header", manifest::ParamType::text, ""), param("password", manifest::ParamType::text, "")};
  ping.params[3].secret = true;
  ping.params[2].pattern = "[A-Z]: .*";
  ping.params[2].repeat = true;
  ping.params[1].pattern = "icmp|udp(-[0-9])?";
  ping.params[1].doc = "What is sent.";
  ping.metrics = manifest::probe_metrics();
  ping.metrics.push_back(metric("rtt", "ns", stats::Kind::histogram));
  ping.metrics.push_back(metric("rtt_spread", "ns", stats::Kind::spread));
  ping.metrics.back().histogram = "rtt", ping.metrics.back().low = 0.5, ping.metrics.back().high = 0.95;
  ping.metrics.push_back(metric("errors", "{error}", stats::Kind::breakdown));
  ping.metrics.push_back(metric("kinds", "{error}", stats::Kind::breakdown));
  ping.metrics.back().keys = {"refused", "reset", "timeout"};
  ping.metrics.push_back(metric("ttl", "1", stats::Kind::gauge));
  ping.metrics.push_back(metric("bytes", "By", stats::Kind::counter));
  ping.metrics.push_back(metric("throughput", "bit/s", stats::Kind::gauge));
  ping.metrics.push_back(metric("stack", "", stats::Kind::info));
  return ping;
}

inline manifest::Testlet iperf_testlet() {
  manifest::Testlet iperf;
  iperf.id = "iperf";
  iperf.version = "1.0";
  iperf.source = iperf.responder = iperf.heavy = true;
  iperf.params = {param("bitrate", manifest::ParamType::bitrate, "0"),
                  param("protocol", manifest::ParamType::text, "tcp")};
  iperf.metrics = {metric("throughput", "bit/s", stats::Kind::gauge)};
  iperf.default_expect = {"throughput > 0"};
  iperf.schedule.duration = "10s";
  return iperf;
}

inline std::map<std::string, manifest::Testlet> testlets() {
  return {{"ping", ping_testlet()}, {"iperf", iperf_testlet()}};
}

inline Facts agent(std::string name, std::vector<std::string> addresses,
                   std::map<std::string, std::string> labels = {}) {
  Facts facts;
  facts.agent = name;
  facts.id = "id-" + name;
  facts.hostname = name + ".example.net";
  facts.os = "linux";
  facts.kernel = "6.1.0";
  facts.version = "0.1.0";
  facts.addresses = addresses;
  facts.test_addresses = std::move(addresses);
  facts.labels = std::move(labels);
  facts.connected = true;
  return facts;
}

// Three branches and two data centres; branch-3 has IPv4 only.
inline std::vector<Facts> fleet() {
  return {agent("branch-1", {"192.0.2.1", "2001:db8::1"}, {{"site", "branch-east"}}),
          agent("branch-2", {"192.0.2.2", "2001:db8::2"}, {{"site", "branch-west"}}),
          agent("branch-3", {"192.0.2.3"}, {{"site", "branch-west"}}),
          agent("dc-1", {"198.51.100.1", "2001:db8:d::1"}, {{"site", "dc"}, {"role", "core"}}),
          agent("dc-2", {"198.51.100.2", "2001:db8:d::2"}, {{"site", "dc"}})};
}

inline constexpr const char* kGroups = R"(apiVersion: todd/v1
kind: Group
metadata: {name: branches}
spec:
  match: {label: {site: "branch-*"}}
---
apiVersion: todd/v1
kind: Group
metadata: {name: datacenters}
spec: {match: {agent: "/dc-[0-9]+/"}}
---
apiVersion: todd/v1
kind: Group
metadata: {name: routers}
spec: {hosts: [{name: r1, address: 203.0.113.1, labels: {site: x}}, r2.example.net]}
---
apiVersion: todd/v1
kind: Group
metadata: {name: nobody}
spec: {match: {label: {site: moon}}}
)";

inline std::vector<Group> groups() { return parse_documents(kGroups, "groups.yaml").value().groups; }

}  // namespace todd::model
