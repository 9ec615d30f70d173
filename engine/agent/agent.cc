#include "engine/agent/agent.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "engine/agent/facts.h"
#include "engine/agent/link.h"
#include "engine/agent/spool.h"
#include "engine/base/log.h"
#include "engine/manifest/units.h"
#include "engine/supervise/supervisor.h"
#include "todd/v1/link.pb.h"

namespace todd::agent {
namespace {
constexpr int kMostEdges = 1 << 20;
constexpr int64_t kFarewellNs = 5'000'000'000;  // for last records to be made and acknowledged

supervise::SupervisorOptions supervisor_options(const Config& config) {
  supervise::SupervisorOptions options = supervise::default_options();
  if (!config.testlet_folders.empty()) options.testlet_folders = config.testlet_folders;
  options.secrets.folder = config.secrets;
  options.engine = config.engine;
  options.lanes = config.threads;
  return options;
}

// Why a task cannot be one; "" if it can.
std::string malformed(const v1::Task& task) {
  if (task.id().empty() || task.testlet().empty()) return "a task without id or testlet";
  if (task.role() != v1::SOURCE && task.role() != v1::RESPONDER) return "a task without role";
  if (task.targets_size() > kMostEdges || task.peers_size() > kMostEdges)
    return "a task with more than 1,048,576 edges";
  if (task.listen_first() > task.listen_last() || task.listen_last() > UINT16_MAX ||
      task.listen_port() > UINT16_MAX) {
    return "a task with ports that are none";
  }
  if (task.deadline_ns() < 0) return "a task whose deadline is negative";
  return "";
}
}  // namespace

struct Agent::Impl {
  Impl(io::Loop& l, const Clock& c, Config g, Identity identity, std::function<void(Status)> e,
       int64_t longest_away_ns)
      : loop(l),
        config(std::move(g)),
        ended(std::move(e)),
        lease_ns(longest_away_ns),
        supervisor(l, supervisor_options(config), supervisor_events()),
        link(l, std::move(identity), spool, c, link_events()) {}

  supervise::Supervisor::Events supervisor_events();
  Link::Events link_events();
  void hello(v1::AgentHello& hello);
  void facts(v1::Facts& facts);
  void tell_facts();
  std::string manifest(const std::string& hash) const;
  void prepare(const v1::Task& task);
  void refuse(const std::string& task, const char* reason, const std::string& detail);
  void start(const std::string& task, int64_t at_wall_ns);
  void record(v1::Record&& record);
  void link_changed(bool up);
  void stop_all(const std::string& why, bool cancel);
  void shut_down();
  void end_if_done();
  void end(Status status);

