#include "coordinator/fleet/link_server.h"

#include <algorithm>
#include <set>
#include <utility>

#include "coordinator/fleet/ca.h"
#include "coordinator/fleet/enrolment.h"
#include "coordinator/fleet/facts.h"
#include "coordinator/fleet/manifests.h"
#include "coordinator/fleet/parts.h"
#include "coordinator/fleet/rate_limit.h"
#include "coordinator/fleet/session.h"
#include "coordinator/fleet/tokens.h"
#include "engine/base/check.h"
#include "engine/base/clock.h"
#include "engine/base/files.h"
#include "engine/base/log.h"
#include "engine/base/version.h"
#include "engine/io/goodbye.h"
#include "engine/io/interfaces.h"
#include "engine/io/join_token.h"
#include "todd/v1/link.pb.h"

namespace todd::fleet {
namespace {
constexpr uint32_t kProtocol = 1;
constexpr int kMostEndpoints = 1 << 20;
constexpr size_t kMostOpenReadies = 64;
constexpr int64_t kLongestTtlNs = 24ll * 3600 * 1'000'000'000;

// Where agents are told to dial: what the options say, or what listening there means.
std::vector<io::HostPort> advertised(const LinkOptions& options, uint16_t port) {
  std::vector<io::HostPort> result;
  for (const std::string& text : options.advertise) {
    const auto both = io::parse_host_port(text);
    result.push_back(both ? *both : io::HostPort{text, port});
  }
  if (!result.empty()) return result;
  const std::string& listen = options.listen_address;
  if (listen != "0.0.0.0" && listen != "::") return {{listen, port}};
  for (const io::InterfaceAddress& own : io::interface_addresses()) {
    if (own.loopback || own.link_local || (own.v6 && listen == "0.0.0.0")) continue;
    result.push_back({own.address, port});
  }
  if (result.empty()) result.push_back({listen == "::" ? "::1" : "127.0.0.1", port});
  return result;
}

v1::ToAgent goodbye(const char* word, const std::string& text) {
  v1::ToAgent message;
  message.mutable_goodbye()->set_reason(std::string(word) + ": " + text);
  return message;
}
}  // namespace

struct LinkServer::Impl final : Session::Owner {
  Impl(io::Loop& l, LinkOptions o, Roster& r)
      : loop(l),
        options(std::move(o)),
        roster(r),
        tokens(options.data_dir + "/join-tokens", system_clock),
        manifests(options.data_dir + "/manifests"),
        limit(options.enrol_per_s, options.enrol_burst) {}

  Status start();
  void accept(UniqueFd fd);
  void refresh_testlets();
  void store_facts(Session& session, const v1::Facts& facts, const v1::AgentHello* hello);
  void replace_older(Session& session, const std::string& name);
  void announce_if_ready(Session& session);
  Session* live(const std::string& name) const;
  run::ClockQuality clock(const std::string& name) const;
  void send(const std::string& agent, const v1::ToAgent& message) const;
  void refuse(const std::string& agent, const std::string& task, const std::string& why);
  void on_ready(Session& session, const v1::Ready& ready);
  AgentDetails details(const EnrolledAgent& enrolled) const;

  void on_open(Session& session) override;
  void on_enrol(Session& session, const v1::Enroll& enrol) override;
  void on_hello(Session& session, const v1::AgentHello& hello) override;
  void on_manifest(Session& session, const v1::ManifestText& text) override;
  void on_facts(Session& session, const v1::Facts& facts) override;
  void on_message(Session& session, const v1::FromAgent& message) override;
  void on_exchange(Session& session) override;
  void on_end(Session& session, const std::string& reason) override;

