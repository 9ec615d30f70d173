#include "coordinator/model/expand.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <tuple>

#include <fmt/format.h>

#include "coordinator/model/match.h"
#include "engine/manifest/nearest.h"

namespace todd::model {

namespace {

struct Address {
  Family family = Family::any;  // any: not an address
  std::array<uint8_t, 16> bytes{};
};

Address read_address(std::string_view text) {
  Address address;
  const std::string plain(text.substr(0, text.find('%')));  // without a scope
  if (inet_pton(AF_INET, plain.c_str(), address.bytes.data()) == 1)
    address.family = Family::v4;
  else if (inet_pton(AF_INET6, plain.c_str(), address.bytes.data()) == 1)
    address.family = Family::v6;
  return address;
}

Family family_of(std::string_view text) { return read_address(text).family; }

const char* family_name(Family family) { return family == Family::v6 ? "IPv6" : "IPv4"; }

// One end of an edge: an agent, or a target without one.
struct Endpoint {
  std::string name;
  const Facts* agent = nullptr;
  schedule::TargetSpec spec;  // of a target without an agent
  std::vector<std::string> groups;
};

class Expander {
 public:
  Expander(const Test& test, const std::vector<Group>& groups, const std::vector<Facts>& agents)
      : test_(test), groups_(groups), agents_(agents) {}

  Result<std::vector<Edge>> edges() {
    auto sources = read_sources();
    if (!sources) return tl::unexpected(sources.error());
    auto targets = read_targets();
    if (!targets) return tl::unexpected(targets.error());
    if (auto paired = pair(*sources, *targets); !paired) return tl::unexpected(paired.error());
    if (pairs_.empty()) {
      return fail(Errc::invalid,
                  fmt::format("test \"{}\" has no edges: its only target is its own source", test_.name));
    }
    if (auto reversed = add_reverse(); !reversed) return tl::unexpected(reversed.error());
    std::vector<Edge> result;
    for (const auto& [source, target] : pairs_) {
      if (auto made = add_edges(*source, *target, result); !made) return tl::unexpected(made.error());
    }
    std::stable_sort(result.begin(), result.end(), [](const Edge& a, const Edge& b) {
      return std::tie(a.source.agent, a.target_name) < std::tie(b.source.agent, b.target_name);
    });
    return result;
  }

 private:
  using Endpoints = std::vector<Endpoint>;

  Result<const Group*> find_group(const std::string& name) const {
    std::vector<std::string> names;
    for (const Group& group : groups_) {
      if (group.name == name) return &group;
      names.push_back(group.name);
    }
    const bool agent =
        std::any_of(agents_.begin(), agents_.end(), [&](const Facts& f) { return f.agent == name; });
    if (agent) {
      return fail(Errc::not_found,
                  fmt::format("there is no group \"{}\", but an agent: write {{agent: {}}}", name, name));
    }
    return fail(Errc::not_found,
                fmt::format("there is no group \"{}\"{}", name, manifest::did_you_mean(name, names)));
  }

  Result<const Facts*> find_agent(const std::string& name) const {
    std::vector<std::string> names;
    for (const Facts& facts : agents_) {
      if (facts.agent == name) return &facts;
      names.push_back(facts.agent);
    }
    return fail(Errc::not_found,
                fmt::format("there is no agent \"{}\"{}", name, manifest::did_you_mean(name, names)));
  }

  Status add_group(const std::string& name, Endpoints& all, bool may_be_plain) const {
    auto group = find_group(name);
    if (!group) return tl::unexpected(group.error());
    if ((*group)->is_plain()) {
      if (!may_be_plain) {
        return fail(
            Errc::invalid,
            fmt::format("group \"{}\" lists hosts without agents: it may stand only in \"to\"", name));
      }
      for (const PlainHost& host : (*group)->hosts) {
        Endpoint endpoint;
        endpoint.name = host.name;
        endpoint.groups = {name};
        endpoint.spec.name = host.name;
        endpoint.spec.host = host.address.empty() ? host.name : host.address;
        all.push_back(std::move(endpoint));
      }
      if ((*group)->hosts.empty())
        return fail(Errc::not_found, fmt::format("group \"{}\" has no hosts", name));
      return {};
    }
    bool some = false;
    for (const Facts& facts : agents_) {
      auto matched = matches(*(*group)->match, facts);
      if (!matched) return tl::unexpected(matched.error());
      if (!*matched) continue;
      some = true;
      all.push_back({facts.agent, &facts, {}, {name}});
    }
    if (!some) return fail(Errc::not_found, fmt::format("group \"{}\" matches no enrolled agent", name));
    return {};
  }

