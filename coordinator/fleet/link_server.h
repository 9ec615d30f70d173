#pragma once
// The coordinator's end of the links: lets agents join, knows who is there and what they can do, carries
// tasks and records.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/fleet/roster.h"
#include "coordinator/model/facts.h"
#include "coordinator/run/transport.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"
#include "engine/manifest/manifest.h"

namespace todd::fleet {

struct LinkOptions {
  std::string listen_address = "127.0.0.1";
  uint16_t port = 7481;                // 0: any free one (tests)
  std::string data_dir;                // ca.pem, tokens, manifests/ live here; made if missing
  std::vector<std::string> advertise;  // hosts or host:port for tokens and the certificate; default: where it
                                       // listens, and for a wildcard address this host's addresses
  int64_t ping_ns = 5'000'000'000;   // keep-alive; three unanswered ones end a link
  int64_t hello_ns = 5'000'000'000;  // from TLS to the first message
  size_t max_connections = 12'000;
  double enrol_per_s = 1;  // per source address
  double enrol_burst = 20;
};

struct AgentDetails {
  model::Facts facts;
  int64_t enrolled_wall_ns = 0;
  int64_t connected_wall_ns = 0;  // since when; 0 = not connected
  std::string peer_address;       // "" while not connected
  run::ClockQuality clock;
  std::string engine;  // "uring" | "event" | "" (not known)
  std::string engine_why;
  struct Refused {
    std::string path;
    std::string error;
  };
  std::vector<Refused> refused;  // libraries the agent found and will not load, or not again
};

// Resource; all on the loop's thread. TLS 1.3 always. A peer without certificate may only enrol; one with a
// certificate must be in the roster with that key. A malformed, oversized or unexpected frame ends that link,
// with the reason in the log.
class LinkServer : public run::Transport {
 public:
  LinkServer(io::Loop& loop, LinkOptions options, Roster& roster);
  ~LinkServer() override;

  // Opens CA, tokens and manifests, then listens. The roster is loaded by its owner.
  Status start();
  void set_events(run::TransportEvents& events);  // before start(); must outlive the server
  // Says goodbye to every agent and stops listening; agents dial again later.
  void stop();

  uint16_t port() const;
  // Every enrolled agent by name.
  std::vector<model::Facts> agents() const;
  // Errors: not_found.
  Result<AgentDetails> details(const std::string& agent) const;
  // The newest version of each testlet that enrolled agents have, and the manifest each is in.
  const std::map<std::string, manifest::Testlet>& testlets() const;
  const std::map<std::string, std::string>& testlet_hashes() const;

  struct InviteOptions {
    int64_t ttl_ns = 600'000'000'000;  // at most 24 h
  };
  // A join token for one agent. Errors: invalid (ttl), system.
  Result<std::string> invite(InviteOptions options);
  // Out of the fleet: its link is cut, its certificate is worth nothing from now on. Errors: not_found,
  // system.
  Status remove(const std::string& agent);

  // run::Transport
  bool connected(const std::string& agent) const override;
  run::ClockQuality clock(const std::string& agent) const override;
  void prepare(const std::string& agent, const v1::Task& task) override;
  void start(const std::string& agent, const std::string& task, int64_t at_wall_ns) override;
  void stop(const std::string& agent, const std::string& task, bool cancel) override;
  void ack(const std::string& agent, const std::string& task, uint64_t seq) override;
  // Asks which of an agent's open tasks nobody waits for; set before start(). Without it none is forgotten.
  void set_wanted(std::function<bool(const std::string& agent, const std::string& task)> wanted);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::fleet