  io::Loop& loop;
  LinkOptions options;
  Roster& roster;
  Clock system_clock;
  Tokens tokens;
  Manifests manifests;
  RateLimit limit;
  Authority authority;
  Manifests::Newest newest;
  run::TransportEvents* events = nullptr;
  std::function<bool(const std::string&, const std::string&)> wanted;
  std::shared_ptr<io::TlsContext> tls;
  std::map<std::string, run::ClockQuality> clocks;  // by agent, as last known
  std::map<std::string, Session*> by_name;          // accepted hellos; the newest of each agent
  // Ended sessions are moved to `ended` and destroyed in a turn of their own: their callbacks may still be on
  // the stack.
  std::map<Session*, std::unique_ptr<Session>> sessions;
  std::vector<std::unique_ptr<Session>> ended;
  io::HandlePtr sweep;
  struct Refusal {
    std::string agent, task, why;
  };
  std::vector<Refusal> refused;
  io::HandlePtr tell_refused;
  std::unique_ptr<io::Listener> listener;
};

Status LinkServer::Impl::start() {
  if (auto made = make_folders(options.data_dir, 0700); !made) return made;
  std::vector<std::string> hosts{"localhost"};
  for (const io::HostPort& at : advertised(options, options.port)) hosts.push_back(at.host);
  auto opened = open_authority(options.data_dir, hosts);
  if (!opened) return tl::unexpected(opened.error());
  authority = std::move(*opened);
  if (auto loaded = tokens.load(); !loaded) return loaded;
  if (auto loaded = manifests.load(); !loaded) return loaded;
  refresh_testlets();
  auto context = io::make_tls_server({.certificate_pem = authority.server.certificate_pem,
                                      .key_pem = authority.server.key_pem,
                                      .ca_pem = authority.ca.certificate_pem,
                                      .ask_peer_certificate = true});
  if (!context) return tl::unexpected(context.error());
  tls = std::move(*context);
  auto listening = io::listen_tcp(loop, options.listen_address, options.port,
                                  [this](UniqueFd fd) { accept(std::move(fd)); });
  if (!listening) return tl::unexpected(listening.error());
  listener = std::move(*listening);
  return {};
}

void LinkServer::Impl::accept(UniqueFd fd) {
  if (sessions.size() >= options.max_connections) return;  // closed; the agent backs off
  auto session = std::make_unique<Session>(loop, std::move(fd), tls,
                                           Session::Timing{options.ping_ns, options.hello_ns}, *this);
  sessions.emplace(session.get(), std::move(session));
}

void LinkServer::Impl::on_open(Session& session) {
  if (session.peer_id().empty()) return;
  const EnrolledAgent* enrolled = roster.by_id(session.peer_id());
  const auto key = io::spki_sha256_hex(session.peer_certificate_pem());
  if (enrolled && key && *key == enrolled->key_sha256_hex) return;
  session.send(goodbye(io::kGoodbyeIdentityInvalid,
                       "agent " + session.peer_id() +
                           " is not enrolled here; join again with a token of `todd agents invite`"));
  session.finish("its certificate is of no enrolled agent");
}

void LinkServer::Impl::on_enrol(Session& session, const v1::Enroll& request) {
  const auto peer = io::parse_host_port(session.peer_address());
  Result<EnrolledAgent> agent =
      fail(Errc::exhausted, "too many attempts to join from this address; try again in a minute");
  v1::ToAgent answer;
  v1::Enrolled& enrolled = *answer.mutable_enrolled();
  if (limit.take(peer ? peer->host : session.peer_address(), monotonic_ns())) {
    const EnrolRequest asked{request.token_id(), request.proof(), request.csr_pem(), request.name(),
                             session.tls_exporter(io::kEnrolLabel)};
    agent = enrol(asked, authority, tokens, roster, *enrolled.mutable_certificate_pem());
  }
  if (!agent) {
    enrolled.set_error(agent.error().detail);
    session.send(answer);
    return session.finish("enrolment refused: " + agent.error().detail);
  }
  enrolled.set_ca_pem(authority.ca.certificate_pem);
  enrolled.set_agent_id(agent->id);
  session.send(answer);
  session.finish("enrolled");
  log(LogLevel::info, "fleet", "agent " + agent->name + " enrolled from " + session.peer_address());
}

void LinkServer::Impl::on_hello(Session& session, const v1::AgentHello& hello) {
  const EnrolledAgent* enrolled = roster.by_id(session.peer_id());
  if (!enrolled || hello.agent_id() != session.peer_id())
    return session.end("its hello is of another agent than its certificate");
  v1::ToAgent answer;
  v1::CoordinatorHello& greeting = *answer.mutable_hello();
  greeting.set_version(kVersion);
  greeting.set_protocol(kProtocol);
  if (hello.protocol_min() > kProtocol || hello.protocol_max() < kProtocol) {
    greeting.set_error("the agent speaks link protocol " + std::to_string(hello.protocol_min()) + " to " +
                       std::to_string(hello.protocol_max()) + ", this coordinator (" + kVersion +
                       ") speaks " + std::to_string(kProtocol) + "; bring both to the same release");
    session.send(answer);
    return session.finish(greeting.error());
  }
  const std::string name = enrolled->name;
  replace_older(session, name);
  session.agent.name = name;
  session.agent.since_wall_ns = wall_ns();
  by_name[name] = &session;
  store_facts(session, hello.facts(), &hello);
  for (const std::string& hash : session.agent.wanted_manifests) greeting.add_want_manifests(hash);
  for (const std::string& task : hello.open_tasks()) {
    if (wanted && !wanted(name, task)) greeting.add_forget_tasks(task);
  }
  session.send(answer);
  session.start_pings();
}

void LinkServer::Impl::replace_older(Session& session, const std::string& name) {
  const auto older = by_name.find(name);
  if (older == by_name.end()) return;
  Session& other = *older->second;
  other.send(
      goodbye(io::kGoodbyeReplaced, "agent " + name + " connected again from " + session.peer_address()));
  // Lost now, not when its goodbye has left: the newer one is about to be announced.
  const std::string reason = "replaced by a connection from " + session.peer_address();
  by_name.erase(older);
  if (std::exchange(other.agent.announced, false) && events) events->on_lost(name);
  other.finish(reason);
}

void LinkServer::Impl::store_facts(Session& session, const v1::Facts& facts, const v1::AgentHello* hello) {
  const EnrolledAgent* enrolled = roster.by_name(session.agent.name);
  TODD_CHECK(enrolled);  // removal ends the session
  EnrolledAgent changed = *enrolled;
  const std::vector<std::string> offered = changed.facts.manifests;
  changed.facts = facts_of(facts);
  changed.facts.manifests = offered;
  session.agent.engine = facts.engine();
  session.agent.engine_why = facts.engine_why();
  session.agent.quarantined.clear();
  for (const v1::TestletOffer& offer : facts.quarantined())
    session.agent.quarantined.push_back({offer.path(), offer.error()});
  if (hello) {
    changed.facts.manifests.clear();
    for (const v1::TestletOffer& offer : hello->testlets()) {
      if (!offer.error().empty()) {
        session.agent.refused.push_back({offer.path(), offer.error()});
        continue;
      }
      changed.facts.manifests.push_back(offer.hash());
      if (!manifests.has(offer.hash())) session.agent.wanted_manifests.insert(offer.hash());
    }
  }
  if (auto stored = roster.put(changed); !stored) {
    log(LogLevel::error, "fleet",
        "facts of " + session.agent.name + " are not stored: " + stored.error().detail);
  }
  if (offered != changed.facts.manifests) refresh_testlets();
}

void LinkServer::Impl::on_manifest(Session& session, const v1::ManifestText& text) {
  if (session.agent.wanted_manifests.erase(text.hash()) == 0) return;
  if (auto stored = manifests.put(text.hash(), text.json()); !stored) {
    session.agent.refused.push_back({"manifest " + text.hash(), stored.error().detail});
    log(LogLevel::warn, "fleet", "manifest of " + session.agent.name + " refused: " + stored.error().detail);
  }
  refresh_testlets();
  announce_if_ready(session);
}

void LinkServer::Impl::on_facts(Session& session, const v1::Facts& facts) {
  store_facts(session, facts, nullptr);
}

void LinkServer::Impl::on_message(Session& session, const v1::FromAgent& message) {
  if (!events) return;
  const std::string name = session.agent.name;
  if (message.has_ready())
    on_ready(session, message.ready());
  else if (message.has_failed())
    events->on_failed(name, message.failed());
  else
    events->on_record(name, message.record());
}

// Answers come in parts when they hold many endpoints.
void LinkServer::Impl::on_ready(Session& session, const v1::Ready& ready) {
  auto& parts = session.agent.ready_parts;
  auto it = parts.find(ready.task());
  if (!ready.more() && it == parts.end()) return events->on_ready(session.agent.name, ready);
  if (it == parts.end()) it = parts.emplace(ready.task(), std::make_unique<v1::Ready>()).first;
  it->second->MergeFrom(ready);
  if (it->second->endpoints_size() > kMostEndpoints || parts.size() > kMostOpenReadies) {
    return session.end("more parts of Ready than any task can have");
  }
  if (ready.more()) return;
  const std::unique_ptr<v1::Ready> whole = std::move(it->second);
  parts.erase(it);
  whole->set_more(false);
  events->on_ready(session.agent.name, *whole);
}

// As if the agent had answered: later, never from within prepare().
void LinkServer::Impl::refuse(const std::string& agent, const std::string& task, const std::string& why) {
  refused.push_back({agent, task, why});
  if (tell_refused) return;
  tell_refused = loop.after(0, [this] {
    const io::HandlePtr done = std::move(tell_refused);
    for (const Refusal& each : std::exchange(refused, {})) {
      v1::Failed failed;
      failed.set_task(each.task);
      failed.set_reason("local_resource");
      failed.set_detail(each.why);
      if (events) events->on_failed(each.agent, failed);
    }
  });
}

void LinkServer::Impl::on_exchange(Session& session) {
  if (session.clock().known() && live(session.agent.name) == &session)
    clocks[session.agent.name] = session.clock().quality();
  announce_if_ready(session);
}

// A run may plan with this agent once its testlets and its clock are known.
void LinkServer::Impl::announce_if_ready(Session& session) {
  Session::Agent& agent = session.agent;
  if (agent.announced || live(agent.name) != &session || !agent.wanted_manifests.empty() ||
      !session.clock().known())
    return;
  agent.announced = true;
  const std::string name = agent.name;
  log(LogLevel::info, "fleet", "agent " + name + " connected from " + session.peer_address());
  if (events) events->on_connected(name);
}

void LinkServer::Impl::on_end(Session& session, const std::string& reason) {
  const auto it = sessions.find(&session);
  TODD_CHECK(it != sessions.end());
  ended.push_back(std::move(it->second));
  sessions.erase(it);
  if (!sweep) {
    sweep = loop.after(0, [this] {
      const io::HandlePtr done = std::move(sweep);
      ended.clear();
    });
  }
  const std::string name = session.agent.name;
  const std::string who =
      name.empty() ? session.peer_address() : "agent " + name + " at " + session.peer_address();
  log(LogLevel::info, "fleet", "link with " + who + " ended: " + reason);
  const auto current = by_name.find(name);
  if (current == by_name.end() || current->second != &session) return;
  by_name.erase(current);
  if (!std::exchange(session.agent.announced, false)) return;
  if (events) events->on_lost(name);
}

void LinkServer::Impl::refresh_testlets() {
  std::set<std::string> hashes;
  for (const auto& [id, agent] : roster.agents())
    hashes.insert(agent.facts.manifests.begin(), agent.facts.manifests.end());
  newest = manifests.newest(hashes);
}

Session* LinkServer::Impl::live(const std::string& name) const {
  const auto it = by_name.find(name);
  return it == by_name.end() ? nullptr : it->second;
}

run::ClockQuality LinkServer::Impl::clock(const std::string& name) const {
  const Session* session = live(name);
  if (session && session->clock().known()) return session->clock().quality();
  const auto it = clocks.find(name);
  return it == clocks.end() ? run::ClockQuality{} : it->second;
}

void LinkServer::Impl::send(const std::string& agent, const v1::ToAgent& message) const {
  if (Session* session = live(agent)) session->send(message);
}

AgentDetails LinkServer::Impl::details(const EnrolledAgent& enrolled) const {
  AgentDetails result;
  result.facts = enrolled.facts;
  result.enrolled_wall_ns = enrolled.enrolled_wall_ns;
  const Session* session = live(enrolled.name);
  if (!session || !session->agent.announced) return result;
  result.facts.connected = true;
  result.connected_wall_ns = session->agent.since_wall_ns;
  result.peer_address = session->peer_address();
  result.clock = clock(enrolled.name);
  result.engine = session->agent.engine;
  result.engine_why = session->agent.engine_why;
  result.refused = session->agent.refused;
  result.refused.insert(result.refused.end(), session->agent.quarantined.begin(),
                        session->agent.quarantined.end());
  return result;
}

LinkServer::LinkServer(io::Loop& loop, LinkOptions options, Roster& roster)
    : impl_(std::make_unique<Impl>(loop, std::move(options), roster)) {}
LinkServer::~LinkServer() = default;

Status LinkServer::start() { return impl_->start(); }
void LinkServer::set_events(run::TransportEvents& events) { impl_->events = &events; }
void LinkServer::set_wanted(std::function<bool(const std::string&, const std::string&)> wanted) {
  impl_->wanted = std::move(wanted);
}

void LinkServer::stop() {
  impl_->listener.reset();
  std::vector<Session*> all;
  for (const auto& [session, owned] : impl_->sessions) all.push_back(session);
  for (Session* session : all) {
    session->send(goodbye(io::kGoodbyeStopping, "the coordinator is stopping"));
    session->finish("the coordinator is stopping");
  }
}

uint16_t LinkServer::port() const { return impl_->listener ? impl_->listener->port() : 0; }

std::vector<model::Facts> LinkServer::agents() const {
  std::vector<model::Facts> result;
  for (const auto& [id, agent] : impl_->roster.agents()) {
    result.push_back(agent.facts);
    result.back().connected = connected(agent.name);
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.agent < b.agent; });
  return result;
}