  Status add_agent(const std::string& name, Endpoints& all) const {
    auto facts = find_agent(name);
    if (!facts) return tl::unexpected(facts.error());
    all.push_back({name, *facts, {}, {}});
    return {};
  }

  // An agent stands once, with all the groups that brought it in.
  static void sort_by_name(Endpoints& all) {
    std::stable_sort(all.begin(), all.end(),
                     [](const Endpoint& a, const Endpoint& b) { return a.name < b.name; });
    Endpoints once;
    for (Endpoint& endpoint : all) {
      if (endpoint.agent && !once.empty() && once.back().agent == endpoint.agent) {
        once.back().groups.insert(once.back().groups.end(), endpoint.groups.begin(), endpoint.groups.end());
      } else {
        once.push_back(std::move(endpoint));
      }
    }
    all = std::move(once);
  }

  Result<Endpoints*> read_sources() {
    for (const std::string& value : test_.from.values) {
      auto added = test_.from.kind == TestFrom::Kind::agent ? add_agent(value, sources_)
                                                            : add_group(value, sources_, false);
      if (!added) return tl::unexpected(added.error());
    }
    sort_by_name(sources_);
    return &sources_;
  }

  Status add_target(const std::string& text) {
    auto spec = schedule::parse_target(text);
    if (!spec) return tl::unexpected(spec.error());
    const bool wants_url = test_.to.kind == TestTo::Kind::urls;
    if (wants_url && spec->url.empty()) {
      return fail(Errc::invalid, fmt::format("\"{}\" is no URL: begin it with http:// or https://", text));
    }
    if (!wants_url && !spec->url.empty()) {
      return fail(Errc::invalid, fmt::format("\"{}\" is a URL: write {{urls: [...]}}", text));
    }
    if (spec->name.empty()) spec->name = text;
    Endpoint endpoint;
    endpoint.name = spec->name;
    endpoint.spec = std::move(*spec);
    targets_.push_back(std::move(endpoint));
    return {};
  }

  Result<Endpoints*> read_targets() {
    for (const std::string& value : test_.to.values) {
      Status added;
      switch (test_.to.kind) {
        case TestTo::Kind::group: added = add_group(value, targets_, true); break;
        case TestTo::Kind::agent: added = add_agent(value, targets_); break;
        case TestTo::Kind::hosts:
        case TestTo::Kind::urls: added = add_target(value); break;
      }
      if (!added) return tl::unexpected(added.error());
    }
    sort_by_name(targets_);
    return &targets_;
  }

  static bool is_self(const Endpoint& a, const Endpoint& b) { return b.agent && a.agent == b.agent; }

  Status too_many(size_t edges) const {
    return fail(
        Errc::exhausted,
        fmt::format("test \"{}\" would have {} edges, at most {} are allowed: use pairing {{pick: 3}}",
                    test_.name, edges, kMaxEdges));
  }

  Status pair(const Endpoints* sources, const Endpoints* targets) {
    switch (test_.pairing) {
      case Pairing::all: return pair_all(*sources, *targets);
      case Pairing::zip: return pair_zip(*sources, *targets);
      case Pairing::ring: return pair_ring(*sources, *targets);
      case Pairing::pick: return pair_pick(*sources, *targets);
    }
    return {};
  }

  Status pair_all(const Endpoints& sources, const Endpoints& targets) {
    if (sources.size() * targets.size() > kMaxEdges) return too_many(sources.size() * targets.size());
    for (const Endpoint& source : sources) {
      for (const Endpoint& target : targets) {
        if (!is_self(source, target)) pairs_.emplace_back(&source, &target);
      }
    }
    return {};
  }

  Status pair_zip(const Endpoints& sources, const Endpoints& targets) {
    if (sources.size() != targets.size()) {
      return fail(
          Errc::invalid,
          fmt::format("pairing zip needs as many targets as sources: there are {} sources and {} targets",
                      sources.size(), targets.size()));
    }
    for (size_t i = 0; i < sources.size(); ++i) {
      if (is_self(sources[i], targets[i])) {
        return fail(Errc::invalid, fmt::format("pairing zip would pair agent \"{}\" with itself: use ring",
                                               sources[i].name));
      }
      pairs_.emplace_back(&sources[i], &targets[i]);
    }
    return {};
  }

