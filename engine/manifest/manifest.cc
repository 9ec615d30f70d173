#include "engine/manifest/manifest.h"

#include <algorithm>

#include "engine/base/check.h"

namespace todd::manifest {
namespace {

template <class T>
const T* by_name(const std::vector<T>& all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const T& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

Param host_param(const char* name, ParamType type, const char* dflt, const char* min, const char* max,
                 const char* doc) {
  Param param;
  param.name = name;
  param.type = type;
  param.dflt = dflt;
  param.min = min;
  param.max = max;
  param.doc = doc;
  return param;
}

Metric probe_counter(const char* name, const char* doc) {
  Metric metric;
  metric.name = name;
  metric.unit = "{probe}";
  metric.doc = doc;
  metric.host = true;
  return metric;
}

// Nobody asks it of one among very many, and a counter more would cost each of them 4 bytes.
Metric byte_counter(const char* name, const char* doc) {
  Metric metric = probe_counter(name, doc);
  metric.unit = "By";
  metric.only_total = true;
  return metric;
}

Param host_choice(const char* name, std::vector<std::string> choices, const char* doc) {
  Param param = host_param(name, ParamType::choice, choices.front().c_str(), "", "", doc);
  param.choices = std::move(choices);
  return param;
}

}  // namespace

const char* param_type_name(ParamType type) {
  switch (type) {
    case ParamType::boolean: return "boolean";
    case ParamType::integer: return "integer";
    case ParamType::real: return "real";
    case ParamType::text: return "text";
    case ParamType::duration: return "duration";
    case ParamType::size: return "size";
    case ParamType::rate: return "rate";
    case ParamType::bitrate: return "bitrate";
    case ParamType::ratio: return "ratio";
    case ParamType::choice: return "choice";
  }
  TODD_CHECK(!"a parameter type");
  __builtin_unreachable();
}

const Param* Testlet::param(std::string_view name) const { return by_name(params, name); }
const Metric* Testlet::metric(std::string_view name) const { return by_name(metrics, name); }

const Testlet* Manifest::testlet(std::string_view id) const {
  const auto found =
      std::find_if(testlets.begin(), testlets.end(), [&](const Testlet& one) { return one.id == id; });
  return found == testlets.end() ? nullptr : &*found;
}

const std::vector<Param>& host_params() {
  using enum ParamType;
  // Interval and rate end where no lane can follow (a million probes per second of one edge, 100 million of a
  // source): beyond, all a schedule does is count what it skips. "rate: max" is the way to ask for as much as
  // there is.
  static const std::vector<Param> params = {
      host_param("count", integer, "", "1", "", "How many probes per edge."),
      host_param("requests", integer, "", "1", "",
                 "Another word for count, where targets may be URLs. Excludes count."),
      host_param("interval", duration, "1s", "1us", "3650d",
                 "Time between two probes of an edge. Excludes rate."),
      host_param("rate", rate, "", "0.0001", "100M",
                 "Probes per second of a source over all its edges, or max. Excludes interval."),
      host_choice("shape", {"periodic", "poisson", "uniform"},
                  "How the probes of an edge lie in time: one interval apart (periodic), gaps drawn from the "
                  "exponential distribution with the interval as their mean (poisson), or each at a random "
                  "point of its interval (uniform)."),
      host_param("burst", integer, "1", "1", "1000",
                 "Probes of an edge sent back to back each interval; count stays the number of probes."),
      host_param("duration", duration, "", "1ms", "3650d",
                 "How long the test sends; with count, the first reached ends it."),
      host_param("ramp", duration, "", "1ms", "1d",
                 "Time in which the pace rises evenly from nothing to what it is."),
      host_param("warm_up", duration, "", "1ms", "1d",
                 "Time in which it is probed as later, before anything is counted."),
      host_param("timeout", duration, "1s", "1us", "1d",
                 "How long an answer may take; may exceed the interval."),
      host_param("samples", text, "none", "", "", "Single measurements to keep: none, all or how many."),
      host_choice("stamps", {"exact", "sampled", "user"},
                  "How departures are timed: by the kernel for each probe (exact) or for one in 32, from "
                  "which the others "
                  "are corrected (sampled), or by the clock of the program (user)."),
      host_param("source", text, "", "", "", "An address of the sending host to send from."),
      host_param("interface", text, "", "", "", "The network interface of the sending host to send through."),
      host_param("mark", integer, "0", "0", "4294967295",
                 "Firewall mark of the packets, which rules of routing (ip rule fwmark) and firewall see; 0: "
                 "none. Needs CAP_NET_ADMIN or CAP_NET_RAW."),
      host_param("flow_label", integer, "0", "0", "1048575",
                 "Flow label of the packets, by which routers choose among equal ways; of IPv6 alone. 0: the "
                 "system chooses."),
      host_choice("df", {"system", "set", "clear"},
                  "Don't fragment: set, packets leave whole or not at all, whatever path MTU is known; "
                  "clear, they may be cut."),
      host_choice(
          "via", {"auto", "socket", "packet"},
          "How ICMP probes over IPv4 leave: through a socket, or as frames past this host's routing and "
          "firewall (packet), where its routes allow; auto does so above 100,000 probes/s."),
      host_param("period", duration, "1s", "10ms", "", "How often results are reported while the test runs."),
  };
  return params;
}

stats::CellLayout cell_layout(const Testlet& testlet, uint32_t edges, uint32_t sample_slots,
                              uint32_t task_edges) {
  std::vector<stats::Kind> kinds;
  std::vector<bool> only_total;
  for (const Metric& metric : testlet.metrics) {
    kinds.push_back(metric.kind);
    only_total.push_back(metric.only_total);
  }
  return {std::move(kinds), edges, sample_slots, only_total, task_edges > stats::kTwoBankEdges};
}

const std::vector<Metric>& probe_metrics() {
  static const std::vector<Metric> metrics = [] {
    std::vector<Metric> all = {
        probe_counter("planned", "Probes that should have been sent."),
        probe_counter("unsent", "Probes planned but not sent, by our own fault."),
        probe_counter("sent", "Probes sent."),
        probe_counter("received", "Probes answered in time."),
        probe_counter("lost", "Probes without an answer within the timeout."),
        probe_counter("late", "Lost probes whose answer came after the timeout."),
        probe_counter("duplicate", "Further answers to an answered probe."),
        probe_counter("undetermined", "Unanswered probes while this host dropped packets."),
    };
    Metric loss;
    loss.name = "loss";
    loss.unit = "1";
    loss.doc = "The part of the sent probes that was lost.";
    loss.kind = stats::Kind::ratio;
    loss.numerator = "lost";
    loss.denominator = "sent";
    loss.host = true;
    all.push_back(loss);
    all.push_back(byte_counter("sent_bytes", "IP packets of the datagrams in sent, headers included."));
    all.push_back(byte_counter(
        "received_bytes", "IP packets of the replies in received, late and duplicate, headers included."));
    return all;
  }();
  return metrics;
}

std::span<const Metric> host_metrics(const Testlet& testlet) {
  const std::span<const Metric> all = probe_metrics();
  return all.first(testlet.probes ? all.size() : testlet.schedule.tickets ? 2 : 0);
}

}  // namespace todd::manifest