Result<AgentDetails> LinkServer::details(const std::string& agent) const {
  const EnrolledAgent* enrolled = impl_->roster.by_name(agent);
  if (!enrolled)
    return fail(Errc::not_found, "no agent named " + agent + " is enrolled; `todd agents` lists them");
  return impl_->details(*enrolled);
}

const std::map<std::string, manifest::Testlet>& LinkServer::testlets() const {
  return impl_->newest.testlets;
}
const std::map<std::string, std::string>& LinkServer::testlet_hashes() const { return impl_->newest.hashes; }

Result<std::string> LinkServer::invite(InviteOptions options) {
  if (options.ttl_ns <= 0 || options.ttl_ns > kLongestTtlNs) {
    return fail(Errc::invalid, "a join token may live up to 24 h");
  }
  auto made = impl_->tokens.make(options.ttl_ns);
  if (!made) return tl::unexpected(made.error());
  return io::write_join_token(
      {advertised(impl_->options, port()), impl_->authority.ca_sha256_hex, made->id, made->secret});
}

Status LinkServer::remove(const std::string& agent) {
  const EnrolledAgent* enrolled = impl_->roster.by_name(agent);
  if (!enrolled)
    return fail(Errc::not_found, "no agent named " + agent + " is enrolled; `todd agents` lists them");
  if (auto removed = impl_->roster.remove(enrolled->id); !removed) return removed;
  if (Session* session = impl_->live(agent)) {
    session->send(goodbye(io::kGoodbyeIdentityInvalid, "agent " + agent + " was taken out of the fleet"));
    // No longer reachable from here on; on_lost follows in finish's end, so it is told now instead.
    impl_->by_name.erase(agent);
    if (std::exchange(session->agent.announced, false) && impl_->events) impl_->events->on_lost(agent);
    session->finish("taken out of the fleet");
  }
  impl_->clocks.erase(agent);
  impl_->refresh_testlets();
  return {};
}

