#include "engine/worker/make_setup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "coordinator/proto/egress.h"
#include "engine/io/sockets.h"
#include "engine/lane/errors.h"
#include "todd/v1/task.pb.h"

namespace todd::worker {
namespace {

schedule::TargetSpec spec_of(const v1::TargetSpec& in, uint16_t default_port) {
  schedule::TargetSpec out;
  out.name = in.name();
  out.host = in.host();
  out.port = in.port() != 0 ? static_cast<uint16_t>(in.port()) : default_port;
  out.url = in.url();
  out.agent = in.agent();
  out.peer_token = in.peer_token();
  out.family = in.family();
  if (in.clock_known()) {
    out.clock_offset_ns = in.clock_offset_ns();
    out.clock_error_ns = std::max<int64_t>(0, in.clock_error_ns());
  }
  return out;
}

// Which member of the value the type lives in, and whether what is there can be it.
bool fits(const manifest::Param& param, const v1::Value& value) {
  using enum manifest::ParamType;
  switch (param.type) {
    case text: return value.v_case() == v1::Value::kS;
    case real:
    case rate:
    case ratio: return value.v_case() == v1::Value::kR;
    case boolean: return value.v_case() == v1::Value::kI && (value.i() == 0 || value.i() == 1);
    case choice:
      return value.v_case() == v1::Value::kI && value.i() >= 0 &&
             static_cast<uint64_t>(value.i()) < param.choices.size();
    default: return value.v_case() == v1::Value::kI;
  }
}

// What the schedule's arithmetic stands on.
Status check_schedule(const v1::Schedule& s) {
  if (s.interval_ns() < 0 || s.duration_ns() < 0 || s.timeout_ns() < 0 || s.period_ns() < 0 ||
      s.ramp_ns() < 0 || s.warm_up_ns() < 0 || !(s.rate() >= 0))
    return fail(Errc::invalid, "a schedule with negative times or rates");
  if (s.shape() > static_cast<uint32_t>(schedule::Shape::uniform))
    return fail(Errc::invalid, fmt::format("a schedule of an unknown shape, {}", s.shape()));
  if (s.burst() > schedule::kMaxBurst)
    return fail(Errc::invalid, fmt::format("a schedule with bursts of {} probes", s.burst()));
  return {};
}

// Of each task another, so that no two agents, or runs, draw the same times.
uint64_t seed_of(const v1::Task& task) {
  uint64_t seed = 14695981039346656037u;
  for (const std::string& text : {task.run_id(), task.id()})
    for (const char c : text) seed = (seed ^ static_cast<uint8_t>(c)) * 1099511628211u;  // FNV-1a
  return seed;
}

Status add_values(lane::TaskSetup& setup, const v1::Task& task) {
  const auto& params = setup.manifest.params;
  if (static_cast<size_t>(task.params_size()) != params.size())
    return fail(Errc::invalid, fmt::format("{} takes {} parameters, the task has {}", task.testlet(),
                                           params.size(), task.params_size()));
  setup.texts->reserve(params.size());  // pointers into it must stay
  for (int i = 0; i < task.params_size(); ++i) {
    const auto& in = task.params(i);
    const auto& param = params[static_cast<size_t>(i)];
    if (!fits(param, in))
      return fail(Errc::invalid,
                  fmt::format("{}: the value is no {}", param.name, manifest::param_type_name(param.type)));
    todd_value value{};
    value.type = static_cast<uint16_t>(param.type);
    value.given = in.given() ? 1 : 0;
    if (in.has_r()) {
      value.v.r = in.r();
    } else if (in.has_s()) {
      setup.texts->push_back(in.s());
      value.v.s = setup.texts->back().c_str();
      value.len = static_cast<uint32_t>(in.s().size());
    } else {
      value.v.i = in.i();
    }
    setup.values.push_back(value);
  }
  return {};
}

// The address so many after this one.
io::Address plus(io::Address address, uint32_t n) {
  if (address.sa.sa_family == AF_INET) {
    address.v4.sin_addr.s_addr = htonl(ntohl(address.v4.sin_addr.s_addr) + n);
    return address;
  }
  auto& bytes = address.v6.sin6_addr.s6_addr;
  uint64_t carry = n;
  for (size_t i = sizeof bytes; carry != 0 && i-- > 0; carry >>= 8)
    bytes[i] = static_cast<uint8_t>(carry += bytes[i]);
  return address;
}

Status add_targets(lane::TaskSetup& setup, const v1::Task& task) {
  for (const auto& in : task.targets()) {
    auto spec = spec_of(in, setup.manifest.default_port);
    auto n = schedule::count(spec);
    if (!n) return tl::unexpected(n.error());
    const auto index = static_cast<uint32_t>(setup.specs->size());
    // What stands for many are addresses, one after the other.
    io::Address first{};
    if (auto address = io::parse_address(schedule::host_at(spec, 0), spec.port))
      first = *address;
    else
      io::set_port(first, spec.port);
    if (*n > 1) setup.targets.reserve(setup.targets.size() + *n);
    for (uint32_t i = 0; i < *n; ++i) {
      setup.targets.push_back({.address = i == 0 ? first : plus(first, i),
                               .spec = index,
                               .offset = i,
                               .edge = static_cast<uint32_t>(setup.targets.size())});
    }
    setup.specs->push_back(std::move(spec));
  }
  return {};
}

Status add_refused(lane::TaskSetup& setup, const v1::Task& task) {
  auto refused = std::make_shared<std::vector<io::Network>>();
  for (const std::string& text : task.refuse_targets()) {
    auto network = io::Network::parse(text);
    if (!network) return tl::unexpected(network.error());
    refused->push_back(std::move(*network));
  }
  setup.refused = std::move(refused);
  return {};
}

}  // namespace

Result<std::unique_ptr<lane::TaskSetup>> make_setup(const v1::Task& task, const host::Loaded& loaded) {
  auto setup = std::make_unique<lane::TaskSetup>();
  setup->texts = std::make_shared<std::vector<std::string>>();
  setup->specs = std::make_shared<std::vector<schedule::TargetSpec>>();
  setup->id = task.id();
  setup->run_id = task.run_id();
  setup->testlet = loaded.testlet;
  setup->manifest = loaded.manifest;
  const auto& schedule = task.schedule();
  if (auto good = check_schedule(schedule); !good) return tl::unexpected(good.error());
  setup->timeout_ns = schedule.timeout_ns();
  setup->period_ns = schedule.period_ns();
  setup->warm_up_ns = schedule.warm_up_ns();
  setup->deadline_ns = task.deadline_ns();
  setup->samples = schedule.samples();
  setup->stamps = static_cast<manifest::Stamps>(std::min<uint32_t>(schedule.stamps(), 2));
  setup->egress = wire::egress_of(task.egress());
  setup->listen_first = static_cast<uint16_t>(task.listen_first());
  setup->listen_last = static_cast<uint16_t>(task.listen_last());
  setup->listen_port = static_cast<uint16_t>(task.listen_port());
  for (const auto& peer : task.peers()) setup->peer_tokens.push_back(peer.token());
  if (auto good = add_values(*setup, task); !good) return tl::unexpected(good.error());
  if (auto good = add_targets(*setup, task); !good) return tl::unexpected(good.error());
  if (auto good = add_refused(*setup, task); !good) return tl::unexpected(good.error());
  setup->plan = {.targets = 0,
                 .count = schedule.count(),
                 .interval_ns = schedule.interval_ns(),
                 .rate = schedule.rate(),
                 .duration_ns = schedule.duration_ns(),
                 .seed = seed_of(task),
                 .shape = static_cast<schedule::Shape>(schedule.shape()),
                 .burst = std::max<uint32_t>(1, schedule.burst()),
                 .ramp_ns = schedule.ramp_ns()};
  const bool source = task.role() == v1::SOURCE;
  auto& run = setup->run;
  run.size = sizeof run;
  run.role = source ? TODD_SOURCE : TODD_RESPONDER;
  run.n_value = static_cast<uint32_t>(setup->values.size());
  run.run_id = setup->run_id.c_str();
  run.value = setup->values.data();
  run.timeout_ns = setup->timeout_ns;
  run.duration_ns = schedule.duration_ns();
  run.count = schedule.count();
  run.rate = schedule.rate();
  run.n_peer = static_cast<uint32_t>(setup->peer_tokens.size());
  run.family = task.family();
  run.flags = setup->egress.df == DontFragment::set ? TODD_RF_WHOLE : 0;
  return setup;
}

uint32_t edges_of(const lane::TaskSetup& setup) {
  const size_t edges = setup.run.role == TODD_SOURCE ? setup.targets.size() : setup.peer_tokens.size();
  return static_cast<uint32_t>(std::max<size_t>(1, edges));
}

bool by_proxy(const lane::TaskSetup& setup) {
  const auto& params = setup.manifest.params;
  for (size_t i = 0; i < params.size() && i < setup.values.size(); ++i)
    if (params[i].proxy && setup.values[i].len != 0) return true;
  return false;
}

std::vector<Name> names_of(const lane::TaskSetup& setup) {
  std::vector<Name> names;
  if (by_proxy(setup)) return names;
  for (const auto& target : setup.targets)
    if (target.address.sa.sa_family == 0) names.push_back({target.spec, (*setup.specs)[target.spec].host});
  return names;
}

Status set_address(lane::TaskSetup& setup, size_t spec, const std::vector<std::string>& addresses) {
  const std::string& name = (*setup.specs)[spec].host;
  std::string no_host;
  for (auto& target : setup.targets) {
    if (target.spec != spec) continue;
    for (const auto& text : addresses) {
      const auto address = io::parse_address(text, (*setup.specs)[spec].port);
      if (!address || !lane::wanted_family(setup, target, address->sa.sa_family)) continue;
      if (io::is_no_host(*address)) {
        if (no_host.empty()) no_host = text;
        continue;
      }
      target.address = *address;
      return {};
    }
  }
  return fail(Errc::unavailable,
              no_host.empty()
                  ? fmt::format("{}: no address of the wanted family", name)
                  : fmt::format("{} resolves to {}, which is no host's: its name server may block the "
                                "name; give the host's own address",
                                name, no_host));
}

std::vector<uint32_t> drop_unresolved(lane::TaskSetup& setup) {
  std::vector<uint32_t> dropped;
  const bool names_stay = by_proxy(setup);
  std::erase_if(setup.targets, [&](const lane::Target& target) {
    const auto& spec = (*setup.specs)[target.spec];
    const bool stays = target.address.sa.sa_family != 0 ||
                       (names_stay && !schedule::is_literal(schedule::host_at(spec, target.offset)));
    if (!stays) dropped.push_back(target.edge);
    return !stays;
  });
  setup.run.n_target = static_cast<uint32_t>(setup.targets.size());
  setup.plan.targets = setup.run.n_target;
  return dropped;
}

namespace {
using TargetIterator = std::vector<lane::Target>::iterator;

// Of the targets of one spec, whose addresses follow each other.
void drop_denied_of(lane::TaskSetup& setup, TargetIterator from, TargetIterator to,
                    std::vector<Denied>& out) {
  const auto& rules = *setup.refused;
  const bool any = std::any_of(rules.begin(), rules.end(), [&](const io::Network& rule) {
    return rule.meets(from->address, std::prev(to)->address);
  });
  for (auto target = from; any && target != to;) {
    const io::Network* const rule = io::find_network(rules, target->address);
    const auto first = target;
    while (target != to && io::find_network(rules, target->address) == rule) ++target;
    if (rule == nullptr) continue;
    const auto edges = static_cast<uint32_t>(target - first);
    std::string shown = io::format_address(first->address);
    if (edges > 1) shown += "-" + io::format_address(std::prev(target)->address);
    out.push_back({first->edge, edges, lane::permitted(setup, first->address, shown).error().detail});
    for (auto one = first; one != target; ++one) one->address = {};
  }
}
}  // namespace

std::vector<Denied> drop_denied(lane::TaskSetup& setup) {
  std::vector<Denied> denied;
  if (setup.refused->empty()) return denied;
  for (auto from = setup.targets.begin(); from != setup.targets.end();) {
    const auto to = std::find_if(from, setup.targets.end(),
                                 [&](const lane::Target& target) { return target.spec != from->spec; });
    if (from->address.sa.sa_family != 0) drop_denied_of(setup, from, to, denied);
    from = to;
  }
  return denied;
}

void label_flows(lane::TaskSetup& setup) {
  for (auto& target : setup.targets) io::label_flow(target.address, setup.egress);
}

namespace {
// Another shard of the same task, without targets yet.
std::unique_ptr<lane::TaskSetup> sibling_of(const lane::TaskSetup& whole) {
  auto made = std::make_unique<lane::TaskSetup>();
  static_cast<lane::TaskCommon&>(*made) = whole;
  made->run = whole.run;
  made->run.run_id = made->run_id.c_str();
  made->run.value = made->values.data();
  return made;
}

// The shard's targets move to it, from `target` on.
void fill(lane::TaskSetup& part, const schedule::Plan& plan, std::vector<lane::Target>::iterator& target,
          std::vector<lane::Target>::iterator end) {
  const auto share = schedule::plan_of(plan, part.shard);
  part.plan = share.plan;
  part.phase_ns = share.phase_ns;
  part.run.rate = share.plan.rate;
  for (; target != end && target->edge < part.shard.first_edge + part.shard.edges; ++target) {
    part.targets.push_back(*target);
    part.targets.back().edge -= part.shard.first_edge;
  }
}

void lay_out(lane::TaskSetup& setup, uint32_t all_edges) {
  setup.layout = std::make_unique<stats::CellLayout>(manifest::cell_layout(
      setup.manifest, setup.shard.edges, stats::sample_slots_for(setup.samples), all_edges));
}
}  // namespace

bool needs_raw(const lane::TaskSetup& setup) {
  const todd_testlet& testlet = *setup.testlet;
  if ((testlet.needs & TODD_NEED_RAW) == 0) return false;
  const bool told = testlet.size > offsetof(todd_testlet, raw_when) && testlet.raw_when != nullptr;
  const std::string_view when = told ? testlet.raw_when : "";
  const auto& params = setup.manifest.params;
  for (size_t i = 0; i < params.size(); ++i) {
    if (params[i].name != when.substr(0, when.find('=')) || params[i].choices.empty()) continue;
    return params[i].choices[static_cast<size_t>(setup.values[i].v.i)] == when.substr(when.find('=') + 1);
  }
  return true;
}

bool wants_frames(const lane::TaskSetup& setup) {
  if (setup.egress.path != SendPath::automatic) return setup.egress.path == SendPath::packet;
  return setup.egress.plain() && schedule::is_fast(setup.plan);
}

std::vector<std::unique_ptr<lane::TaskSetup>> divide(std::unique_ptr<lane::TaskSetup> whole, uint32_t edges,
                                                     uint32_t shards) {
  std::vector<std::unique_ptr<lane::TaskSetup>> out;
  schedule::Plan plan = whole->plan;
  plan.targets = edges;
  auto target = whole->targets.begin();
  for (uint32_t i = 0; i < shards; ++i) {
    auto part = shards == 1 ? std::move(whole) : sibling_of(*whole);
    part->shard = schedule::shard_of(edges, i, shards);
    if (shards > 1) fill(*part, plan, target, whole->targets.end());
    part->run.n_target = part->plan.targets = static_cast<uint32_t>(part->targets.size());
    lay_out(*part, edges);
    out.push_back(std::move(part));
  }
  return out;
}

}  // namespace todd::worker
