#pragma once
// The agent's end of the link: dials, says hello, answers pings, brings the spool home.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "engine/agent/identity.h"
#include "engine/agent/spool.h"
#include "engine/base/clock.h"
#include "engine/base/result.h"
#include "engine/io/loop.h"

namespace todd::v1 {
class AgentHello;
class Failed;
class Facts;
class Ready;
class Task;
}  // namespace todd::v1

namespace todd::agent {

inline constexpr uint32_t kProtocol = 1;  // of the link

struct LinkOptions {
  int64_t first_delay_ns = 100'000'000;  // before trying again: random within a bound that doubles from here
  int64_t longest_delay_ns = 30'000'000'000;  // to here
  int64_t silence_ns = 15'000'000'000;        // a coordinator that says nothing for so long is gone
  uint32_t protocol_min = kProtocol;
  uint32_t protocol_max = kProtocol;
};

// Resource, on the loop's thread. Callbacks may call the link but not destroy it.
class Link {
 public:
  struct Events {
    std::function<void(v1::AgentHello&)> hello;  // facts, testlets, open tasks; the link fills the rest
    std::function<std::string(const std::string& hash)> manifest;  // the text, "" if there is none
    std::function<void(const v1::Task&)> prepare;
    std::function<void(const std::string& task, int64_t at_wall_ns)> start;
    std::function<void(const std::string& task, bool cancel)> stop;
    std::function<void(const std::string& task)> forget;  // nobody waits for it any more
    std::function<void()> acked;                          // the spool got shorter; may be empty
    std::function<void(bool up)> state;
    // The coordinator will not have this agent (Errc::denied), or shares no protocol (Errc::unsupported). It
    // dials no more.
    std::function<void(const Error&)> rejected;
  };
  // clock gives wall times for pongs. spool is shared with the caller, on the same thread; call flush() after
  // adding to it.
  Link(io::Loop& loop, Identity identity, Spool& spool, const Clock& clock, Events events,
       LinkOptions options = {});
  ~Link();

  // Dials, and goes on dialling until rejected or destroyed. Errors: the identity makes no TLS context.
  Status start();
  bool up() const;

  // Sent now, or once the link is up (the last 4,096).
  void send(const v1::Ready& ready);
  void send(const v1::Failed& failed);
  void send(const v1::Facts& facts);  // only when up: hello carries them anyway
  void flush();                       // sends what the spool has
  bool flushed() const;               // nothing of it waits for acknowledgement

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace todd::agent
