#include "coordinator/run/codec.h"

#include <utility>

#include "coordinator/proto/egress.h"
#include "coordinator/run/params.h"
#include "todd/v1/journal.pb.h"
#include "todd/v1/task.pb.h"

namespace todd::run {
namespace {

v1::Task common(const Run& run, const Task& task, v1::Role role, int64_t deadline_ns) {
  const model::TestPlan& plan = *run.tests[task.test].plan;
  v1::Task out;
  out.set_id(task.id);
  out.set_run_id(run.id);
  out.set_test(task.test);
  out.set_testlet(plan.testlet.id);
  const auto hash = run.request.manifest_hashes.find(plan.testlet.id);
  if (hash != run.request.manifest_hashes.end()) out.set_manifest_hash(hash->second);
  out.set_role(role);
  encode_params(plan.params, out);
  v1::Schedule* schedule = out.mutable_schedule();
  schedule->set_count(plan.host.count);
  schedule->set_interval_ns(plan.host.interval_ns);
  schedule->set_rate(plan.host.rate);
  schedule->set_duration_ns(plan.host.duration_ns);
  schedule->set_timeout_ns(plan.host.timeout_ns);
  schedule->set_period_ns(plan.host.period_ns);
  schedule->set_samples(plan.host.samples);
  schedule->set_stamps(static_cast<uint32_t>(plan.host.stamps));
  schedule->set_shape(static_cast<uint32_t>(plan.host.shape));
  schedule->set_burst(plan.host.burst);
  schedule->set_ramp_ns(plan.host.ramp_ns);
  schedule->set_warm_up_ns(plan.host.warm_up_ns);
  out.set_deadline_ns(deadline_ns);
  if (role == v1::SOURCE) wire::put_egress(plan.host.egress, *out.mutable_egress());
  return out;
}

// 4 or 6 if the edge can only be that.
uint32_t family_of(const model::Edge& edge) {
  const std::string& host = edge.address.empty() ? edge.target.host : edge.address;
  if (edge.family == model::Family::v4) return 4;
  if (edge.family == model::Family::v6) return 6;
  if (host.find(':') != std::string::npos) return 6;
  return !host.empty() && host.find_first_not_of("0123456789./-") == std::string::npos ? 4 : 0;
}

uint32_t family_of(const TestRun& test, const std::vector<uint32_t>& edges) {
  const uint32_t first = family_of(test.plan->edges[edges.front()]);
  for (const uint32_t e : edges) {
    if (family_of(test.plan->edges[e]) != first) return 0;
  }
  return first;
}

void encode_spec(const schedule::TargetSpec& in, v1::TargetSpec* out) {
  out->set_name(in.name);
  out->set_host(in.host);
  out->set_port(in.port);
  out->set_url(in.url);
  out->set_agent(in.agent);
}

void encode_endpoint(const model::EndpointRef& in, v1::JournalEndpoint* out) {
  out->set_agent(in.agent);
  out->set_agent_id(in.agent_id);
  *out->mutable_groups() = {in.groups.begin(), in.groups.end()};
}

model::EndpointRef decode_endpoint(const v1::JournalEndpoint& in) {
  return {in.agent(), in.agent_id(), {in.groups().begin(), in.groups().end()}};
}

void encode_test(const Run& run, const model::TestPlan& plan, v1::JournalTest* out) {
  out->set_name(plan.test.name);
  out->set_label(plan.label);
  out->set_step(static_cast<uint32_t>(plan.step));
  manifest::Manifest manifest;
  manifest.testlets.push_back(plan.testlet);
  out->set_manifest(manifest::write_manifest(manifest));
  const auto hash = run.request.manifest_hashes.find(plan.testlet.id);
  if (hash != run.request.manifest_hashes.end()) out->set_manifest_hash(hash->second);
  out->mutable_params()->insert(plan.test.params.begin(), plan.test.params.end());
  *out->mutable_from() = {plan.test.from.values.begin(), plan.test.from.values.end()};
  *out->mutable_to() = {plan.test.to.values.begin(), plan.test.to.values.end()};
  for (const model::Edge& edge : plan.edges) {
    v1::JournalEdge* e = out->add_edges();
    encode_endpoint(edge.source, e->mutable_source());
    e->set_target_name(edge.target_name);
    encode_endpoint(edge.target_agent, e->mutable_target_agent());
    encode_spec(edge.target, e->mutable_target());
    e->set_address(edge.address);
    e->set_family(static_cast<uint32_t>(edge.family));
  }
  for (const model::Expectation& expectation : plan.expectations) {
    v1::JournalExpectation* e = out->add_expectations();
    e->set_text(expectation.text);
    e->set_warn_only(expectation.severity == model::Severity::warn);
  }
  out->set_alongside(plan.alongside);
  out->set_before_ns(plan.test.before_ns);
  out->set_after_ns(plan.test.after_ns);
  out->set_at_once(plan.at_once);
  out->set_duration_ns(plan.duration_ns);
  *out->mutable_warnings() = {plan.warnings.begin(), plan.warnings.end()};
}

Result<model::TestPlan> decode_test(const v1::JournalTest& in) {
  model::TestPlan plan;
  auto manifest = manifest::parse_manifest(in.manifest());
  if (!manifest) return tl::unexpected(manifest.error());
  if (manifest->testlets.size() != 1) return fail(Errc::corrupt, "a test without its testlet");
  plan.testlet = std::move(manifest->testlets.front());
  plan.test.name = in.name();
  plan.test.testlet = plan.testlet.id;
  plan.test.from.values = {in.from().begin(), in.from().end()};
  plan.test.to.values = {in.to().begin(), in.to().end()};
  plan.test.params = {in.params().begin(), in.params().end()};
  plan.test.before_ns = in.before_ns();
  plan.test.after_ns = in.after_ns();
  plan.alongside = in.alongside();
  plan.label = in.label();
  plan.step = in.step();
  auto params = manifest::resolve_params(plan.testlet.params, plan.test.params);
  if (!params) return tl::unexpected(params.error());
  plan.params = std::move(*params);
  auto host = model::host_params_of(plan);
  if (!host) return tl::unexpected(host.error());
  plan.host = *host;
  for (const v1::JournalEdge& e : in.edges()) {
    model::Edge edge;
    edge.source = decode_endpoint(e.source());
    edge.target_name = e.target_name();
    edge.target_agent = decode_endpoint(e.target_agent());
    edge.target.name = e.target().name();
    edge.target.host = e.target().host();
    edge.target.port = static_cast<uint16_t>(e.target().port());
    edge.target.url = e.target().url();
    edge.target.agent = e.target().agent();
    edge.address = e.address();
    edge.family = static_cast<model::Family>(e.family());
    plan.edges.push_back(std::move(edge));
  }
  for (const v1::JournalExpectation& e : in.expectations()) {
    auto expectation = model::parse_expectation(e.text(), plan.testlet, !plan.alongside.empty());
    if (!expectation) return tl::unexpected(expectation.error());
    expectation->severity = e.warn_only() ? model::Severity::warn : model::Severity::fail;
    plan.expectations.push_back(std::move(*expectation));
  }
  plan.at_once = in.at_once();
  plan.duration_ns = in.duration_ns();
  plan.warnings = {in.warnings().begin(), in.warnings().end()};
  return plan;
}
}  // namespace

v1::Task source_task(const Run& run, const Task& task, const std::map<uint32_t, Answerer>& answerers,
                     int64_t deadline_ns) {
  const TestRun& test = run.tests[task.test];
  v1::Task out = common(run, task, v1::SOURCE, deadline_ns);
  for (size_t i = 0; i < task.edges.size(); ++i) {
    const model::Edge& edge = test.plan->edges[task.edges[i]];
    v1::TargetSpec* target = out.add_targets();
    encode_spec(edge.target, target);
    if (target->name().empty()) target->set_name(edge.target_name);
    if (!edge.address.empty()) target->set_host(edge.address);
    if (const std::string known = test.known_address(task.edges[i]); !known.empty() && target->url().empty())
      target->set_host(known);
    target->set_agent(edge.target_agent.agent);
    const Answerer& answerer = answerers.at(task.edges[i]);
    if (answerer.port != 0) target->set_port(answerer.port);
    target->set_peer_token(answerer.token);
    target->set_family(family_of(edge));
  }
  out.set_family(family_of(test, task.edges));
  return out;
}

v1::Task responder_task(const Run& run, const Task& task, const std::map<uint32_t, Answerer>& answerers,
                        int64_t deadline_ns) {
  const TestRun& test = run.tests[task.test];
  v1::Task out = common(run, task, v1::RESPONDER, deadline_ns);
  for (size_t i = 0; i < task.edges.size(); ++i) {
    v1::Peer* peer = out.add_peers();
    peer->set_token(answerers.at(task.edges[i]).token);
    peer->set_name(test.plan->edges[task.edges[i]].source.agent);
  }
  out.set_family(family_of(test, task.edges));
  for (const model::Facts& facts : run.request.agents) {
    if (facts.agent != task.agent) continue;
    out.set_listen_first(facts.listen_first);
    out.set_listen_last(facts.listen_last);
  }
  return out;
}

v1::JournalOpened encode_opened(const Run& run) {
  v1::JournalOpened out;
  out.set_id(run.id);
  out.set_started_wall_ns(run.started_wall_ns);
  out.set_suite(run.request.suite);
  out.set_spec_digest(run.request.spec_digest);
  out.set_trigger(static_cast<uint32_t>(run.request.trigger));
  out.mutable_labels()->insert(run.request.labels.begin(), run.request.labels.end());
  out.set_check_only(run.request.check_only);
  for (const model::TestPlan& plan : run.request.plans) encode_test(run, plan, out.add_tests());
  for (const model::Facts& facts : run.request.agents) {
    v1::JournalAgent* agent = out.add_agents();
    agent->set_name(facts.agent);
    agent->set_id(facts.id);
    agent->set_version(facts.version);
    *agent->mutable_test_addresses() = {facts.test_addresses.begin(), facts.test_addresses.end()};
    agent->set_listen_first(facts.listen_first);
    agent->set_listen_last(facts.listen_last);
  }
  return out;
}

Result<std::unique_ptr<Run>> decode_opened(const v1::JournalOpened& opened) {
  Request request;
  request.suite = opened.suite();
  request.spec_digest = opened.spec_digest();
  request.trigger = static_cast<model::Trigger>(opened.trigger());
  request.labels = {opened.labels().begin(), opened.labels().end()};
  request.check_only = opened.check_only();
  for (const v1::JournalTest& test : opened.tests()) {
    auto plan = decode_test(test);
    if (!plan) return tl::unexpected(plan.error());
    request.manifest_hashes[plan->testlet.id] = test.manifest_hash();
    request.plans.push_back(std::move(*plan));
  }
  for (const v1::JournalAgent& agent : opened.agents()) {
    model::Facts facts;
    facts.agent = agent.name();
    facts.id = agent.id();
    facts.version = agent.version();
    facts.test_addresses = {agent.test_addresses().begin(), agent.test_addresses().end()};
    facts.listen_first = static_cast<uint16_t>(agent.listen_first());
    facts.listen_last = static_cast<uint16_t>(agent.listen_last());
    request.agents.push_back(std::move(facts));
  }
  return make_run(opened.id(), std::move(request), opened.started_wall_ns());
}

}  // namespace todd::run
