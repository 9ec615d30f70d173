#include <arpa/inet.h>
#include <net/if.h>

#include <cmath>
#include <string>

#include <fmt/format.h>

#include "engine/base/check.h"
#include "engine/manifest/params.h"
#include "engine/manifest/units.h"

namespace todd::manifest {
namespace {

using Given = std::map<std::string, std::string>;

const Param& host_param(const std::string& name) {
  for (const Param& param : host_params()) {
    if (param.name == name) return param;
  }
  TODD_CHECK(!"a host parameter");
  __builtin_unreachable();
}

// Reads one param: what was given, else the testlet's default, else the host's; zero if there is none of
// these.
Result<TypedValue> value_of(const std::string& name, const Given& given, const std::string& testlets,
                            bool use_default = true) {
  const Param& param = host_param(name);
  if (const auto text = given.find(name); text != given.end()) return parse_value(param, text->second);
  const std::string& dflt = testlets.empty() ? param.dflt : testlets;
  if (!use_default || dflt.empty()) return TypedValue{};
  return parse_value(param, dflt);
}

Result<int64_t> parse_samples(const std::string& text) {
  if (text == "none") return 0;
  if (text == "all") return -1;
  const auto n = parse_integer(text);
  if (!n || *n < 0)
    return fail(Errc::invalid,
                fmt::format("samples: \"{}\" is no amount; write none, all or a number such as 1000", text));
  return *n;
}

// Interval or rate: what was given replaces the default of both, a default rate the host's default interval.
Status resolve_pace(const Testlet& testlet, const Given& given, HostParams& out) {
  const bool has_interval = given.count("interval") > 0;
  const bool has_rate = given.count("rate") > 0;
  if (has_interval && has_rate) {
    return fail(Errc::invalid, fmt::format("interval: {} and rate: {} exclude each other; give one of them",
                                           given.at("interval"), given.at("rate")));
  }
  if (has_rate || (!has_interval && !testlet.schedule.rate.empty())) {
    const auto rate = value_of("rate", given, testlet.schedule.rate);
    if (!rate) return tl::unexpected(rate.error());
    out.rate = rate->r;
    return {};
  }
  const auto interval = value_of("interval", given, testlet.schedule.interval);
  if (!interval) return tl::unexpected(interval.error());
  out.interval_ns = interval->i;
  return {};
}

Status resolve_shape(const Given& given, HostParams& out) {
  const auto shape = value_of("shape", given, "");
  if (!shape) return tl::unexpected(shape.error());
  out.shape = static_cast<Shape>(shape->i);
  const auto burst = value_of("burst", given, "");
  if (!burst) return tl::unexpected(burst.error());
  out.burst = static_cast<uint32_t>(burst->i);
  if (std::isinf(out.rate) && (out.shape != Shape::periodic || out.burst != 1)) {
    return fail(
        Errc::invalid,
        fmt::format("{}: rate: max sends as fast as it goes, so there is no interval to shape; give a "
                    "rate such as 1k, or leave {} out",
                    out.burst != 1 ? "burst" : "shape", out.burst != 1 ? "burst" : "shape"));
  }
  if (out.shape != Shape::periodic && out.count > UINT32_MAX)
    return fail(Errc::invalid, fmt::format("count: {} is out of range, allowed with shape {} 1 to {}",
                                           out.count, given.at("shape"), UINT32_MAX));
  return {};
}

// How it begins.
Status resolve_rise(const Testlet& testlet, const Given& given, HostParams& out) {
  const auto ramp = value_of("ramp", given, "");
  if (!ramp) return tl::unexpected(ramp.error());
  out.ramp_ns = ramp->i;
  const auto warm_up = value_of("warm_up", given, "");
  if (!warm_up) return tl::unexpected(warm_up.error());
  out.warm_up_ns = warm_up->i;
  if (out.ramp_ns > 0 && std::isinf(out.rate))
    return fail(Errc::invalid,
                "ramp: rate: max sends as fast as it goes, so there is no rate to rise to; give one");
  if (out.warm_up_ns > 0 && !testlet.warms_up)
    return fail(Errc::invalid,
                fmt::format("warm_up: testlet {} counts from its first probe on; leave it out", testlet.id));
  if (out.warm_up_ns > 0 && out.ramp_ns > out.warm_up_ns)
    return fail(Errc::invalid, fmt::format("ramp: {} is longer than the warm_up of {}, in which it must fit; "
                                           "lengthen that or shorten the ramp",
                                           given.at("ramp"), given.at("warm_up")));
  return {};
}

Result<Egress> resolve_egress(const Given& given) {
  Egress out;
  const auto text_of = [&](const char* name) {
    const auto found = given.find(name);
    return found == given.end() ? std::string() : found->second;
  };
  out.source = text_of("source");
  in6_addr address;
  const bool is_address =
      inet_pton(AF_INET, out.source.c_str(), &address) == 1 ||
      inet_pton(AF_INET6, out.source.substr(0, out.source.find('%')).c_str(), &address) == 1;
  if (!out.source.empty() && !is_address)
    return fail(
        Errc::invalid,
        fmt::format(
            "source: \"{}\" is no IPv4 or IPv6 address; for the name of an interface there is `interface`",
            out.source));
  out.interface = text_of("interface");
  if (out.interface.size() >= IFNAMSIZ)
    return fail(Errc::invalid, fmt::format("interface: \"{}\" is longer than the {} characters of a name",
                                           out.interface, IFNAMSIZ - 1));
  const auto mark = value_of("mark", given, "");
  if (!mark) return tl::unexpected(mark.error());
  out.mark = static_cast<uint32_t>(mark->i);
  const auto label = value_of("flow_label", given, "");
  if (!label) return tl::unexpected(label.error());
  out.flow_label = static_cast<uint32_t>(label->i);
  const auto df = value_of("df", given, "");
  if (!df) return tl::unexpected(df.error());
  out.df = static_cast<DontFragment>(df->i);
  const auto path = value_of("via", given, "");
  if (!path) return tl::unexpected(path.error());
  out.path = static_cast<SendPath>(path->i);
  if (out.path == SendPath::packet && !out.plain())
    return fail(Errc::invalid,
                "via: packet goes by the routes; leave out source, interface, mark, flow_label and df");
  return out;
}

bool takes_urls(const Testlet& testlet) { return testlet.target_kind == "url"; }

// By either of its words, or the default if nothing else ends the test.
Status resolve_count(const Testlet& testlet, const Given& given, HostParams& out) {
  const bool requests = given.count("requests") > 0;
  if (requests && given.count("count") > 0)
    return fail(Errc::invalid, fmt::format("requests: {} and count: {} mean the same; give one of them",
                                           given.at("requests"), given.at("count")));
  const bool use_default = given.count("duration") == 0;
  const auto count = requests ? value_of("requests", given, "")
                              : value_of("count", given, testlet.schedule.count, use_default);
  if (!count) return tl::unexpected(count.error());
  out.count = static_cast<uint64_t>(count->i);
  return {};
}

Status refuse_tickets(const Testlet& testlet, const Given& given) {
  for (const char* name : {"count", "interval", "rate", "shape", "burst", "ramp", "warm_up"}) {
    if (given.count(name) == 0) continue;
    return fail(
        Errc::invalid,
        fmt::format("{}: testlet {} does not send single probes, so this does not apply; give duration", name,
                    testlet.id));
  }
  return {};
}

}  // namespace

Result<HostParams> resolve_host_params(const Testlet& testlet, const Given& given) {
  HostParams out;
  const ScheduleDefaults& dflt = testlet.schedule;
  // Either end given means that the other's default is not wanted.
  const bool end_given = given.count("count") + given.count("requests") + given.count("duration") > 0;
  if (given.count("requests") > 0 && !(dflt.tickets && takes_urls(testlet)))
    return fail(Errc::invalid, fmt::format("requests: testlet {} sends none; give {}", testlet.id,
                                           dflt.tickets ? "count" : "duration"));
  const Status pace = dflt.tickets ? resolve_pace(testlet, given, out) : refuse_tickets(testlet, given);
  if (!pace) return tl::unexpected(pace.error());
  if (dflt.tickets) {
    if (const Status count = resolve_count(testlet, given, out); !count) return tl::unexpected(count.error());
    if (const Status shape = resolve_shape(given, out); !shape) return tl::unexpected(shape.error());
    if (const Status rise = resolve_rise(testlet, given, out); !rise) return tl::unexpected(rise.error());
  }
  const auto duration = value_of("duration", given, dflt.duration, !end_given);
  if (!duration) return tl::unexpected(duration.error());
  out.duration_ns = duration->i;
  const auto timeout = value_of("timeout", given, dflt.timeout);
  if (!timeout) return tl::unexpected(timeout.error());
  out.timeout_ns = timeout->i;
  const auto period = value_of("period", given, "");
  if (!period) return tl::unexpected(period.error());
  out.period_ns = period->i;
  const auto stamps = value_of("stamps", given, "");
  if (!stamps) return tl::unexpected(stamps.error());
  out.stamps = static_cast<Stamps>(stamps->i);
  auto egress = resolve_egress(given);
  if (!egress) return tl::unexpected(egress.error());
  out.egress = std::move(*egress);
  const auto text = given.find("samples");
  const auto samples = parse_samples(text == given.end() ? host_param("samples").dflt : text->second);
  if (!samples) return tl::unexpected(samples.error());
  out.samples = *samples;
  if (dflt.tickets && out.count == 0 && out.duration_ns == 0) {
    return fail(Errc::invalid,
                fmt::format("nothing ends this test of {}: give count or duration", testlet.id));
  }
  return out;
}

}  // namespace todd::manifest
