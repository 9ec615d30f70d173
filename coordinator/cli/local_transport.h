#pragma once
// The transport of `todd try` and `todd serve`: one agent, this host, through a supervisor of our own.

#include <functional>
#include <string>

#include "coordinator/model/facts.h"
#include "coordinator/run/transport.h"
#include "engine/io/loop.h"
#include "engine/supervise/supervisor.h"

namespace todd::cli {

inline constexpr const char* kLocalAgent = "local";

model::Facts local_facts();  // of the one agent

class LocalTransport : public run::Transport {
 public:
  LocalTransport(io::Loop& loop, supervise::SupervisorOptions options);

  Status start(run::TransportEvents& events);  // events must outlive this
  const supervise::Supervisor& supervisor() const { return supervisor_; }
  void end() { supervisor_.end(); }  // nothing more is asked of it

  bool connected(const std::string& agent) const override { return agent == kLocalAgent; }
  run::ClockQuality clock(const std::string&) const override { return {}; }
  void prepare(const std::string& agent, const v1::Task& task) override;
  void start(const std::string& agent, const std::string& task, int64_t at_wall_ns) override;
  void stop(const std::string& agent, const std::string& task, bool cancel) override;
  void ack(const std::string&, const std::string&, uint64_t) override {}

 private:
  supervise::Supervisor::Events events();

  run::TransportEvents* to_ = nullptr;
  supervise::Supervisor supervisor_;
};

}  // namespace todd::cli
