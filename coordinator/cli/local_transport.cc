#include "coordinator/cli/local_transport.h"

#include "engine/base/version.h"
#include "todd/v1/task.pb.h"

namespace todd::cli {

LocalTransport::LocalTransport(io::Loop& loop, supervise::SupervisorOptions options)
    : supervisor_(loop, std::move(options), events()) {}

supervise::Supervisor::Events LocalTransport::events() {
  supervise::Supervisor::Events events;
  events.ready = [this](const v1::Ready& ready) { to_->on_ready(kLocalAgent, ready); };
  events.failed = [this](const v1::Failed& failed) { to_->on_failed(kLocalAgent, failed); };
  events.record = [this](v1::Record&& record) { to_->on_record(kLocalAgent, record); };
  return events;
}

Status LocalTransport::start(run::TransportEvents& to) {
  to_ = &to;
  return supervisor_.start();
}

model::Facts local_facts() {
  model::Facts facts;
  facts.agent = facts.id = facts.hostname = kLocalAgent;
  facts.test_addresses = facts.addresses = {"127.0.0.1"};
  facts.version = kVersion;
  facts.connected = true;
  return facts;
}

void LocalTransport::prepare(const std::string&, const v1::Task& task) { supervisor_.prepare(task); }
void LocalTransport::start(const std::string&, const std::string& task, int64_t at_wall_ns) {
  supervisor_.start_task(task, at_wall_ns);
}
void LocalTransport::stop(const std::string&, const std::string& task, bool cancel) {
  supervisor_.stop_task(task, cancel);
}

}  // namespace todd::cli