  io::Loop& loop;
  Config config;
  std::function<void(Status)> ended;
  const int64_t lease_ns;
  Spool spool;
  std::set<std::string> open;                  // tasks prepared here whose last word was not spoken
  std::map<std::string, v1::Ready> answers;    // what was answered for them: the link may have been down
  std::map<std::string, std::string> stopped;  // of them, those this agent ends by itself, and why
  supervise::Supervisor supervisor;
  Link link;
  io::HandlePtr lease;
  io::HandlePtr farewell;
  io::HandlePtr ending;
  bool untold = false;  // facts changed since the last hello, while the link was not up yet
  bool leaving = false;
};

supervise::Supervisor::Events Agent::Impl::supervisor_events() {
  supervise::Supervisor::Events events;
  events.ready = [this](const v1::Ready& ready) {
    if (!open.contains(ready.task())) return supervisor.stop_task(ready.task(), true);  // forgotten meanwhile
    answers[ready.task()] = ready;
    link.send(ready);
  };
  events.failed = [this](const v1::Failed& failed) {
    answers.erase(failed.task());
    stopped.erase(failed.task());
    if (open.erase(failed.task()) > 0) link.send(failed);
    end_if_done();
  };
  events.record = [this](v1::Record&& made) { record(std::move(made)); };
  events.changed = [this] {
    untold = true;
    if (link.up()) tell_facts();
  };
  return events;
}

Link::Events Agent::Impl::link_events() {
  Link::Events events;
  events.hello = [this](v1::AgentHello& message) { hello(message); };
  events.manifest = [this](const std::string& hash) { return manifest(hash); };
  events.prepare = [this](const v1::Task& task) { prepare(task); };
  events.start = [this](const std::string& task, int64_t at_wall_ns) { start(task, at_wall_ns); };
  events.stop = [this](const std::string& task, bool cancel) {
    if (open.contains(task)) supervisor.stop_task(task, cancel);
  };
  events.forget = [this](const std::string& task) {
    answers.erase(task);
    stopped.erase(task);
    if (open.erase(task) > 0) supervisor.stop_task(task, true);
  };
  events.acked = [this] { end_if_done(); };
  events.state = [this](bool up) { link_changed(up); };
  events.rejected = [this](const Error& error) { end(tl::unexpected(error)); };
  return events;
}

void Agent::Impl::facts(v1::Facts& facts) {
  fill_facts(facts, config);
  facts.set_engine(supervisor.engine());
  facts.set_engine_why(supervisor.engine_why());
  for (const auto& testlet : supervisor.quarantined()) {
    v1::TestletOffer& offer = *facts.add_quarantined();
    offer.set_path(testlet.path);
    offer.set_error(testlet.why);
  }
}

void Agent::Impl::tell_facts() {
  if (!std::exchange(untold, false)) return;
  v1::Facts now;
  facts(now);
  link.send(now);
}

void Agent::Impl::hello(v1::AgentHello& hello) {
  facts(*hello.mutable_facts());
  untold = false;
  for (const manifest::Found& found : supervisor.testlets()) {
    v1::TestletOffer& offer = *hello.add_testlets();
    offer.set_hash(found.manifest.hash);
    offer.set_path(found.path);
    offer.set_error(found.error);
  }
  std::set<std::string> tasks = open;
  for (const std::string& task : spool.tasks()) tasks.insert(task);
  for (const std::string& task : tasks) hello.add_open_tasks(task);
}

std::string Agent::Impl::manifest(const std::string& hash) const {
  for (const manifest::Found& found : supervisor.testlets()) {
    if (found.error.empty() && found.manifest.hash == hash) return found.json;
  }
  return "";
}

void Agent::Impl::refuse(const std::string& task, const char* reason, const std::string& detail) {
  v1::Failed failed;
  failed.set_task(task);
  failed.set_reason(reason);
  failed.set_detail(detail);
  link.send(failed);
}

void Agent::Impl::prepare(const v1::Task& task) {
  if (const std::string why = malformed(task); !why.empty()) return refuse(task.id(), "bad_param", why);
  if (leaving) return refuse(task.id(), "local_resource", "the agent is stopping");
  if (!open.insert(task.id()).second) {
    // Asked again after a reconnect: the first answer may have been lost with the link.
    if (const auto answer = answers.find(task.id()); answer != answers.end()) link.send(answer->second);
    return;
  }
  v1::Task mine = task;
  if (mine.listen_first() == 0) {
    mine.set_listen_first(config.listen_first);
    mine.set_listen_last(config.listen_last);
  }
  *mine.mutable_refuse_targets() = {config.refuse_targets.begin(), config.refuse_targets.end()};
  supervisor.prepare(mine);
}

void Agent::Impl::start(const std::string& task, int64_t at_wall_ns) {
  if (open.contains(task)) return supervisor.start_task(task, at_wall_ns);
  const std::vector<std::string> kept = spool.tasks();
  if (std::find(kept.begin(), kept.end(), task) != kept.end()) return;  // it has ended, and its records come
  refuse(task, "agent_lost", "the agent was started anew and no longer has the task");
}

void Agent::Impl::record(v1::Record&& record) {
  if (!open.contains(record.task())) return;  // forgotten
  if (const auto why = stopped.find(record.task()); record.last() && why != stopped.end()) {
    // The worker sees a stop like any other and would call the test complete.
    if (record.state() != "error") {
      record.set_state("cancelled");
      record.set_detail(why->second);
    }
    stopped.erase(why);
  }
  const uint64_t dropped = spool.dropped();
  spool.add(record);
  if (dropped == 0 && spool.dropped() > 0) {
    log(LogLevel::error, "agent",
        "the memory for unacknowledged records is full; the oldest lose their content");
  }
  if (record.last()) {
    open.erase(record.task());
    answers.erase(record.task());
  }
  link.flush();
}

void Agent::Impl::link_changed(bool up) {
  if (up) {
    lease.reset();
    return tell_facts();
  }
  lease = loop.after(lease_ns, [this] {
    const std::string why = "no coordinator for " + manifest::format_duration(lease_ns);
    if (!open.empty())
      log(LogLevel::warn, "agent", why + ": stopping " + std::to_string(open.size()) + " tasks");
    stop_all(why, false);
  });
}

void Agent::Impl::stop_all(const std::string& why, bool cancel) {
  const std::set<std::string> tasks = open;
  for (const std::string& task : tasks) {
    stopped.emplace(task, why);
    supervisor.stop_task(task, cancel);
  }
}

void Agent::Impl::shut_down() {
  if (std::exchange(leaving, true)) return end({});
  stop_all("the agent was stopped", true);
  farewell = loop.after(kFarewellNs, [this] {
    if (spool.records() > 0)
      log(LogLevel::warn, "agent", std::to_string(spool.records()) + " records could not be delivered");
    end({});
  });
  end_if_done();
}

void Agent::Impl::end_if_done() {
  if (leaving && open.empty() && (spool.records() == 0 || !link.up())) end({});
}

void Agent::Impl::end(Status status) {
  if (ending) return;
  ending = loop.after(0, [this, status = std::move(status)] {
    const std::function<void(Status)> tell = ended;
    tell(status);
  });
}

Agent::Agent(io::Loop& loop, const Clock& clock, Config config, Identity identity,
             std::function<void(Status)> ended, int64_t lease_ns)
    : impl_(std::make_unique<Impl>(loop, clock, std::move(config), std::move(identity), std::move(ended),
                                   lease_ns)) {}
Agent::~Agent() = default;

Status Agent::start() {
  if (auto started = impl_->supervisor.start(); !started) return started;
  return impl_->link.start();
}

void Agent::shut_down() { impl_->shut_down(); }

}  // namespace todd::agent