bool LinkServer::connected(const std::string& agent) const {
  const Session* session = impl_->live(agent);
  return session && session->agent.announced;
}

run::ClockQuality LinkServer::clock(const std::string& agent) const { return impl_->clock(agent); }

void LinkServer::prepare(const std::string& agent, const v1::Task& task) {
  Session* session = impl_->live(agent);
  if (!session) return;
  auto parts = split_task(task);
  if (!parts) return impl_->refuse(agent, task.id(), parts.error().detail);
  for (v1::Prepare& part : *parts) {
    v1::ToAgent message;
    *message.mutable_prepare() = std::move(part);
    session->send(message);
  }
}

void LinkServer::start(const std::string& agent, const std::string& task, int64_t at_wall_ns) {
  v1::ToAgent message;
  message.mutable_start()->set_task(task);
  message.mutable_start()->set_at_wall_ns(at_wall_ns + clock(agent).offset_ns);
  impl_->send(agent, message);
}

void LinkServer::stop(const std::string& agent, const std::string& task, bool cancel) {
  v1::ToAgent message;
  message.mutable_stop()->set_task(task);
  message.mutable_stop()->set_cancel(cancel);
  impl_->send(agent, message);
}

void LinkServer::ack(const std::string& agent, const std::string& task, uint64_t seq) {
  v1::ToAgent message;
  message.mutable_ack()->set_task(task);
  message.mutable_ack()->set_seq(seq);
  impl_->send(agent, message);
}

}  // namespace todd::fleet