  Status pair_ring(const Endpoints& sources, const Endpoints& targets) {
    const bool same = std::equal(sources.begin(), sources.end(), targets.begin(), targets.end(), is_self);
    if (!same)
      return fail(Errc::invalid, "pairing ring is within one group: \"from\" and \"to\" must be the same");
    if (sources.size() < 2) {
      return fail(Errc::invalid, fmt::format("pairing ring needs at least two agents, there is only \"{}\"",
                                             sources[0].name));
    }
    for (size_t i = 0; i < sources.size(); ++i)
      pairs_.emplace_back(&sources[i], &targets[(i + 1) % targets.size()]);
    return {};
  }

  // Rendezvous hashing: each source ranks all targets by a hash of both names and takes the first K, so that
  // a target coming or going changes only the pairs it is in. FNV-1a, then splitmix64's finish, as FNV alone
  // mixes the last bytes too little.
  static uint64_t rank(const std::string& source, const std::string& target) {
    uint64_t hash = 0xcbf29ce484222325;
    const auto mix = [&](unsigned char byte) { hash = (hash ^ byte) * 0x100000001b3; };
    for (char c : source) mix(static_cast<unsigned char>(c));
    mix(0);
    for (char c : target) mix(static_cast<unsigned char>(c));
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
    return hash ^ (hash >> 31);
  }

  Status pair_pick(const Endpoints& sources, const Endpoints& targets) {
    if (sources.size() * std::min<size_t>(test_.pick, targets.size()) > kMaxEdges) {
      return too_many(sources.size() * std::min<size_t>(test_.pick, targets.size()));
    }
    for (const Endpoint& source : sources) {
      std::vector<std::pair<uint64_t, const Endpoint*>> ranked;
      for (const Endpoint& target : targets) {
        if (!is_self(source, target)) ranked.emplace_back(rank(source.name, target.name), &target);
      }
      const size_t wanted = std::min<size_t>(test_.pick, ranked.size());
      std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(wanted), ranked.end(),
                        [](const auto& a, const auto& b) { return a.first > b.first; });
      for (size_t i = 0; i < wanted; ++i) pairs_.emplace_back(&source, ranked[i].second);
    }
    return {};
  }

  Status add_reverse() {
    if (!test_.both_ways) return {};
    const size_t forward = pairs_.size();
    for (size_t i = 0; i < forward; ++i) {
      const auto [source, target] = pairs_[i];
      if (!target->agent) {
        return fail(Errc::invalid,
                    fmt::format("both_ways needs agents on both sides, \"{}\" has none", target->name));
      }
      pairs_.emplace_back(target, source);
    }
    // Within one group a pair and its reverse may both be there already.
    const auto names = [](const auto& pair) { return std::tie(pair.first->name, pair.second->name); };
    std::stable_sort(pairs_.begin(), pairs_.end(),
                     [&](const auto& a, const auto& b) { return names(a) < names(b); });
    pairs_.erase(std::unique(pairs_.begin(), pairs_.end(),
                             [&](const auto& a, const auto& b) { return names(a) == names(b); }),
                 pairs_.end());
    if (pairs_.size() > kMaxEdges) return too_many(pairs_.size());
    return {};
  }

  // The families to make an edge for each of.
  std::vector<Family> families() const {
    if (test_.family == Family::both) return {Family::v4, Family::v6};
    return {test_.family};
  }

  static bool speaks(const Facts& agent, Family family) {
    const auto& known = agent.test_addresses.empty() ? agent.addresses : agent.test_addresses;
    return known.empty() || std::any_of(known.begin(), known.end(),
                                        [&](const std::string& a) { return family_of(a) == family; });
  }

