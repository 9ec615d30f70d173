#include "engine/lane/instance.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/base/check.h"
#include "engine/io/sockets.h"
#include "engine/lane/datagram_flow.h"
#include "engine/lane/errors.h"
#include "engine/lane/peer_flow.h"
#include "engine/lane/stream_flow.h"

namespace todd::lane {
namespace {

constexpr size_t kDone = 256;
constexpr size_t kOps = 512;
constexpr int64_t kSecond = 1'000'000'000;
// How long a testlet may take to finish after its last ticket and the last timeout, and a responder after
// STOP.
constexpr int64_t kDrainNs = kSecond;
constexpr uint32_t kMaxFlows = 64;

// While it lives, completions queue up instead of stepping the testlet: its operations, or a flow's table,
// are being walked.
class Busy {
 public:
  explicit Busy(bool& flag) : flag_(flag), before_(std::exchange(flag, true)) {}
  ~Busy() { flag_ = before_; }

 private:
  bool& flag_;
  bool before_;
};

}  // namespace

Instance::Instance(TaskSetup& setup, io::Reactor& reactor, const InstanceEvents& events,
                   const todd_host& host)
    : setup_(setup),
      reactor_(reactor),
      events_(events),
      host_(host),
      cells_(*setup.layout, setup.cells),
      warming_up_(setup.warm_up_ns > 0 && setup.run.role == TODD_SOURCE),
      schedule_(setup.plan),
      bulk_(reactor) {
  plan_tickets();
  cells_.mute(warming_up_);
  lane_ = {.size = sizeof lane_, .index = 0, .host = &host_, .run = &setup_.run, .ctx = this};
  metric_base_ = static_cast<uint32_t>(manifest::host_metrics(setup_.manifest).size());
  for (const auto& metric : setup_.manifest.metrics) merges_.push_back(metric.merge);
  for (uint32_t i = 0; i < setup_.peer_tokens.size(); ++i) peers_[setup_.peer_tokens[i]] = i;
  tickets_.reserve(schedule::Pacer::kBurst);
  if (setup_.manifest.schedule.tickets) target_finished_.assign(setup_.targets.size(), false);
  done_.reserve(kDone + kOps);
  stepping_.reserve(kDone + kOps);
  ops_.resize(kOps);
  now_ns_ = monotonic_ns();
  clock_.refresh();
}

Instance::~Instance() = default;

uint32_t Instance::edge_of(uint32_t target) const {
  if (setup_.run.role == TODD_RESPONDER) return target < setup_.peer_tokens.size() ? target : TODD_NONE;
  const Target* const found = target_at(target);
  return found != nullptr ? found->edge : TODD_NONE;
}

void Instance::host_count(HostMetric metric, uint32_t target, uint64_t n) {
  if (metric < metric_base_) cells_.count(metric, edge_of(target), n);
}

void Instance::begin() {
  phase_ = Phase::started;
  todd_error error{.size = sizeof error, .code = 0, .text = {}};
  starting_ = true;
  const todd_status status = [&] {
    const stats::InTestlet mark(setup_.cells);
    return setup_.testlet->start(setup_.instance, &lane_, &error);
  }();
  starting_ = false;
  if (status < 0) {
    const char* reason = failed_reason(status);
    phase_ = Phase::ended;
    events_.failed(setup_.id, reason,
                   error.text[0] != '\0' ? std::string(error.text)
                                         : std::string(strerror(status > -10000 ? -status : EINVAL)));
    return;
  }
  leave_out_refused();
  if (!said_ready_) return;
  phase_ = Phase::prepared;
  tell_ready();
}

void Instance::refuse_target(uint32_t target, std::string why) {
  if (starting_ && target < setup_.targets.size()) refused_.emplace(target, std::move(why));
}

void Instance::tell_ready() {
  InstanceEvents::Refused edges;
  for (const auto& [target, why] : refused_) edges.emplace(edge_of(target), why);
  if (!edges.empty() && events_.refused) events_.refused(setup_.id, edges);
  events_.ready(setup_.id, port_);
}

void Instance::testlet_ready() {
  if (said_ready_) return;
  said_ready_ = true;
  if (phase_ != Phase::started || !busy_) return;  // in start(): told when it returns
  phase_ = Phase::prepared;
  tell_ready();
}

void Instance::start_at(int64_t start_wall_ns) {
  if (phase_ == Phase::ended || start_ns_ != INT64_MAX) return;
  start_ns_ = std::max(clock_.to_mono(start_wall_ns), now_ns_);
  if (setup_.deadline_ns > 0) end_ns_ = start_ns_ + setup_.deadline_ns;
}

void Instance::stop(bool cancel) {
  stop_wanted_ = true;
  cancel_wanted_ |= cancel;
}

void Instance::period_copied() {
  if (!cells_.waiting_for_copy()) return;
  cells_.copied();
  if (phase_ == Phase::closing) phase_ = Phase::ended;
}

bool Instance::stepping_allowed() const {
  if (phase_ == Phase::running || phase_ == Phase::draining) return true;
  if (phase_ == Phase::started) return true;  // it has not said ready
  return setup_.run.role == TODD_RESPONDER && phase_ == Phase::prepared;
}

void Instance::work(int64_t now_ns) {
  now_ns_ = now_ns;
  clock_.refresh();
  clock_read_ = false;
  graveyard_.clear();
  for (auto* flow : stream_flows_) flow->forget_closed();
  if (phase_ == Phase::closing || phase_ == Phase::ended) return;  // the flows are gone
  run_timers();
  tend_flows();
  advance();
  if (stepping_allowed()) {
    take_tickets();
    step();
  }
  advance();
  if (phase_ == Phase::running || phase_ == Phase::draining) {
    if (now_ns_ >= period_end_ns_ && !cells_.waiting_for_copy()) close_period(false);
  }
  if (phase_ == Phase::ending && !cells_.waiting_for_copy()) close_period(true);

  wake_ns_ = INT64_MAX;
  if (phase_ == Phase::closing) return close_flows();
  if (phase_ == Phase::ended || phase_ == Phase::ending) return;
  if (phase_ == Phase::prepared && start_ns_ != INT64_MAX) wake_ns_ = start_ns_;
  if (phase_ == Phase::running) {
    bool room = true;
    for (auto* flow : datagram_flows_) room &= flow->tickets_ahead(1, !schedule_.paced()) != 0;
    if (!tickets_.empty())
      wake_ns_ = pacer_end_ns();
    else if (setup_.manifest.schedule.tickets && setup_.run.role == TODD_SOURCE && room)
      wake_ns_ = pacer_->next_due_ns();
  }
  if (phase_ == Phase::running || phase_ == Phase::draining) {
    if (!cells_.waiting_for_copy()) wake_ns_ = std::min(wake_ns_, period_end_ns_);
    wake_ns_ = std::min({wake_ns_, end_ns_, drain_by_ns_, warm_up_end_ns()});
  }
  if (plugin_wake_ns_ != 0) wake_ns_ = std::min(wake_ns_, plugin_wake_ns_);
  if (!timers_.empty()) wake_ns_ = std::min(wake_ns_, timers_.top().at_ns);
  for (auto* flow : datagram_flows_) wake_ns_ = std::min(wake_ns_, flow->next_deadline());
  for (auto* flow : stream_flows_) wake_ns_ = std::min(wake_ns_, flow->next_deadline());
  if (!done_.empty() ||
      (phase_ == Phase::draining && (told_state_ == TODD_RUNNING || told_state_ == TODD_WARMING_UP)))
    wake_ns_ = 0;
}

void Instance::check_host_drops(int64_t within_ns) {
  if (softnet_asked_ns_ != INT64_MIN && now_ns_ - softnet_asked_ns_ < within_ns) return;
  softnet_asked_ns_ = now_ns_;
  if (const uint64_t dropped = softnet_.take(); dropped != 0) add_drops(dropped);
}

void Instance::tend_flows() {
  const Busy walking(busy_);
  // Often enough that no old drop excuses a loss of now.
  constexpr int64_t kAskEveryNs = 100'000'000;
  if (phase_ == Phase::running && !datagram_flows_.empty()) check_host_drops(kAskEveryNs);
  for (auto* flow : datagram_flows_) {
    flow->retry_blocked();
    flow->expire(now_ns_, done_.size() < kDone ? kDone - done_.size() : 0);
  }
  for (auto* flow : stream_flows_) flow->expire(now_ns_);
  tend_bulk();
}

void Instance::advance() {
  const bool source = setup_.run.role == TODD_SOURCE;
  if (phase_ == Phase::prepared && now_ns_ >= start_ns_) {
    phase_ = Phase::running;
    begin_periods();
  }
  if (now_ns_ >= warm_up_end_ns()) begin_counting();
  if (cancel_wanted_ && phase_ < Phase::ending) {
    cancel_everything();
    return finish("cancelled", "", "");
  }
  if (stop_wanted_ && (phase_ == Phase::started || phase_ == Phase::prepared))
    return finish("complete", "", "");
  if (phase_ == Phase::running) {
    if ((source && schedule_over()) || stop_wanted_) {
      phase_ = Phase::draining;
      drain_by_ns_ = now_ns_ + kDrainNs + (source ? setup_.timeout_ns : 0);
    }
  }
  if (phase_ == Phase::draining && finished_) return finish("complete", "", "");
  if (phase_ == Phase::draining && now_ns_ >= drain_by_ns_) {
    cancel_everything();
    return finish("complete", "", "");
  }
  if (phase_ == Phase::running && finished_) return finish("complete", "", "");
  if ((phase_ == Phase::running || phase_ == Phase::draining) && now_ns_ >= end_ns_) {
    cancel_everything();
    finish("error", "deadline", "the test did not end within its time");
  }
}

void Instance::cancel_flows() {
  const Busy walking(busy_);
  for (auto* flow : datagram_flows_) flow->cancel_all();
  for (auto* flow : stream_flows_) flow->cancel_all();
}

// Closing can take long (a packet socket 10 ms): it is done while the supervisor reads the last period.
void Instance::close_flows() {
  graveyard_.clear();  // its streams still tell their flow what they receive
  datagram_flows_.clear();
  stream_flows_.clear();
  flows_.clear();
}

void Instance::cancel_everything() {
  cancel_flows();
  phase_ = Phase::draining;
  cancel_wanted_ = true;
  step();
}

void Instance::finish(const char* state, std::string reason, std::string detail) {
  state_ = state;
  reason_ = std::move(reason);
  detail_ = std::move(detail);
  cancel_flows();
  done_.clear();
  if (warming_up_) forget_counts();
  if (phase_ == Phase::started || phase_ == Phase::prepared) {
    period_from_ns_ = now_ns_;
    read_cpu();
  }
  phase_ = Phase::ending;
}

void Instance::step() {
  if (busy_) return;
  const uint32_t state = cancel_wanted_              ? TODD_CANCELLED
                         : phase_ == Phase::draining ? TODD_DRAINING
                         : phase_ == Phase::running  ? (warming_up_ ? TODD_WARMING_UP : TODD_RUNNING)
                                                     : TODD_PREPARED;
  const bool woken = plugin_wake_ns_ != 0 && plugin_wake_ns_ <= now();
  if (phase_ != Phase::running || cancel_wanted_) tickets_.clear();
  const bool fresh = !tickets_.empty() && !kept_;
  if (done_.empty() && !fresh && !woken && state == told_state_) return;
  told_state_ = state;
  slot_views_.clear();
  for (auto& flow : flows_) slot_views_.push_back(flow->offer());
  stepping_.clear();
  stepping_.swap(done_);
  todd_batch batch{};
  batch.size = sizeof batch;
  batch.state = state;
  batch.now_ns = now();
  batch.start_ns = start_ns_ == INT64_MAX ? 0 : start_ns_;
  batch.deadline_ns = end_ns_;
  batch.wall_minus_host_ns = clock_.to_wall(0);
  batch.done = stepping_.data();
  batch.n_done = static_cast<uint32_t>(stepping_.size());
  batch.ticket = tickets_.data();
  batch.n_ticket = static_cast<uint32_t>(tickets_.size());
  batch.op = ops_.data();
  batch.cap_op = kOps;
  batch.slots = slot_views_.data();
  batch.n_flow = static_cast<uint32_t>(slot_views_.size());
  batch.served = 0;
  call_step(batch);
}

// What completes at once while operations are begun waits for the next step: they lie in the one array there
// is.
void Instance::call_step(todd_batch& batch) {
  const Busy stepping(busy_);
  const todd_status status = [&] {
    const stats::InTestlet mark(setup_.cells);
    return setup_.testlet->step(setup_.instance, &batch);
  }();
  plugin_wake_ns_ = batch.wake_ns;
  settle_tickets(batch.served, batch.now_ns);
  for (auto& flow : flows_) flow->forget_received();
  finished_ |= status == 1;
  if (status < 0 && phase_ < Phase::ending)
    return finish("error", "testlet_failed",
                  "the testlet's step failed: " + std::string(strerror(status > -10000 ? -status : EPROTO)));
  if (batch.state == TODD_CANCELLED) return;
  const uint32_t n = std::min(batch.n_op, batch.cap_op);
  for (uint32_t i = 0; i < n; ++i) run_op(ops_[i]);
}

void Instance::reject(const todd_op& op, int error) {
  complete({.user = op.user,
            .result = -error,
            .code = op.code,
            .flags = TODD_DF_LOCAL,
            .flow = op.flow,
            .target = op.target,
            .slot = TODD_NONE,
            .rx_ns = now()});
}

void Instance::run_op(const todd_op& op) {
  switch (op.code) {
    case TODD_OP_TIMER:
      return add_timer(op.at_ns, [this, user = op.user] {
        complete({.user = user,
                  .result = 0,
                  .code = TODD_OP_TIMER,
                  .target = TODD_NONE,
                  .slot = TODD_NONE,
                  .rx_ns = now()});
      });
    case TODD_OP_RESOLVE: return resolve(op);
    case TODD_OP_SEND:
    case TODD_OP_EXCHANGE: return run_send(op);
    case TODD_OP_CONNECT:
    case TODD_OP_LISTEN: {
      StreamBase* const flow = op.flow < flows_.size() ? flows_[op.flow]->as_stream() : nullptr;
      if (flow == nullptr) return reject(op, EBADF);
      return op.code == TODD_OP_CONNECT ? flow->connect(op) : flow->listen(op);
    }
    case TODD_OP_RECV:
    case TODD_OP_SHUTDOWN:
    case TODD_OP_CLOSE:
    case TODD_OP_TLS: return run_stream(op);
    default: return reject(op, EOPNOTSUPP);
  }
}

void Instance::run_send(const todd_op& op) {
  if (op.flow >= flows_.size()) return reject(op, EBADF);
  DatagramFlow* const datagram = flows_[op.flow]->as_datagram();
  StreamBase* const stream = datagram == nullptr ? stream_flow_of(op.key) : nullptr;
  Flow* const flow = datagram != nullptr ? static_cast<Flow*>(datagram) : stream;
  if (flow == nullptr) return reject(op, ENOTCONN);
  if (op.slot == TODD_NONE || op.len > flow->slot_cap() || !flow->take(op.slot)) return reject(op, EINVAL);
  if (datagram != nullptr) return datagram->run(op);
  if (op.code != TODD_OP_SEND || !stream->run(op)) reject(op, ENOTCONN);
}

void Instance::run_stream(const todd_op& op) {
  StreamBase* const stream = stream_flow_of(op.key);
  if (stream == nullptr) return op.code == TODD_OP_CLOSE ? void() : reject(op, ENOTCONN);
  const bool takes = op.code == TODD_OP_TLS && op.slot != TODD_NONE;
  if (takes && (op.len > stream->slot_cap() || !stream->take(op.slot))) return reject(op, EINVAL);
  if (!stream->run(op)) reject(op, EINVAL);
}

void Instance::complete(const todd_done& done) {
  if (phase_ >= Phase::ending) return;
  if (done_.size() >= kDone && !busy_) step();
  received_ += done.code == TODD_OP_RECV || done.code == TODD_OP_ACCEPT ? 1 : 0;
  done_.push_back(done);
}

void Instance::make_room(Flow& flow, uint32_t len) {
  // A step on account of the completion itself would come between storing and telling, and forget what was
  // stored.
  if ((!flow.fits(len) || done_.size() >= kDone) && !busy_) step();
}

void Instance::add_timer(int64_t at_ns, std::function<void()> task) {
  timers_.push({at_ns, ++timer_order_});
  timer_tasks_[timer_order_] = std::move(task);
}

void Instance::run_timers() {
  while (!timers_.empty() && timers_.top().at_ns <= now_ns_) {
    auto task = timer_tasks_.extract(timers_.top().order);
    timers_.pop();
    if (task) task.mapped()();
  }
}

todd_status Instance::open_flow(todd_flow& wanted, uint32_t* flow, todd_error* error) {
  if (flows_.size() >= kMaxFlows) return set_error(error, -EMFILE, "a testlet may open at most 64 flows");
  if (wanted.slot_cap == 0 || wanted.slot_cap > 4u << 20)
    return set_error(error, -EINVAL, "a flow's slot_cap must be 1 to 4 MiB");
  // A testlet built before the struct grew gives as much as it knows of.
  todd_flow whole{};
  memcpy(&whole, &wanted, std::clamp<size_t>(wanted.size, offsetof(todd_flow, ident), sizeof whole));
  const auto index = static_cast<uint32_t>(flows_.size());
  if (wanted.proto == TODD_TCP || wanted.proto == TODD_PEERS) {
    if (const Status usable = check_egress(setup_); !usable)
      return set_error(error, status_of(usable.error()), usable.error().detail);
    std::unique_ptr<StreamBase> made;
    if (wanted.proto == TODD_TCP)
      made = std::make_unique<StreamFlow>(*this, index, whole);
    else
      made = std::make_unique<PeerFlow>(*this, index, whole);
    if (const todd_status status = made->usable(error); status < 0) return status;
    stream_flows_.push_back(made.get());
    flows_.push_back(std::move(made));
  } else if (wanted.proto == TODD_ICMP || wanted.proto == TODD_UDP) {
    std::unique_ptr<DatagramFlow> made;
    const todd_status status = DatagramFlow::open(*this, index, whole, error, made);
    if (status < 0) return status;
    wanted.local_port = whole.local_port;
    datagram_flows_.push_back(made.get());
    flows_.push_back(std::move(made));
  } else {
    return set_error(error, TODD_E_UNSUPPORTED, "unknown flow protocol");
  }
  *flow = index;
  return 0;
}

todd_status Instance::describe_target(uint32_t index, todd_target& out) {
  if (index >= setup_.targets.size() || out.size < offsetof(todd_target, name)) return -EINVAL;
  const Target& target = setup_.targets[index];
  const auto& spec = (*setup_.specs)[target.spec];
  const int family = target.address.sa.sa_family;
  if (out.size < offsetof(todd_target, clock_offset_ns)) {  // numbers alone
    out.port = io::port_of(target.address);
    out.family = family == AF_INET ? 4 : family == AF_INET6 ? 6 : 0;
    copy_host(target.address, out.address);
    out.scope = family == AF_INET6 ? target.address.v6.sin6_scope_id : 0;
    out.peer_token = spec.peer_token;
    return 0;
  }
  auto known = described_.find(index);
  if (known == described_.end()) {
    auto keep = [this](std::string text) { return strings_.emplace_back(std::move(text)).c_str(); };
    todd_target made{};
    made.size = offsetof(todd_target, name);
    (void)describe_target(index, made);
    made.size = sizeof made;
    made.clock_offset_ns = spec.clock_offset_ns;
    made.clock_error_ns = spec.clock_error_ns;
    made.host = keep(schedule::host_at(spec, target.offset));
    made.name = spec.name.empty() ? made.host : keep(spec.name);
    made.url = keep(spec.url);
    made.address_text = keep(family == 0 ? "" : io::format_address(target.address));
    known = described_.emplace(index, made).first;
  }
  // A testlet built before the struct grew gets what it has room for.
  const uint32_t size = out.size;
  memcpy(&out, &known->second, std::min<size_t>(size, sizeof(todd_target)));
  out.size = size;
  return 0;
}

todd_status Instance::describe_local(uint32_t flow, uint32_t target, todd_target& out) {
  if (flow >= flows_.size() || target >= setup_.targets.size() ||
      out.size < offsetof(todd_target, clock_offset_ns))
    return -EINVAL;
  const auto& to = setup_.targets[target].address;
  if (to.sa.sa_family == 0) return -EADDRNOTAVAIL;
  const auto source = io::source_address(to, setup_.egress);
  if (!source) return source.error().sys_errno != 0 ? -source.error().sys_errno : -EADDRNOTAVAIL;
  out.port = flows_[flow]->local_port(to.sa.sa_family);
  out.family = to.sa.sa_family == AF_INET ? 4 : 6;
  copy_host(*source, out.address);
  local_text_ = io::format_address(*source);
  out.address_text = local_text_.c_str();
  return 0;
}

}  // namespace todd::lane
