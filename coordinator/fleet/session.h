#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/fleet/clock_estimate.h"
#include "coordinator/fleet/link_server.h"
#include "engine/base/fd.h"
#include "engine/io/channel.h"
#include "engine/io/loop.h"

namespace todd::v1 {
class AgentHello;
class Enroll;
class Facts;
class FromAgent;
class ManifestText;
class Pong;
class Ready;
class ToAgent;
}  // namespace todd::v1

namespace todd::fleet {

// One accepted connection, from TLS to its end: splits frames, sees that messages come in a sensible order,
// keeps the link alive and measures the clock. Records are the owner's only while the clock is known, as
// their times mean nothing without: an agent that comes back sends what it has before it answers the first
// ping. What messages mean is the owner's affair. Resource.
class Session {
 public:
  // The owner. Every call may end the session with end() or finish(); the object itself must live on until
  // the call returns.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_open(Session& session) = 0;  // TLS is up; peer_id() is set
    virtual void on_enrol(Session& session, const v1::Enroll& enrol) = 0;
    virtual void on_hello(Session& session, const v1::AgentHello& hello) = 0;
    virtual void on_manifest(Session& session, const v1::ManifestText& manifest) = 0;
    virtual void on_facts(Session& session, const v1::Facts& facts) = 0;
    virtual void on_message(Session& session, const v1::FromAgent& message) = 0;  // ready, failed, record
    virtual void on_exchange(Session& session) = 0;                        // the clock estimate has one more
    virtual void on_end(Session& session, const std::string& reason) = 0;  // once; no call follows
  };
  struct Timing {
    int64_t ping_ns;
    int64_t hello_ns;
  };

  Session(io::Loop& loop, UniqueFd fd, std::shared_ptr<io::TlsContext> tls, Timing timing, Owner& owner);
  ~Session();

  void send(const v1::ToAgent& message);
  void end(const std::string& reason);     // now
  void finish(const std::string& reason);  // takes nothing more, ends when what was sent has left

  // After an accepted hello: eight exchanges at once, then one per keep-alive.
  void start_pings();

  const std::string& peer_id() const { return peer_id_; }  // common name of its certificate, "" without one
  std::string peer_certificate_pem() const { return channel_->peer_certificate_pem(); }
  std::string peer_address() const { return channel_->peer_address(); }
  std::string tls_exporter(std::string_view label) const { return channel_->tls_exporter(label); }
  const ClockEstimate& clock() const { return clock_; }

  // Filled and read by the owner.
  struct Agent {
    std::string name;  // "" until hello was accepted
    std::string engine, engine_why;
    std::set<std::string> wanted_manifests;
    std::vector<AgentDetails::Refused> refused, quarantined;
    std::map<std::string, std::unique_ptr<v1::Ready>> ready_parts;  // by task
    bool announced = false;
    int64_t since_wall_ns = 0;
  };
  Agent agent;

 private:
  size_t take(std::string_view bytes);
  void dispatch(const v1::FromAgent& message);
  void answer(const v1::Pong& pong);
  void hold(const v1::FromAgent& message);
  void release();
  void ping();
  void keep_alive();
  void closed(const std::string& reason);

  io::Loop& loop_;
  Timing timing_;
  Owner& owner_;
  std::string peer_id_;
  bool greeted_ = false;  // the first message was taken
  bool finishing_ = false;
  std::string finish_reason_;
  bool ended_ = false;
  bool heard_ = false;  // anything since the last keep-alive
  int missed_ = 0;
  uint64_t ping_id_ = 0;
  int64_t ping_sent_ns_ = 0;
  int first_exchanges_ = 0;
  ClockEstimate clock_;
  std::vector<v1::FromAgent> held_;  // until the clock is known
  size_t held_bytes_ = 0;
  io::HandlePtr timer_;
  io::ChannelPtr channel_;
};

}  // namespace todd::fleet