  Result<std::string> pick_address(const Facts& source, const Facts& target, Family wanted) const {
    bool in_cidr = false;
    for (const std::string& address : target.test_addresses) {
      if (!test_.address.empty() && !in_network(address, test_.address)) continue;
      in_cidr = true;
      const Family family = family_of(address);
      if (wanted == Family::any ? speaks(source, family) : family == wanted) return address;
    }
    if (target.test_addresses.empty()) {
      return fail(Errc::invalid,
                  fmt::format("agent \"{}\" has no test address: set test_addresses in its configuration",
                              target.agent));
    }
    if (!in_cidr) {
      return fail(Errc::invalid,
                  fmt::format("agent \"{}\" has no test address in {}: it has {}", target.agent,
                              test_.address, fmt::join(target.test_addresses, ", ")));
    }
    if (wanted != Family::any) {
      return fail(Errc::invalid, fmt::format("agent \"{}\" has no {} test address: it has {}", target.agent,
                                             family_name(wanted), fmt::join(target.test_addresses, ", ")));
    }
    return fail(Errc::invalid, fmt::format("agents \"{}\" and \"{}\" have no address family in common",
                                           source.agent, target.agent));
  }

  Status add_edges(const Endpoint& source, const Endpoint& target, std::vector<Edge>& out) const {
    Edge edge;
    edge.source = {source.agent->agent, source.agent->id, source.groups};
    edge.target_name = target.name;
    edge.target = target.spec;
    edge.target_agent.groups = target.groups;
    if (!target.agent) return add_plain(std::move(edge), out);
    edge.target_agent.agent = target.agent->agent;
    edge.target_agent.agent_id = target.agent->id;
    edge.target.name = target.name;
    edge.target.agent = target.agent->agent;
    for (Family family : families()) {
      auto address = pick_address(*source.agent, *target.agent, family);
      if (!address) return tl::unexpected(address.error());
      edge.family = family;
      edge.address = *address;
      edge.target.host = *address;
      out.push_back(edge);
    }
    return {};
  }

  // A literal address, network or range has its family already; a name takes the wanted one when it is
  // resolved.
  Status add_plain(Edge edge, std::vector<Edge>& out) const {
    const std::string& host = edge.target.host;
    const bool literal = schedule::is_literal(host);
    auto counted = schedule::count(edge.target);
    if (!counted) return tl::unexpected(counted.error());
    const std::string first = schedule::host_at(edge.target, 0);
    const Family own = family_of(first);
    if (own == Family::any) {
      for (Family family : families()) {
        edge.family = family;
        out.push_back(edge);
      }
      return {};
    }
    if (test_.family != Family::any && test_.family != Family::both && test_.family != own) {
      return fail(Errc::invalid, fmt::format("target \"{}\" is {}, but the test's family is {}",
                                             edge.target_name, family_name(own), family_name(test_.family)));
    }
    if (literal) edge.address = host;
    if (test_.family != Family::any) edge.family = own;
    out.push_back(std::move(edge));
    return {};
  }

  const Test& test_;
  const std::vector<Group>& groups_;
  const std::vector<Facts>& agents_;
  Endpoints sources_, targets_;
  std::vector<std::pair<const Endpoint*, const Endpoint*>> pairs_;
};

}  // namespace

std::string Edge::label() const {
  const char* suffix = family == Family::v4 ? " (v4)" : family == Family::v6 ? " (v6)" : "";
  return source.agent + " → " + target_name + suffix;
}

Result<std::vector<Edge>> expand_test(const Test& test, const std::vector<Group>& groups,
                                      const std::vector<Facts>& agents) {
  return Expander(test, groups, agents).edges();
}

Result<std::vector<std::string>> members(const Group& group, const std::vector<Facts>& agents) {
  std::vector<std::string> names;
  if (!group.match) return names;
  for (const Facts& facts : agents) {
    auto matched = matches(*group.match, facts);
    if (!matched) return tl::unexpected(matched.error());
    if (*matched) names.push_back(facts.agent);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool in_network(std::string_view address, std::string_view network) {
  const size_t slash = network.find('/');
  const Address one = read_address(address);
  const Address base = read_address(network.substr(0, slash));
  if (one.family == Family::any || one.family != base.family) return false;
  const size_t bits = one.family == Family::v4 ? 32 : 128;
  size_t prefix = bits;
  if (slash != std::string_view::npos) {
    const std::string_view text = network.substr(slash + 1);
    if (text.empty() || text.size() > 3 || text.find_first_not_of("0123456789") != std::string_view::npos)
      return false;
    prefix = 0;
    for (char c : text) prefix = prefix * 10 + static_cast<size_t>(c - '0');
    if (prefix > bits) return false;
  }
  for (size_t bit = 0; bit < prefix; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    if ((one.bytes[bit / 8] ^ base.bytes[bit / 8]) & mask) return false;
  }
  return true;
}

}  // namespace todd::model
